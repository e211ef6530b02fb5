"""The pictures of curves against updates: lr, losses, validation accuracy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrbench.compare.analysis import Analysis
from lrbench.draw import figure, palette
from lrbench.draw.figure import WIDTH, Drawing, Look, new_figure

MAX_SINGLE_RUNS = 20  # faint curves per strategy; more would be a blot
MAX_BANDS = 6  # strategies in one picture; with more, only their medians can be told apart
MAX_POINTS = 300  # of a drawn curve
SMOOTHING = 0.02  # of the run, for the training loss
ENDLESS = 1e30  # stands for an infinite loss where quantiles are interpolated

Array = NDArray[np.float64]


def _curves(analysis: Analysis, column: str) -> dict[str, list[tuple[Array, Array, bool]]]:
    """Per strategy (steps, values, diverged) of each compared run that has a history."""
    lrs = dict(zip(analysis.summary["strategy"], analysis.summary["lr"], strict=True))
    found: dict[str, list[tuple[Array, Array, bool]]] = {name: [] for name in lrs}
    for member in analysis.group.members:
        history = member.run.history
        swept = analysis.group.lr_sweep
        if history is None or (swept and member.lr != lrs[member.strategy]):
            continue
        values = history[column].to_numpy()
        known = ~np.isnan(values)
        if known.any():
            steps = history["step"].to_numpy()[known]
            found[member.strategy].append((steps, values[known], member.run.status == "diverged"))
    return {name: curves for name, curves in found.items() if curves}


def _quantiles(
    curves: list[tuple[Array, Array, bool]], after_divergence: float, last: float
) -> tuple[Array, Array]:
    """A common grid of updates (G,) up to `last` and the quartiles over runs there, (3, G).

    A diverged run stays in, at `after_divergence`: left out, the others would look better.
    """
    grid = np.unique(np.concatenate([steps for steps, _, _ in curves]))
    known = not math.isnan(after_divergence)
    if known and all(diverged for _, _, diverged in curves) and grid[-1] < last:
        grid = np.append(grid, [grid[-1] + 1, last])
    if len(grid) > MAX_POINTS:
        grid = grid[np.linspace(0, len(grid) - 1, MAX_POINTS).round().astype(int)]
    rows = []
    for steps, values, diverged in curves:
        beyond = min(after_divergence, ENDLESS) if diverged and steps[-1] < last else math.nan
        rows.append(np.interp(grid, steps, values, left=math.nan, right=beyond))
    quartiles = np.nanquantile(np.minimum(rows, ENDLESS), (0.25, 0.5, 0.75), axis=0)
    return grid, np.where(quartiles > ENDLESS / 100, math.inf, quartiles)


def _draw_curves(
    axes: Any,
    curves: dict[str, list[tuple[Array, Array, bool]]],
    styles: dict[str, Look],
    after_divergence: float,
    *,
    log: bool = False,
    bottom: float | None = None,
    top: float = math.inf,
    left: float = 0.0,
) -> None:
    """Median, band over the middle half of the seeds, faint single runs, names at the right."""
    ends = []
    lowest = highest = math.nan
    last = _last_step(curves)
    crowded = len(curves) > MAX_BANDS
    for name, runs in curves.items():
        look = styles[name]
        for steps, values, diverged in (
            runs[:MAX_SINGLE_RUNS] if len(runs) > 1 and not crowded else []
        ):
            thin = np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS)).round().astype(int)
            axes.plot(steps[thin], values[thin], color=look.colour, lw=0.6, alpha=0.3)
            if diverged:
                axes.plot(steps[-1], values[-1], "x", color=look.colour, ms=5)
        grid, (low, middle, high) = _quantiles(runs, after_divergence, last)
        if len(runs) > 2 and not crowded:
            axes.fill_between(grid, low, high, color=look.colour, alpha=0.15, lw=0)
        drawn = np.isfinite(middle)
        axes.plot(grid[drawn], middle[drawn], color=look.colour, ls=look.line_style)
        if drawn.any() and grid[drawn][-1] > left:
            ends.append((name, float(grid[drawn][-1]), float(middle[drawn][-1])))
            lowest = np.nanmin([lowest, *middle[drawn]])
            highest = np.nanmax([highest, *middle[drawn]])
    figure.count_axis(axes.xaxis)
    axes.set_xlabel("updates")
    axes.set_xlim(left=left, right=last if left else None)
    if log and lowest > 0 and min(highest, top) > 4 * lowest:
        axes.set_yscale("log")
        axes.set_ylim(0.8 * lowest, min(1.2 * highest, top))
        figure.log_axis(axes.yaxis, dense=min(highest, top) < 100 * lowest)
    elif highest > top:
        axes.set_ylim(top=top)
    if bottom is not None:
        axes.set_ylim(bottom=bottom)
    figure.label_right(axes, ends, styles, line=True)


def _last_step(curves: dict[str, list[tuple[Array, Array, bool]]]) -> float:
    return float(max(steps[-1] for runs in curves.values() for steps, _, _ in runs))


def _singles(analysis: Analysis) -> str:
    counts = analysis.chosen.groupby("strategy").size()
    if counts.max() == 1:
        return "One run per strategy."
    if analysis.chosen["strategy"].nunique() > MAX_BANDS:
        return (
            f"Line: median over seeds. Single runs and bands are left out: more than {MAX_BANDS} "
            "strategies. A diverged run counts as guessing, its loss as infinite."
        )
    limit = f" (the first {MAX_SINGLE_RUNS} of each)" if counts.max() > MAX_SINGLE_RUNS else ""
    band = " Band: the middle half of the seeds." if counts.max() > 2 else ""
    crosses = (
        " ×: diverged; from there the run counts as guessing, its loss as infinite."
        if (analysis.chosen["status"] == "diverged").any()
        else ""
    )
    return f"Line: median over seeds.{band} Faint: single runs{limit}.{crosses}"


def lr(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Learning rate against updates."""
    curves = _curves(analysis, "lr")
    if not curves:
        return None
    drawing, (axes,) = new_figure(WIDTH, 3.0)
    axes.set_title("Learning rate")
    _draw_curves(axes, curves, styles, math.nan, bottom=0.0)
    return drawing, "Learning rate against updates", _singles(analysis)


