"""How every picture looks: paper, type, direct labels, and saving as SVG and PNG.

An SVG follows its page, light or dark; a PNG is on white paper. Figures are built without pyplot:
nothing is global, nothing needs a display.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lrbench.draw import palette
from lrbench.files.atomic import atomic_write
from lrbench.task.measure import POINTS, Measure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
FONT_SIZE = 9.0  # points
WIDTH = 7.2  # inches, of a picture with one panel
LABEL_HEIGHT = 0.165  # inches from one direct label to the next

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.edgecolor": palette.FAINT,
    "axes.facecolor": palette.BACKGROUND,
    "axes.labelcolor": palette.INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": FONT_SIZE + 1,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.facecolor": palette.BACKGROUND,
    "grid.color": palette.GRID,
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "savefig.facecolor": palette.BACKGROUND,
    "svg.fonttype": "none",  # text stays text: small files, can be searched and read aloud
    "svg.hashsalt": "lrbench",  # equal pictures are equal files
    "text.color": palette.INK,
    "text.parse_math": False,  # a name with two $ in it is a name
    "xtick.color": palette.INK,
    "ytick.color": palette.INK,
}


@dataclass(frozen=True)
class Look:
    """A strategy's colour, line style and marker."""

    colour: str
    line_style: palette.LineStyle
    marker: str


@dataclass(frozen=True)
class Picture:
    """A saved picture: its file name without ending, its text alternative, and its SVG."""

    name: str
    title: str
    caption: str
    svg: str

    @property
    def rem(self) -> float:
        """How wide a page may show it, in rem: somewhat larger than drawn."""
        found = re.search(r'width="([\d.]+)pt"', self.svg)
        return 1.3 / 12 * float(found[1]) if found else 40.0

    @property
    def is_wide(self) -> bool:
        """Whether it is wider than half a page."""
        return self.rem > 65

    def _repr_html_(self) -> str:
        """The picture in a notebook."""
        return self.svg[self.svg.index("<svg") :]


Drawing = tuple[Figure, str, str]
"""A figure, its title (also its text alternative), and its caption."""


def looks(strategies: Iterable[str]) -> dict[str, Look]:
    """The look of each strategy: palette's own colour, or one that no other has, up to ten.

    A variant's name (``onecycle (pct_start=20%)``) begins with its strategy's.
    """
    found: dict[str, Look] = {}
    names = sorted(strategies)
    for number, name in enumerate(sorted(names, key=lambda name: name not in palette.STRATEGIES)):
        base = name.partition(" (")[0]
        taken = {look.colour for look in found.values()}
        free = [colour for colour in palette.COLOURS if colour not in taken]
        colour, style = palette.colour(base), palette.line_style(base)
        if colour in taken:
            colour = free[0] if free else palette.COLOURS[number % len(palette.COLOURS)]
            style = palette.STYLES[number % len(palette.STYLES)]
        found[name] = Look(colour, style, MARKERS[names.index(name) % len(MARKERS)])
    return found


