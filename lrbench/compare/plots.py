"""The pictures of one group; each function draws one and says in its caption what is shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lrbench import palette
from lrbench.compare import figure
from lrbench.compare.analysis import Analysis
from lrbench.compare.figure import Look, Picture, new_figure
from lrbench.compare.groups import number
from lrbench.compare.settings import METRICS
from lrbench.compare.verdict import p_value, points

MAX_SINGLE_RUNS = 20  # faint curves per strategy; more would be a blot
MAX_POINTS = 300  # of a drawn curve
SMOOTHING = 0.02  # of the run, for the training loss
MAX_PAIRS = 15  # rows of the picture of differences
WIDTH = 7.2  # inches
ENDLESS = 1e30  # stands for an infinite loss where quantiles are interpolated

Array = NDArray[np.float64]
Drawing = tuple[Figure, str, str]


def draw(analysis: Analysis, folder: Path, prefix: str = "") -> list[Picture]:
    """Draw and save all pictures of `analysis` that its runs allow."""
    styles = figure.looks(analysis.summary["strategy"])
    pictures = []
    for name, function in PICTURES.items():
        with matplotlib.rc_context(figure.STYLE):
            drawing = function(analysis, styles)
        if drawing is not None:
            pictures.append(figure.save(drawing[0], folder, f"{prefix}{name}", *drawing[1:]))
    return pictures


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
    curves: list[tuple[Array, Array, bool]], after_divergence: float
) -> tuple[Array, Array]:
    """A common grid of updates (G,) and the quartiles over runs there, (3, G).

    A diverged run stays in, at `after_divergence`: left out, the others would look better.
    """
    last = max(steps[-1] for steps, _, _ in curves)
    grid = np.unique(np.concatenate([steps for steps, _, _ in curves]))
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
) -> None:
    """Median, band over the middle half of the seeds, faint single runs, names at the right."""
    ends = []
    lowest = highest = math.nan
    for name, runs in curves.items():
        look = styles[name]
        for steps, values, diverged in runs[:MAX_SINGLE_RUNS] if len(runs) > 1 else []:
            thin = np.linspace(0, len(steps) - 1, min(len(steps), MAX_POINTS)).round().astype(int)
            axes.plot(steps[thin], values[thin], color=look.colour, lw=0.6, alpha=0.3)
            if diverged:
                axes.plot(steps[-1], values[-1], "x", color=look.colour, ms=5)
        grid, (low, middle, high) = _quantiles(runs, after_divergence)
        if len(runs) > 2:
            axes.fill_between(grid, low, high, color=look.colour, alpha=0.15, lw=0)
        drawn = np.isfinite(middle)
        axes.plot(grid[drawn], middle[drawn], color=look.colour, ls=look.line_style)
        if drawn.any():
            ends.append((name, float(grid[drawn][-1]), float(middle[drawn][-1])))
            lowest = np.nanmin([lowest, *middle[drawn]])
            highest = np.nanmax([highest, *middle[drawn]])
    figure.count_axis(axes.xaxis)
    axes.set_xlabel("updates")
    axes.set_xlim(left=0)
    if log and lowest > 0 and min(highest, top) > 4 * lowest:
        axes.set_yscale("log")
        axes.set_ylim(0.8 * lowest, min(1.2 * highest, top))
        figure.log_axis(axes.yaxis, dense=min(highest, top) < 100 * lowest)
    elif highest > top:
        axes.set_ylim(top=top)
    if bottom is not None:
        axes.set_ylim(bottom=bottom)
    figure.label_right(axes, ends, styles, line=True)


def _singles(analysis: Analysis) -> str:
    counts = analysis.chosen.groupby("strategy").size()
    if counts.max() == 1:
        return "One run per strategy."
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
    last = max(steps[-1] for runs in curves.values() for steps, _, _ in runs)
    middles = [
        middle[(grid >= last / 2) & np.isfinite(middle)]
        for grid, (_, middle, _) in (_quantiles(r, analysis.chance) for r in curves.values())
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
    _draw_curves(end, curves, styles, analysis.chance)
    end.set_xlim(last / 2, last)
    names = ", ".join(f"{100 * a:.2f} % ({name})" for name, a in analysis.targets.items())
    caption = f"{_singles(analysis)} Dotted: the targets, {names}."
    return drawing, "Validation accuracy against updates", caption


def final(analysis: Analysis, styles: dict[str, Look]) -> Drawing:
    """Final accuracy: a dot per seed, the mean with its interval."""
    metric = METRICS[analysis.settings.metric]
    rows = analysis.summary.to_dict("records")
    drawing, (axes,) = new_figure(WIDTH, 0.9 + 0.55 * len(rows))
    axes.set_title(f"Final {metric}")
    for place, row in enumerate(rows):
        look = styles[row["strategy"]]
        runs = analysis.chosen[analysis.chosen["strategy"] == row["strategy"]]
        scores = runs.loc[runs["status"] == "completed", "score"].to_numpy()
        # Equal accuracies lie beside each other, for every seed to be seen.
        order = pd.Series(scores).groupby(scores).cumcount().to_numpy()
        axes.plot(
            scores, place - 0.08 - 0.05 * np.minimum(order, 5), look.marker, color=look.colour,
            mfc="none", ms=5, mew=1.2, ls="none",
        )  # fmt: skip
        mean, low, high = (row[f"completed_score{end}"] for end in ("", "_low", "_high"))
        if not math.isnan(low):
            axes.plot([low, high], [place + 0.2] * 2, color=palette.INK, lw=1.6)
        if not math.isnan(mean):
            axes.plot(mean, place + 0.2, "|", color=palette.INK, ms=9, mew=2)
            axes.annotate(
                f"{100 * mean:.2f} %", (1.01, place), xycoords=("axes fraction", "data"),
                va="center", color=palette.INK,
            )  # fmt: skip
        if row["num_diverged"]:
            axes.annotate(
                f"× {row['num_diverged']} diverged", (0.005, place),
                xycoords=("axes fraction", "data"), va="center", color=look.colour,
            )  # fmt: skip
    _strategy_rows(axes, [row["strategy"] for row in rows], styles)
    figure.percent_axis(axes.xaxis)
    caption = (
        "Open marks: one per seed. Bar: mean and its 95 % t-interval over the completed runs; "
        "the number at the right is that mean."
    )
    return drawing, f"Final {metric} per seed, with 95 % interval", caption


def _strategy_rows(axes: Any, names: list[str], styles: dict[str, Look]) -> None:
    axes.set_yticks(range(len(names)), names)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(styles[name].colour)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)


def differences(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:  # noqa: ARG001
    """Mean difference of each pair with its interval, and the margin of equivalence."""
    pairs = analysis.pairs
    if pairs.empty or not (pairs["num_pairs"] > 1).any():
        return None
    pairs = pairs[pairs["num_pairs"] > 1]
    best = analysis.summary["strategy"].iloc[0]
    more = len(pairs) > MAX_PAIRS
    if more:
        pairs = pairs[(pairs["a"] == best) | (pairs["b"] == best)].head(MAX_PAIRS)
    rows = pairs.to_dict("records")
    drawing, (axes,) = new_figure(WIDTH + 1.2, 1.0 + 0.32 * len(rows))
    axes.set_title("Differences, paired by seed")
    margin = 100 * analysis.settings.margin
    axes.axvspan(-margin, margin, color=palette.GRID, lw=0, zorder=0)
    axes.axvline(0, color=palette.FAINT, lw=1)
    for place, row in enumerate(rows):
        sure = row["finding"].startswith("beats")
        low, high = 100 * row["difference_low"], 100 * row["difference_high"]
        axes.plot([low, high], [place] * 2, color=palette.INK, lw=2 if sure else 1)
        face = palette.INK if sure else palette.BACKGROUND
        axes.plot(100 * row["difference"], place, "o", color=palette.INK, mfc=face, ms=6)
        axes.annotate(
            f"{points(row['difference'])} points · Holm p {p_value(row['holm_p'])} · "
            f"P {row['probability']:.2f} · n {row['num_pairs']}",
            (1.02, place), xycoords=("axes fraction", "data"), va="center",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [f"{row['a']} − {row['b']}" for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("points")
    caption = (
        "Mean difference and 95 % interval. Filled: significant after Holm's correction. Shaded: "
        f"within ± {margin:g} points, where strategies count as equivalent. P: probability that "
        "the first beats the second on a seed."
    ) + (f" Only pairs with {best}, of {len(analysis.pairs)}." if more else "")
    return drawing, "Differences between strategies, paired by seed", caption


def speed(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Final accuracy against the updates needed to a target."""
    target = list(analysis.targets)[len(analysis.targets) // 2]
    chosen = analysis.chosen[analysis.chosen[f"steps_to_{target}"].notna()]
    if chosen.empty:
        return None
    metric = METRICS[analysis.settings.metric]
    last = float(chosen["steps"].max())
    never, width = 1.08 * last, 0.012 * last
    drawing, (axes,) = new_figure(WIDTH, 3.6)
    axes.set_title(f"Final {metric} against the updates to the {target} target")
    labels = []
    names = [s for s in analysis.summary["strategy"] if (chosen["strategy"] == s).any()]
    for place, name in enumerate(names):
        runs, look = chosen[chosen["strategy"] == name], styles[name]
        # Evaluations are few, so that strategies would hide each other at the same update.
        shift = (place - (len(names) - 1) / 2) * width
        steps = np.minimum(runs[f"steps_to_{target}"], never)
        axes.plot(
            steps + shift, runs["score"], look.marker, color=look.colour, ls="none", ms=5,
            mfc="none", mew=1.1,
        )  # fmt: skip
        x, y = float(np.median(steps)) + shift, float(runs["score"].median())
        axes.plot(x, y, look.marker, color=look.colour, ms=9)
        labels.append((name, x, y))
    first = float(chosen[f"steps_to_{target}"].min())
    axes.set_xlim(max(0.0, min(first, last) - 0.1 * last), 1.14 * last)
    axes.axvspan(1.03 * last, 1.14 * last, color=palette.GRID, lw=0, zorder=0)
    axes.set_xticks([t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= last])
    axes.annotate(
        "not\nreached", (1.085 * last, 0.02), xycoords=("data", "axes fraction"), ha="center",
        va="bottom", fontsize=7.5,
    )  # fmt: skip
    figure.count_axis(axes.xaxis)
    figure.percent_axis(axes.yaxis)
    axes.set_xlabel(f"updates to {100 * analysis.targets[target]:.2f} % validation accuracy")
    axes.autoscale_view(scalex=False)
    figure.label_right(axes, labels, styles, line=False)
    caption = (
        "Open: one mark per run; filled: the strategy's medians. Up and left is better. Known to "
        "the evaluation interval; strategies are shifted sideways a little, to be seen."
    )
    return drawing, f"Final {metric} against updates to the {target} target", caption


def sensitivity(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Accuracy against peak lr."""
    table = analysis.sensitivity
    if table is None or not (table["lr"] > 0).all():
        return None
    metric = METRICS[analysis.settings.metric]
    drawing, (axes,) = new_figure(WIDTH, 3.8)
    axes.set_title(f"Final {metric} against peak learning rate")
    axes.set_xscale("log")
    labels = []
    names = list(analysis.summary["strategy"])
    for place, name in enumerate(names):
        own, look = table[table["strategy"] == name], styles[name]
        shift = 1.02 ** (place - (len(names) - 1) / 2)
        x, y = own["lr"].to_numpy() * shift, own["score"].to_numpy()
        half = (own["score_high"] - own["score"]).to_numpy()
        axes.errorbar(
            x, y, yerr=np.nan_to_num(half), color=look.colour, ls=look.line_style,
            marker=look.marker, ms=4, elinewidth=0.8, capsize=2,
        )  # fmt: skip
        best = own["best"].to_numpy()
        axes.plot(x[best], y[best], "o", color=look.colour, mfc="none", ms=12, mew=1.2)
        for at, (value, diverged) in enumerate(zip(y, own["num_diverged"], strict=True)):
            if diverged:
                axes.plot(x[at], value, "x", color=palette.INK, ms=7)
        labels.append((name, float(x[-1]), float(y[-1])))
    axes.set_ylim(max(0.0, axes.get_ylim()[0]), min(1.02, axes.get_ylim()[1]))
    lrs = sorted(table["lr"].unique())
    figure.log_axis(axes.xaxis, dense=False)
    if len(lrs) <= 12:
        axes.set_xticks(lrs, [number(float(value)) for value in lrs])
        axes.set_xticks([], minor=True)
    figure.percent_axis(axes.yaxis)
    axes.set_xlabel("peak lr (optimizer.lr)")
    figure.label_right(axes, labels, styles, line=True)
    crosses = (
        " ×: some runs diverged; they count as guessing." if table["num_diverged"].any() else ""
    )
    caption = (
        f"Mean and 95 % t-interval over seeds. Ring: the lr chosen on validation.{crosses} "
        "Strategies are shifted sideways a little, to be seen."
    )
    return drawing, f"Final {metric} against peak learning rate", caption


PICTURES: dict[str, Callable[[Analysis, dict[str, Look]], Drawing | None]] = {
    "final": final,
    "differences": differences,
    "lr": lr,
    "loss": loss,
    "val_accuracy": val_accuracy,
    "speed": speed,
    "lr_sensitivity": sensitivity,
}