def loss(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Training and validation loss against updates, side by side."""
    train, val = _curves(analysis, "train_loss"), _curves(analysis, "val_loss")
    if not train or not val:
        return None
    # Far above the loss of guessing there is nothing to see but a scale that hides the rest.
    top = 3 * math.log(1 / analysis.chance) if 0 < analysis.chance < 1 else math.inf
    smooth = {name: [(s, _smooth(v), d) for s, v, d in runs] for name, runs in train.items()}
    drawing, (left, right) = new_figure(1.5 * WIDTH, 3.6, columns=2)
    left.set_title("Training loss")
    right.set_title("Validation loss")
    _draw_curves(left, smooth, styles, math.inf, log=True, top=top)
    _draw_curves(right, val, styles, math.inf, log=True, top=top)
    caption = f"{_singles(analysis)} Training loss smoothed over {100 * SMOOTHING:g} % of the run."
    return drawing, "Training and validation loss against updates", caption


def _smooth(values: Array) -> Array:
    """Centred running mean over `SMOOTHING` of the curve; narrower at the ends."""
    half = round(SMOOTHING * len(values) / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    start, stop = np.maximum(0, places - half), np.minimum(len(values), places + half + 1)
    smoothed: Array = (sums[stop] - sums[start]) / (stop - start)
    return smoothed


def val_accuracy(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Validation accuracy against updates."""
    curves = _curves(analysis, "val_accuracy")
    if not curves:
        return None
    drawing, (whole, end) = new_figure(1.5 * WIDTH, 3.6, columns=2)
    whole.set_title("Validation accuracy")
    end.set_title("Its second half, enlarged")
    last = _last_step(curves)
    middles = [
        middle[(grid >= last / 2) & (middle > analysis.chance)]
        for grid, (_, middle, _) in (_quantiles(r, analysis.chance, last) for r in curves.values())
    ]
    late = np.concatenate(middles)
    for axes in (whole, end):
        figure.percent_axis(axes.yaxis)
        for accuracy in analysis.targets.values():
            axes.axhline(accuracy, color=palette.FAINT, lw=0.8, ls=":")
    _draw_curves(whole, curves, styles, analysis.chance)
    if len(late):
        room = 0.15 * (late.max() - late.min()) or 0.01
        end.set_ylim(late.min() - room, late.max() + room)
    _draw_curves(end, curves, styles, analysis.chance, left=last / 2)
    names = ", ".join(f"{100 * a:.2f} % ({name})" for name, a in analysis.targets.items())
    caption = f"{_singles(analysis)} Dotted: the targets, {names}."
    return drawing, "Validation accuracy against updates", caption
