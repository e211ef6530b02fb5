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
from lrbench.compare.curve_plots import loss, lr, val_accuracy
from lrbench.compare.groups import number
from lrbench.compare.settings import METRICS
from lrbench.compare.verdict import p_value, points
from lrbench.draw import figure, palette
from lrbench.draw.figure import WIDTH, Drawing, Look, Picture, new_figure

MAX_PAIRS = 15  # rows of the picture of differences


def draw(
    analysis: Analysis, folder: Path, prefix: str = "", names: Iterable[str] | None = None
) -> list[Picture]:
    """Draw and save the pictures `names` of `analysis` that its runs allow; None: all."""
    styles = figure.looks(analysis.summary["strategy"])
    pictures = []
    for name in PICTURES if names is None else names:
        with matplotlib.rc_context(figure.STYLE):
            drawing = PICTURES[name](analysis, styles)
        if drawing is not None:
            pictures.append(figure.save(drawing[0], folder, f"{prefix}{name}", *drawing[1:]))
    return pictures


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
        told = [f"{100 * mean:.2f} %"] if not math.isnan(mean) else []
        told += [f"{row['num_diverged']} diverged"] if row["num_diverged"] else []
        axes.annotate(
            ", ".join(told), (1.01, place), xycoords=("axes fraction", "data"), va="center",
            color=palette.INK,
        )  # fmt: skip
        if not math.isnan(mean):
            axes.plot(mean, place + 0.2, "|", color=palette.INK, ms=9, mew=2)
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
    diverged = chosen["status"] == "diverged"
    lost = chosen[diverged].groupby("strategy").size()
    chosen = chosen[~diverged]
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
        "not reached", (1.085 * last, 1.01), xycoords=("data", "axes fraction"), ha="center",
        va="bottom", fontsize=7.5,
    )  # fmt: skip
    figure.count_axis(axes.xaxis)
    figure.percent_axis(axes.yaxis)
    axes.set_xlabel(f"updates to {100 * analysis.targets[target]:.2f} % validation accuracy")
    axes.autoscale_view(scalex=False)
    figure.label_right(axes, labels, styles, line=False)
    left_out = ", ".join(f"{name} {count}" for name, count in lost.items())
    caption = (
        "Open: one mark per run; filled: the strategy's medians. Up and left is better. Known to "
        "the evaluation interval; strategies are shifted sideways a little, to be seen."
        + (f" Diverged runs are not drawn: {left_out}." if left_out else "")
    )
    return drawing, f"Final {metric} against updates to the {target} target", caption


def sensitivity(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """Accuracy against peak lr."""
    table = analysis.sensitivity
    if table is None or not (table["lr"] > 0).all():
        return None
    metric = f"Final {METRICS[analysis.settings.metric]}"
    names = list(analysis.summary["strategy"])
    drawing, crosses = draw_sensitivity(table, names, styles, metric)
    caption = (
        f"Mean and 95 % t-interval over seeds. Ring: the lr chosen on validation.{crosses} "
        "Strategies are shifted sideways a little, to be seen."
    )
    return drawing, f"{metric} against peak learning rate", caption


def draw_sensitivity(
    table: pd.DataFrame, names: Sequence[str], styles: dict[str, Look], metric: str
) -> tuple[Figure, str]:
    """Curves of accuracy against peak lr, and what to say of their crosses.

    Args:
        table: a row per strategy and lr: ``strategy``, ``lr`` > 0, ``score``, ``score_high`` (the
            interval's end or NaN), ``num_diverged``, ``best``.
        names: the strategies, in their order.
    """
    drawing, (axes,) = new_figure(WIDTH, 3.8)
    axes.set_title(f"{metric} against peak learning rate")
    axes.set_xscale("log")
    labels = []
    # Where an lr ruins everything the rest would be a flat line: cut the axis below the bulk.
    high, middle = table["score"].max(), table["score"].quantile(0.4)
    floor = max(0.0, table["score"].min(), high - 4 * (high - middle or high))
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
            if diverged or value < floor:
                mark = "x" if diverged else "v"
                axes.plot(x[at], max(value, floor), mark, color=look.colour, ms=7, clip_on=False)
        labels.append((name, float(x[-1]), float(max(y[-1], floor))))
    top = max(high, table["score_high"].max())  # NaN, where there are no intervals, is no max
    room = 0.06 * (top - floor) or 0.01
    axes.set_ylim(floor - room, min(1.02, top + room))
    lrs = sorted(table["lr"].unique())
    figure.log_axis(axes.xaxis, dense=False)
    if len(lrs) <= 12:
        axes.set_xticks(lrs, [number(float(value)) for value in lrs])
        axes.set_xticks([], minor=True)
    figure.percent_axis(axes.yaxis)
    axes.set_xlabel("peak lr (optimizer.lr)")
    figure.label_right(axes, labels, styles, line=True)
    crosses = ""
    if table["num_diverged"].any():
        crosses = " ×: some runs diverged; they count as guessing."
    if (table["score"] < floor).any():
        crosses += " What lies below the axis is marked (× or ▾) at its foot."
    return drawing, crosses


PICTURES: dict[str, Callable[[Analysis, dict[str, Look]], Drawing | None]] = {
    "final": final,
    "differences": differences,
    "lr": lr,
    "loss": loss,
    "val_accuracy": val_accuracy,
    "speed": speed,
    "lr_sensitivity": sensitivity,
}
