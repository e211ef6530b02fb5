"""The answer as one picture: what each schedule may lose, and for scale what matters how much.

The rows are the same in the picture, in the terminal and in report.json.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from lrbench.cli.wording import counted
from lrbench.compare.analysis import Analysis
from lrbench.compare.inference import LEAST
from lrbench.compare.matter import matters
from lrbench.compare.verdict import losses
from lrbench.draw import figure, palette
from lrbench.draw.figure import Drawing, Look
from lrbench.task.measure import Measure

WIDTH, ROW = 5.2, 0.26  # inches; narrow, so that a phone shows it at a size that can be read
CELLS = 34  # of a terminal's bar, at most
REST = 1.5  # how far beyond all else an interval of what matters may reach before it is cut


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the picture.

    Attributes:
        name: of the schedule, or what was varied and which values were run.
        low, at, high: the interval and what was seen, as differences of the measure; NaN: unknown.
        text: the interval in words, without its unit.
        is_schedule: whether it is about a schedule's loss.
    """

    name: str
    low: float
    at: float
    high: float
    text: str
    is_schedule: bool


def rows(analysis: Analysis) -> tuple[Row, ...]:
    """Schedules, best first, then what matters, most first."""
    measure, found = analysis.measure, []
    intervals = analysis.intervals
    with np.errstate(invalid="ignore"):
        least, seen = (
            np.maximum(np.where(np.eye(len(m), dtype=bool), 0.0, m).max(axis=0), 0.0)
            for m in (intervals.low, intervals.difference)
        )
    for i, loss in enumerate(losses(analysis) if len(analysis.standings) > 1 else ()):
        low, high = float(least[i]), loss.may_lose
        text = "not known" if math.isnan(high) else f"up to {measure.number(high)}"
        if high == 0:
            text = "nothing"
        elif low > 0:
            text = f"{measure.number(low)} to {measure.number(high)}"
        text += "" if loss.may_be_best else ", worse"
        text += f"; {loss.diverged} of {loss.num_runs} diverged" if loss.diverged else ""
        found.append(
            Row(name=loss.strategy, low=low, at=float(seen[i]), high=high, text=text,
                is_schedule=True)
        )  # fmt: skip
    for m in matters(analysis):
        text = f"{measure.number(m.change)} ({measure.number(m.low)} to {measure.number(m.high)})"
        found.append(
            Row(name=f"{m.what} ({m.values})", low=m.low, at=m.change, high=m.high, text=text,
                is_schedule=False)
        )  # fmt: skip
    return tuple(found)


def heads(measure: Measure) -> tuple[str, str]:
    """What stands above the schedules, and above what matters."""
    unit = measure.in_unit or f", in {measure.label}"
    return (
        f"Picked, a schedule may lose against the best{unit}",
        f"For scale: typical change if only this changes{unit}",
    )


def caption(analysis: Analysis) -> str:
    """How to read the picture."""
    test = analysis.pairs[0].test if analysis.pairs else None
    sure = analysis.family.alpha > 0 and any(p.test.num >= LEAST for p in analysis.pairs)
    hold = "all of them hold together" if sure else "too little is known for any of it to be sure"
    return (
        f"Dot: what was seen. Bar: how small or large it may really be ({hold}), at these peak lrs "
        f"from {counted(test.num if test else 0, 'run')} each. Shaded: {analysis.margin.text}, too "
        "small to matter. Typical change: root mean square of the difference between two of the "
        "values run, seed noise taken off, with a 95 % interval of each by itself; diverged runs "
        "left out."
    )


