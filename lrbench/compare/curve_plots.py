"""The pictures of curves over updates or epochs: lr, losses, the measure on validation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrbench.compare.analysis import Analysis
from lrbench.draw import figure, palette
from lrbench.draw.figure import WIDTH, Drawing, Look, new_figure
from lrbench.task.measure import POINTS

MAX_SINGLE_RUNS = 20  # faint curves per strategy; more would be a blot
MAX_BARRED = 6  # strategies in one picture; with more, only their medians can be told apart
MAX_POINTS = 300  # of a drawn curve
BARS = 12  # over the run, of each strategy
SMOOTHING = 0.02  # of the run, for the training loss
ENDLESS = 1e30  # stands for an infinite value where quantiles are interpolated

Array = NDArray[np.float64]


Curves = dict[str, list[tuple[Array, Array, bool]]]
"""Per strategy (places, values, diverged) of each run that is drawn."""


def _curves(analysis: Analysis, column: str) -> Curves:
    """The compared runs whose history has `column`."""
    lrs = {standing.strategy: standing.lr for standing in analysis.standings}
    found: Curves = {name: [] for name in lrs}
    for member in analysis.group.members:
        history = member.run.history
        swept = analysis.group.lr_sweep
        if history is None or column not in history:
            continue
        if swept and member.lr != lrs[member.strategy]:
            continue
        values, places = (history[c].to_numpy() for c in (column, analysis.group.axis))
        known = ~np.isnan(values) & ~np.isnan(places)
        if known.any():
            found[member.strategy].append((places[known], values[known], not member.run.completed))
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
        beyond = after_divergence if diverged and steps[-1] < last else math.nan
        rows.append(np.interp(grid, steps, values, left=math.nan, right=beyond))
    bounded = np.clip(rows, -ENDLESS, ENDLESS)
    quartiles = np.nanquantile(bounded, (0.25, 0.5, 0.75), axis=0)
    return grid, np.where(np.abs(quartiles) > ENDLESS / 100, math.nan, quartiles)


def _draw_curves(
    axes: Any,
    axis: str,
    curves: Curves,
    styles: dict[str, Look],
    after_divergence: float,
    *,
    log: bool = False,
    bottom: float | None = None,
    top: float = math.inf,
    left: float = 0.0,
) -> None:
    """Median, bars over the middle half of the seeds, faint single runs, names at the right."""
    ends = []
    lowest = highest = math.nan
    last = _last_step(curves)
    crowded = len(curves) > MAX_BARRED
    for name, runs in curves.items():
        look = styles[name]
        for steps, values, diverged in (
            runs[:MAX_SINGLE_RUNS] if len(runs) > 1 and not crowded else []
        ):
            thin = np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS)).round().astype(int)
            axes.plot(steps[thin], values[thin], color=look.colour, lw=0.7, alpha=0.4)
            if diverged:
                axes.plot(steps[-1], values[-1], "x", color=look.colour, ms=5)
        grid, (low, middle, high) = _quantiles(runs, after_divergence, last)
        if len(runs) > 2 and not crowded:  # bars, each strategy's at places of its own
            at = max(left, grid[0]) + (last - max(left, grid[0])) * (
                (np.arange(BARS) + (list(curves).index(name) + 1) / (len(curves) + 1)) / BARS
            )
            spans = [np.interp(at, grid, end, right=math.nan) for end in (low, high)]
            axes.vlines(at, *spans, color=look.colour, lw=3, alpha=0.35)
        drawn = np.isfinite(middle)
        axes.plot(grid[drawn], middle[drawn], color=look.colour, ls=look.line_style)
        if drawn.any() and grid[drawn][-1] > left:
            ends.append((name, float(grid[drawn][-1]), float(middle[drawn][-1])))
            lowest = np.nanmin([lowest, *middle[drawn]])
            highest = np.nanmax([highest, *middle[drawn]])
    figure.count_axis(axes.xaxis)
    axes.set_xlabel(axis)
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


def _last_step(curves: Curves) -> float:
    return float(max(steps[-1] for runs in curves.values() for steps, _, _ in runs))


def _singles(analysis: Analysis, diverged: str = "") -> str:
    """What is drawn of a strategy's runs; `diverged`: what those that diverged count as."""
    counts = analysis.chosen.groupby("strategy").size()
    counted = f"; from there the run counts as {diverged}" if diverged else ""
    if counts.max() == 1:
        return "One run per strategy."
    if len(analysis.standings) > MAX_BARRED:
        return (
            f"Line: median over seeds. Single runs and bars are left out: more than {MAX_BARRED} "
            f"strategies{counted.replace('; from there the', '. A diverged')}."
        )
    limit = f" (the first {MAX_SINGLE_RUNS} of each)" if counts.max() > MAX_SINGLE_RUNS else ""
    band = " Bars: the middle half of the seeds." if counts.max() > 2 else ""
    crosses = (
        f" ×: diverged{counted}."
        if any(standing.num_diverged for standing in analysis.standings)
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
    _draw_curves(axes, analysis.axis, curves, styles, math.nan, bottom=0.0)
    return drawing, f"Learning rate against {analysis.axis}", _singles(analysis)


def loss(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Training and validation loss, side by side, or the one that is recorded."""
    found = {split: _curves(analysis, f"{split}_loss") for split in ("train", "val")}
    found = {split: curves for split, curves in found.items() if curves}
    if not found or (list(found) == ["val"] and analysis.measure.name == "loss"):
        return None  # the picture of the measure shows the same
    names = {"train": "Training loss", "val": "Validation loss"}
    drawing, panels = new_figure(0.75 * WIDTH * len(found), 3.6, columns=len(found))
    for axes, (split, curves) in zip(panels, found.items(), strict=True):
        # Far above the loss that runs begin with there is nothing to see but a hidden rest.
        top = 3 * float(np.median([values[0] for runs in curves.values() for _, values, _ in runs]))
        axes.set_title(names[split])
        if split == "train":
            curves = {n: [(s, _smooth(v), d) for s, v, d in runs] for n, runs in curves.items()}
        _draw_curves(
            axes,
            analysis.axis,
            curves,
            styles,
            math.inf,
            log=True,
            top=top if top > 0 else math.inf,
        )
    caption = _singles(analysis, "an infinite loss")
    if "train" in found:
        caption += f" Training loss smoothed over {100 * SMOOTHING:g} % of the run."
    title = " and ".join([names[next(iter(found))], "validation loss"][: len(found)])
    return drawing, f"{title} against {analysis.axis}", caption


def _smooth(values: Array) -> Array:
    """Centred running mean over `SMOOTHING` of the curve; narrower at the ends."""
    half = round(SMOOTHING * len(values) / 2)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    start, stop = np.maximum(0, places - half), np.minimum(len(values), places + half + 1)
    smoothed: Array = (sums[stop] - sums[start]) / (stop - start)
    return smoothed


def validation(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """The measure on validation, whole and its second half enlarged."""
    measure = analysis.measure
    curves = _curves(analysis, f"val_{measure.name}")
    if not curves:
        return None
    drawing, (whole, end) = new_figure(1.5 * WIDTH, 3.6, columns=2)
    name = analysis.val_name.capitalize()
    whole.set_title(name)
    end.set_title("Its second half, enlarged")
    last = _last_step(curves)
    lost = measure.score(None, completed=False)
    middles = []
    for runs in curves.values():
        grid, (_, middle, _) = _quantiles(runs, lost, last)
        worthy = np.isfinite(middle) if measure.guess is None else (
            measure.sign * middle > measure.sign * measure.guess
        )  # fmt: skip
        middles.append(middle[(grid >= last / 2) & worthy])
    late = np.concatenate(middles)
    for axes in (whole, end):
        for value in analysis.targets.values():
            axes.axhline(value, color=palette.FAINT, lw=0.8, ls=":")
    log = measure.unit != POINTS and not measure.higher_is_better
    _draw_curves(whole, analysis.axis, curves, styles, lost, log=log)
    figure.measure_axis(whole.yaxis, measure)
    if len(late):
        room = 0.15 * (late.max() - late.min()) or 0.01 * abs(late.max()) or 0.01
        end.set_ylim(late.min() - room, late.max() + room)
    _draw_curves(end, analysis.axis, curves, styles, lost, left=last / 2)
    figure.measure_axis(end.yaxis, measure)
    names = ", ".join(
        f"{measure.value(value)} ({name})" for name, value in analysis.targets.items()
    )
    guess = "guessing" if measure.guess is not None else "the worst there is"
    caption = _singles(analysis, guess) + (f" Dotted: the targets, {names}." if names else "")
    return drawing, f"{name} against {analysis.axis}", caption