def new_figure(
    width: float, height: float, columns: int = 1, rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` × `height` inches with `rows` × `columns` axes, in reading order."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.get_layout_engine().set(wspace=0.05)  # type: ignore[union-attr, call-arg]
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def save(figure: Figure, folder: Path, name: str, title: str, caption: str) -> Picture:
    """Write `name`.svg and `name`.png into `folder`."""
    with matplotlib.rc_context(STYLE):
        vector, raster = io.BytesIO(), io.BytesIO()
        figure.savefig(vector, format="svg", metadata={"Date": None, "Title": title})
        figure.set_layout_engine("none")  # the axes stay where that has put them
        figure.set_dpi(150)
        FigureCanvasAgg(figure).print_png(raster)  # savefig would draw it twice
    svg = themed(vector.getvalue().decode())
    for ending, data in (("svg", svg.encode()), ("png", raster.getvalue())):
        with atomic_write(folder / f"{name}.{ending}") as file:
            file.write(data)
    return Picture(name, title, caption, svg)


def themed(svg: str) -> str:
    """`svg` with rules that change its colours where the page is dark."""
    rules = "".join(
        f'[style*="{kind}: {colour}"]{{{kind}:{palette.on_dark(colour)}!important}}'
        for kind, colour in sorted(set(re.findall(r"(fill|stroke): (#[0-9a-f]{6})", svg)))
    )
    dark = f"@media (prefers-color-scheme: dark){{{rules}}}"
    return svg.replace("</style>", f"{dark}</style>", 1)


def keep(pictures: Iterable[Picture], folder: Path, own: str) -> list[Path]:
    """The files of `pictures` in `folder`; those that an earlier report drew and this one did not
    are removed. `own` is a regular expression of the names a report may draw.
    """
    files = [folder / f"{p.name}.{ending}" for p in pictures for ending in ("svg", "png")]
    for path in {*folder.glob("*.svg"), *folder.glob("*.png")} - set(files):
        if re.fullmatch(own, path.stem):
            path.unlink(missing_ok=True)
    return files


def label_right(
    axes: Axes, labels: Sequence[tuple[str, float, float]], styles: dict[str, Look], *, line: bool
) -> None:
    """Name curves or points at the right edge of `axes`, each with its line or marker.

    Labels stand at the height of what they name, pushed apart where they would touch; a thin line
    leads from a curve's end to its label. Call it when the axis limits are final.

    Args:
        labels: (strategy, x, y) in data coordinates.
    """
    if not labels:
        return
    figure_height = axes.figure.get_size_inches()[1]  # type: ignore[union-attr]
    gap = LABEL_HEIGHT / (figure_height - 0.75)
    to_axes = axes.transData + axes.transAxes.inverted()
    points = [to_axes.transform((x, y)) for _, x, y in labels]
    heights = spread([float(np.clip(p[1], 0, 1)) for p in points], gap, top=1.0)
    for (name, *_), (x, y), height in zip(labels, points, heights, strict=True):
        look = styles[name]
        where: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        if line:
            leader = [x, 1.02], [np.clip(y, 0, 1), height]
            axes.add_line(Line2D(*leader, color=palette.FAINT, lw=0.6, **where))
        sample: dict[str, Any] = (
            {"ls": look.line_style} if line else {"ls": "none", "marker": look.marker}
        )
        ends = [1.025, 1.125] if line else [1.04]
        axes.add_line(
            Line2D(ends, [height] * len(ends), color=look.colour, lw=1.8, ms=6, **sample, **where)
        )
        axes.text(
            ends[-1] + 0.015, height, name, color=look.colour, va="center", fontsize=FONT_SIZE,
            transform=axes.transAxes,
        )  # fmt: skip


def spread(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Positions as near as may be to `wanted` but at least `gap` apart, from 0 to `top`.

    Labels that would touch form a block around the mean of what they wanted (the least-squares
    answer, by pooling adjacent violators).
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[list[float]] = []  # [sum of (wanted - offset), count]
    for place, index in enumerate(order):
        blocks.append([wanted[index] - place * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    starts = [total / count for total, count in blocks for _ in range(int(count))]
    highest = max(0.0, top - (len(wanted) - 1) * gap)
    starts = [min(max(start, 0.0), highest) for start in starts]
    found = [0.0] * len(wanted)
    for place, (index, start) in enumerate(zip(order, starts, strict=True)):
        found[index] = start + place * gap
    return found


def log_axis(axis: Any, *, dense: bool) -> None:
    """Plain numbers (0.02, 0.1) on a logarithmic axis; `dense` labels 1, 2 and 5 of a decade."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if dense else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def measure_axis(axis: Any, measure: Measure) -> None:
    """Values of `measure` as they are told, ``97.5 %``; shares end at 100 % and at 0."""
    if measure.unit != POINTS:
        return
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{measure.scale * value:.4g} %"))
    low, high = axis.get_view_interval()
    limits = max(low, 0.0), min(high, 100 / measure.scale)
    if limits[0] < limits[1]:
        (axis.axes.set_ylim if axis.axis_name == "y" else axis.axes.set_xlim)(limits)


def count_axis(axis: Any) -> None:
    """Updates as ``12,000``, and parts of an epoch as ``1.5``."""
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if value == int(value) else f"{value:g}")
    )
