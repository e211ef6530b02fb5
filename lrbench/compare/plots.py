"""The pictures of one group; each function draws one and says in its caption what is shown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lrbench.compare.analysis import Analysis
from lrbench.compare.answer import answer
from lrbench.compare.conditions import number
from lrbench.compare.curve_plots import loss, lr, validation
from lrbench.compare.rows import AtLr
from lrbench.draw import figure, palette
from lrbench.draw.figure import WIDTH, Drawing, Look, Picture, new_figure
from lrbench.task.measure import Measure


def draw(
    analysis: Analysis, folder: Path, prefix: str = "", names: Iterable[str] | None = None
) -> list[Picture]:
    """Draw and save the pictures `names` of `analysis` that its runs allow; None: all."""
    styles = figure.looks(standing.strategy for standing in analysis.standings)
    pictures = []
    for name in PICTURES if names is None else names:
        with matplotlib.rc_context(figure.STYLE):
            drawing = PICTURES[name](analysis, styles)
        if drawing is not None:
            pictures.append(figure.save(drawing[0], folder, f"{prefix}{name}", *drawing[1:]))
    return pictures


def final(analysis: Analysis, styles: dict[str, Look]) -> Drawing:
    """Final values: a dot per seed, the mean with its interval."""
    measure, standings = analysis.measure, analysis.standings
    drawing, (axes,) = new_figure(WIDTH, 0.9 + 0.55 * len(standings))
    axes.set_title(f"Final {analysis.name}")
    for place, standing in enumerate(standings):
        look = styles[standing.strategy]
        runs = analysis.chosen[analysis.chosen["strategy"] == standing.strategy]
        scores = runs.loc[runs["status"] == "completed", "score"].to_numpy()
        # Equal values lie beside each other, for every seed to be seen.
        order = pd.Series(scores).groupby(scores).cumcount().to_numpy()
        axes.plot(
            scores, place - 0.08 - 0.05 * np.minimum(order, 5), look.marker, color=look.colour,
            mfc="none", ms=5, mew=1.2, ls="none",
        )  # fmt: skip
        mean = standing.completed_score
        if not math.isnan(mean.low):
            axes.plot([mean.low, mean.high], [place + 0.2] * 2, color=palette.INK, lw=1.6)
        told = [measure.value(mean.value)] if mean.num else []
        told += [f"{standing.num_diverged} diverged"] if standing.num_diverged else []
        axes.annotate(
            ", ".join(told), (1.01, place), xycoords=("axes fraction", "data"), va="center",
            color=palette.INK,
        )  # fmt: skip
        if mean.num:
            axes.plot(mean.value, place + 0.2, "|", color=palette.INK, ms=9, mew=2)
    _strategy_rows(axes, [standing.strategy for standing in standings], styles)
    figure.measure_axis(axes.xaxis, measure)
    caption = (
        "Open marks: one per seed. Bar: mean and its 95 % t-interval over the completed runs; "
        "the number at the right is that mean."
    )
    return drawing, f"Final {analysis.name} per seed, with 95 % interval", caption


def _strategy_rows(axes: Any, names: list[str], styles: dict[str, Look]) -> None:
    axes.set_yticks(range(len(names)), names)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(styles[name].colour)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)


def speed(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Final value against the updates needed to a target."""
    if not analysis.targets:
        return None
    target = list(analysis.targets)[len(analysis.targets) // 2]
    measure, to = analysis.measure, f"to_{target}"
    chosen = analysis.chosen[analysis.chosen[to].notna()]
    diverged = chosen["status"] == "diverged"
    lost = chosen[diverged].groupby("strategy").size()
    chosen = chosen[~diverged]
    if chosen.empty:
        return None
    ends = [m.run.history[analysis.group.axis].max() for m in analysis.group.members
            if m.run.history is not None and m.run.completed]  # fmt: skip
    last = float(max(ends))
    never, width = 1.08 * last, 0.012 * last
    drawing, (axes,) = new_figure(WIDTH, 3.6)
    axes.set_title(f"Final {analysis.name} against the {analysis.axis} to the {target} target")
    labels = []
    names = [s.strategy for s in analysis.standings if (chosen["strategy"] == s.strategy).any()]
    for place, name in enumerate(names):
        runs, look = chosen[chosen["strategy"] == name], styles[name]
        # Evaluations are few, so that strategies would hide each other at the same update.
        shift = (place - (len(names) - 1) / 2) * width
        steps = np.minimum(runs[to], never)
        axes.plot(
            steps + shift, runs["score"], look.marker, color=look.colour, ls="none", ms=5,
            mfc="none", mew=1.1,
        )  # fmt: skip
        x, y = float(np.median(steps)) + shift, float(runs["score"].median())
        axes.plot(x, y, look.marker, color=look.colour, ms=9)
        labels.append((name, x, y))
    first = float(chosen[to].min())
    axes.set_xlim(max(0.0, min(first, last) - 0.1 * last), 1.14 * last)
    axes.axvspan(1.03 * last, 1.14 * last, color=palette.GRID, lw=0, zorder=0)
    axes.set_xticks([t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= last])
    axes.annotate(
        "not reached", (1.085 * last, 0.98), xycoords=("data", "axes fraction"), ha="center",
        va="top", fontsize=7.5,
    )  # fmt: skip
    figure.count_axis(axes.xaxis)
    axes.set_xlabel(f"{analysis.axis} to {measure.value(analysis.targets[target])} "
                    f"{analysis.val_name}")  # fmt: skip
    axes.autoscale_view(scalex=False)
    figure.measure_axis(axes.yaxis, measure)
    figure.label_right(axes, labels, styles, line=False)
    left_out = ", ".join(f"{name} {count}" for name, count in lost.items())
    better = "Up" if measure.higher_is_better else "Down"
    caption = (
        f"Open: one mark per run; filled: the strategy's medians. {better} and left is better. "
        "Known to the evaluation interval; strategies are shifted sideways a little, to be seen."
        + (f" Diverged runs are not drawn: {left_out}." if left_out else "")
    )
    return drawing, f"Final {analysis.name} against {analysis.axis} to the {target} target", caption


def sensitivity(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """The metric against peak lr."""
    rows = analysis.sensitivity
    if not rows or not all(row.lr > 0 for row in rows):
        return None
    metric = f"Final {analysis.name}"
    names = [standing.strategy for standing in analysis.standings]
    drawing, crosses = draw_sensitivity(rows, names, styles, metric, analysis.measure)
    caption = (
        f"Mean and 95 % t-interval over seeds. Ring: the lr chosen on validation.{crosses} "
        "Strategies are shifted sideways a little, to be seen."
    )
    return drawing, f"{metric} against peak learning rate", caption


def draw_sensitivity(
    rows: Sequence[AtLr],
    names: Sequence[str],
    styles: dict[str, Look],
    metric: str,
    measure: Measure,
) -> tuple[Figure, str]:
    """Curves of a metric against peak lr, and what to say of their crosses.

    Args:
        rows: one per strategy and lr > 0; ``score_high`` is the interval's end or NaN.
        names: the strategies, in their order.
    """
    drawing, (axes,) = new_figure(WIDTH, 3.8)
    axes.set_title(f"{metric} against peak learning rate")
    axes.set_xscale("log")
    labels = []
    known = [row for row in rows if math.isfinite(row.score)]
    # Where an lr ruins everything the rest would be a flat line: cut the axis off beyond the bulk.
    worth = np.array([measure.sign * row.score for row in known] or [0.0])
    bulk = float(np.quantile(worth, 0.4))
    floor = max(worth.min(), worth.max() - 4 * (worth.max() - bulk or abs(bulk)))
    for place, name in enumerate(names):
        own, look = [row for row in known if row.strategy == name], styles[name]
        if not own:
            continue
        shift = 1.02 ** (place - (len(names) - 1) / 2)
        x = np.array([row.lr * shift for row in own])
        y = np.array([row.score for row in own])
        half = np.nan_to_num([row.score_high - row.score for row in own])
        axes.errorbar(
            x, y, yerr=half, color=look.colour, ls=look.line_style, marker=look.marker, ms=4,
            elinewidth=0.8, capsize=2,
        )  # fmt: skip
        shown = measure.sign * np.maximum(measure.sign * y, floor)
        for at, row in enumerate(own):
            if row.best:
                axes.plot(x[at], y[at], "o", color=look.colour, mfc="none", ms=12, mew=1.2)
            if row.num_diverged or measure.sign * row.score < floor:
                mark = "x" if row.num_diverged else "v" if measure.higher_is_better else "^"
                axes.plot(x[at], shown[at], mark, color=look.colour, ms=7, clip_on=False)
        labels.append((name, float(x[-1]), float(shown[-1])))
    halves = [h for row in known if not math.isnan(h := row.score_high - row.score)]
    top = float(worth.max()) + max(halves, default=0.0)
    room = 0.06 * (top - floor) or 0.01
    axes.set_ylim(*sorted((measure.sign * (floor - room), measure.sign * (top + room))))
    lrs = sorted({row.lr for row in rows})
    figure.log_axis(axes.xaxis, dense=False)
    if len(lrs) <= 12:
        axes.set_xticks(lrs, [number(value) for value in lrs])
        axes.set_xticks([], minor=True)
    figure.measure_axis(axes.yaxis, measure)
    axes.set_xlabel("peak lr (optimizer.lr)")
    figure.label_right(axes, labels, styles, line=True)
    crosses = ""
    if any(row.num_diverged for row in rows):
        counted = "are left out" if measure.guess is None else "count as guessing"
        crosses = f" ×: some runs diverged; they {counted}."
    if (worth < floor).any():
        crosses += " What lies beyond the axis is marked at its end."
    return drawing, crosses


PICTURES: dict[str, Callable[[Analysis, dict[str, Look]], Drawing | None]] = {
    "answer": answer,
    "final": final,
    "lr": lr,
    "loss": loss,
    "validation": validation,
    "speed": speed,
    "lr_sensitivity": sensitivity,
}
