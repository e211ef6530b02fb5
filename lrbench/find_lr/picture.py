"""The picture: loss against lr of every seed, and below it what was concluded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrbench.draw import figure as style
from lrbench.draw import palette
from lrbench.find_lr.advice import Advice
from lrbench.find_lr.findings import Findings
from lrbench.find_lr.tape import Ramp

NAME = "loss_vs_lr"
ROW = 0.2  # inches of a line of the lower panel


def save_picture(
    folder: Path,
    curves: Sequence[Ramp],
    findings: Findings,
    advice: Sequence[Advice],
    *,
    title: str,
) -> None:
    """Write loss_vs_lr.png and .svg into `folder`."""
    figure = draw(curves, findings, advice, title=title)
    style.save(figure, folder, NAME, title, "")


def draw(
    curves: Sequence[Ramp], findings: Findings, advice: Sequence[Advice], *, title: str
) -> Figure:
    """Loss over a logarithmic lr; below, each rule's spread and each schedule's range."""
    rows = len(findings.suggestions) + len(advice) + 1
    heights = [2.9, 0.35 + ROW * rows]
    with matplotlib.rc_context(style.STYLE):
        figure = Figure(figsize=(style.WIDTH, sum(heights) + 0.5), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
        above.set_title(title)
        above.set_ylabel("training loss")
        above.set_xscale("log")
        style.log_axis(below.xaxis, dense=False)
        for axes in (above, below):
            axes.axvspan(findings.low, findings.high, color=palette.tint(palette.BLUE, 0.88), lw=0)
        _draw_curves(above, curves)
        _draw_rows(below, findings, advice, len(curves))
    return figure


def _draw_curves(axes: Axes, curves: Sequence[Ramp]) -> None:
    """Each seed's loss, faint, and smoothed; what diverges leaves the picture at the top."""
    for curve in curves:
        axes.plot(curve.lr, curve.loss, color=palette.tint(palette.BLUE, 0.75), lw=0.5, zorder=2)
    for number, curve in enumerate(curves):
        label = f"smoothed, one line a seed ({len(curves)})" if number == 0 else None
        axes.plot(curve.lr, curve.smoothed, color=palette.BLUE, lw=1.0, zorder=3, label=label)
    low = min(float(np.nanmin(curve.loss)) for curve in curves)
    first = max(float(curve.smoothed[: len(curve.lr) // 2].max()) for curve in curves)
    room = 0.1 * (first - low) or 1.0
    axes.set_ylim(low - room, first + 2 * room)
    axes.legend(loc="lower left", frameon=False, handlelength=1.4)


def _draw_rows(axes: Axes, findings: Findings, advice: Sequence[Advice], num_seeds: int) -> None:
    """A line for each rule (dot: median, bar: over seeds) and each schedule (bar: its range)."""
    seeds = "over 1 seed" if num_seeds == 1 else f"lowest to highest of {num_seeds} seeds"
    names: list[str] = []

    def row(name: str, low: float, lr: float, high: float, **look: Any) -> None:
        place = len(names)
        axes.plot([low, high], [place, place], solid_capstyle="butt", **look)
        axes.plot([lr], [place], "o", ms=5, color=look["color"])
        names.append(name)

    for name, spread in (*findings.suggestions.items(), ("lowest loss", findings.lowest)):
        row(name, spread.low, spread.median, spread.high, color=palette.INK, lw=1.5)
    for item in advice:
        colour = palette.colour(item.strategy)
        row(f"{item.schedule}: {item.lr:.2g}", item.low, item.lr, item.high, color=colour, lw=4)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        f"learning rate (shaded: the range)\n\nrules: median, and {seeds}\n"
        "schedules: what to try, and within what to search",
        x=0,
        ha="left",
    )