def answer(analysis: Analysis, styles: dict[str, Look]) -> Drawing | None:
    """The picture at the top of the report; None where there is nothing to compare."""
    found = rows(analysis)
    if not any(row.is_schedule for row in found):
        return None
    scale = analysis.measure.scale
    first = [row for row in found if row.is_schedule]
    rest = found[len(first) :]
    drawing, (axes,) = figure.new_figure(WIDTH, 0.75 + ROW * (len(found) + 1 + bool(rest)))
    margin, top = scale * analysis.margin.size, scale * reach(found)
    axes.set_xlim(0, max(top, 1.2 * margin))
    axes.axvspan(0, margin, color=palette.GRID, lw=0, zorder=0)
    places = [*range(1, len(first) + 1), *range(len(first) + 2, len(found) + 2)]
    for place, row in zip(places, found, strict=True):
        colour = styles[row.name].colour if row.is_schedule else palette.INK
        marker = styles[row.name].marker if row.is_schedule else "D"
        _bar(axes, place, row, colour, marker, scale)
    for place, head in zip((0, len(first) + 1), heads(analysis.measure), strict=True):
        if place == 0 or rest:
            axes.annotate(head, (0, place), xycoords=("figure fraction", "data"), va="center",
                          weight="bold", annotation_clip=False, in_layout=False)  # fmt: skip
    axes.set_yticks(places, [row.name for row in found])
    for tick, row in zip(axes.get_yticklabels(), found, strict=True):
        tick.set_color(styles[row.name].colour if row.is_schedule else palette.INK)
    axes.set_ylim(len(found) + 1 + bool(rest) - 0.4, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0, pad=8)
    axes.set_xlabel(f"shaded: within {analysis.margin.text}, too small to matter")
    axes.spines["left"].set_color(palette.GRID)
    return drawing, f"What each schedule may lose in {analysis.name}", caption(analysis)


def reach(found: Sequence[Row]) -> float:
    """Where the picture's axis ends: beyond all losses, and most intervals of what matters."""
    sure = [value for row in found for value in (row.at, row.high if row.is_schedule else row.at)]
    others = [row.high for row in found if not row.is_schedule]
    known = max((v for v in sure if math.isfinite(v)), default=0.0)
    most = max((v for v in others if math.isfinite(v)), default=0.0)
    return 1.05 * max(known, min(most, REST * known)) or 1.0


def _bar(axes: Axes, place: int, row: Row, colour: str, marker: str, scale: float) -> None:
    """One row: interval, dot, and both in words at the right."""
    end = axes.get_xlim()[1]
    if math.isfinite(row.high):
        high = min(scale * row.high, end)
        axes.plot([scale * row.low, high], [place] * 2, color=colour, lw=5, alpha=0.35,
                  solid_capstyle="butt")  # fmt: skip
        if scale * row.high > end:
            axes.plot(end, place, ">", color=colour, ms=6, clip_on=False)
    if math.isfinite(row.at):
        axes.plot(scale * row.at, place, marker, color=colour, ms=6, clip_on=False)
    axes.annotate(row.text, (1.02, place), xycoords=("axes fraction", "data"), va="center",
                  color=colour)  # fmt: skip


def lines(analysis: Analysis, width: int = 80) -> list[str]:
    """The picture in characters, for a terminal of `width` columns."""
    found, told = rows(analysis), []
    if not any(row.is_schedule for row in found):
        return []
    name, text = (max(len(getattr(row, key)) for row in found) for key in ("name", "text"))
    cells = max(8, min(CELLS, width - name - text - 4))
    end = reach(found)

    def at(value: float) -> int:
        return min(cells - 1, max(0, round(value / end * (cells - 1))))

    for number, row in enumerate(found):
        if number == 0 or row.is_schedule != found[number - 1].is_schedule:
            told.append(heads(analysis.measure)[not row.is_schedule])
        bar = [" "] * cells
        if math.isfinite(row.high):
            bar[at(row.low) : at(row.high) + 1] = "━" * (at(row.high) - at(row.low) + 1)
        if math.isfinite(row.at):
            bar[at(row.at)] = "●"
        told.append(f"{row.name:<{name}}  {''.join(bar)}  {row.text}")
    return told
