"""The picture: lr (and momentum) over updates and epochs, names at the lines; PNG, SVG or PDF."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lrbench.draw import figure as figure_style
from lrbench.draw import palette
from lrbench.draw.labels import place
from lrbench.preview.curve import ScheduleCurve, crowded
from lrbench.preview.replay import History, finite_losses

DPI = 150
LABEL_GAP = 5.0  # pixels at DPI
BEYOND = 0.6  # how much paler a replay is drawn where it is no longer valid
STYLE: Any = {
    **figure_style.STYLE,
    "font.size": 10,
    "axes.spines.top": True,  # the scale of epochs
    "grid.linewidth": 0.6,
    "lines.dash_capstyle": "butt",
}


def save_picture(
    paths: Sequence[Path],
    curves: Sequence[ScheduleCurve],
    *,
    history: History | None = None,
    scale: str = "linear",
    title: str = "",
) -> None:
    """Draw `curves` and write the picture to each of `paths`, whose endings say the format."""
    with matplotlib.rc_context(STYLE):
        if crowded(curves):
            figure = small_multiples(curves, scale=scale, title=title)
        else:
            figure = draw(curves, history=history, scale=scale, title=title)
        save(figure, paths)


def save(figure: Figure, paths: Sequence[Path]) -> None:
    """Write `figure` to each of `paths`, without dates: the same picture is the same file."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
        figure.savefig(path, dpi=DPI, metadata=metadata)


def draw(
    curves: Sequence[ScheduleCurve], *, history: History | None, scale: str, title: str
) -> Figure:
    """All curves in one panel; below it the momentum, if any of them sets it, and the losses."""
    momentum = any(curve.cycles_momentum for curve in curves)
    losses = history is not None and any(curve.replayed for curve in curves)
    heights = [3.6, *([1.3] if momentum else []), *([1.3] if losses else [])]
    bottom, top, between = 0.6, 0.85, 0.35  # inches
    height = bottom + top + sum(heights) + between * (len(heights) - 1)
    figure = Figure(figsize=(9.0, height), dpi=DPI)
    FigureCanvasAgg(figure)
    x_stop = max(curve.total_steps for curve in curves)
    axes = []
    above = height - top
    for panel in heights:
        above -= panel
        axes.append(figure.add_axes((0.09, above / height, 0.88, panel / height)))
        above -= between
    for ax in axes:
        ax.set_xlim(0, x_stop)
        ax.tick_params(length=3)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(_thousands))
        ax.tick_params(labelbottom=ax is axes[-1])
        ax.spines.top.set_visible(ax is axes[0])
    axes[-1].set_xlabel("optimizer updates")
    _add_epochs(axes[0], curves)
    figure.text(0.09, 1 - 0.3 / height, title, fontsize=10, color=palette.INK, va="center")

    looks = appearances(curves)
    axes[0].set_ylabel("learning rate")
    axes[0].set_yscale(scale)
    _draw_lines(axes[0], curves, looks)
    _limit(axes[0], curves, scale)
    _label(axes[0], names_of(curves, looks))
    if momentum:
        _draw_momentum(axes[1], curves, looks)
    if losses and history is not None:
        _draw_losses(axes[-1], history)
    return figure


def small_multiples(
    curves: Sequence[ScheduleCurve],
    *,
    scale: str,
    title: str,
    columns: int = 4,
    ylabel: str = "learning rate",
) -> Figure:
    """A panel for each curve, all with the same axes; momentum, where set, in dashed grey."""
    rows = math.ceil(len(curves) / columns)
    width, height = 2.7 * columns, 1.65 * rows + 1.0
    figure = Figure(figsize=(width, height), dpi=DPI)
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.65 / width,
        right=1 - 0.2 / width,
        bottom=0.6 / height,
        top=1 - 0.75 / height,
        hspace=0.4,
        wspace=0.14,
    )
    figure.text(0.65 / width, 1 - 0.3 / height, title, fontsize=11, va="center")
    if any(curve.cycles_momentum for curve in curves):
        x, y, text = 1 - 0.2 / width, 1 - 0.3 / height, "dashed grey: momentum"
        figure.text(x, y, text, fontsize=8.5, color=palette.FAINT, ha="right", va="center")
    looks = appearances(curves)
    x_stop = max(curve.total_steps for curve in curves)
    for position, (ax, curve, look) in enumerate(zip(grid.flat, curves, looks, strict=False)):
        size = 9.5 * min(1, 30 / len(curve.label))
        ax.set_title(curve.label, fontsize=size, loc="left", color=look["color"], pad=3)
        ax.spines.top.set_visible(False)
        _draw_lines(ax, [curve], [{**look, "linestyle": "solid"}])
        ax.set_xlim(0, x_stop)
        ax.set_yscale(scale)
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True, steps=[1, 2, 2.5, 5, 10]))
        ax.xaxis.set_major_formatter(FuncFormatter(_thousands))
        ax.tick_params(labelsize=8, length=2)
        if position + columns >= len(curves):
            ax.tick_params(labelbottom=True)
        if curve.cycles_momentum:
            _draw_small_momentum(ax, curve)
    _limit(grid.flat[0], curves, scale)
    for ax in list(grid.flat)[len(curves) :]:
        ax.set_visible(False)
    figure.supxlabel("optimizer updates", fontsize=9.5, y=0.12 / height)
    figure.supylabel(ylabel, fontsize=9.5, x=0.12 / width)
    return figure


def appearances(curves: Sequence[ScheduleCurve]) -> list[dict[str, Any]]:
    """Colour and line style of each curve: its strategy's; variants of one differ in both.

    Variants beside other strategies are paler; where all curves are variants of one strategy,
    they take the palette's other colours.
    """
    names = [curve.name for curve in curves]
    looks: list[dict[str, Any]] = []
    for i, name in enumerate(names):
        before, count = names[:i].count(name), names.count(name)
        colour, style = palette.colour(name), palette.line_style(name)
        if before:
            styles = [s for s in palette.STYLES if s != style]
            style = styles[(before - 1) % len(styles)]
            colours = [c for c in palette.COLOURS if c != colour]
            alone = len(set(names)) == 1
            paler = palette.tint(colour, 0.35 * before / (count - 1))
            colour = colours[(before - 1) % len(colours)] if alone else paler
        # Of lines on top of each other the broken ones lie above, so that both are seen.
        zorder = 2.0 if style == palette.SOLID else 2.1
        looks.append({"color": colour, "linestyle": style, "zorder": zorder})
    return looks


def _thousands(value: float, _: Any = None) -> str:
    return f"{value:,.0f}"


def _add_epochs(ax: Axes, curves: Sequence[ScheduleCurve]) -> None:
    """A second scale on top, if all curves agree on what an epoch is."""
    steps = {curve.steps_per_epoch for curve in curves}
    if len(steps) != 1:
        ax.spines.top.set_visible(False)
        return
    per_epoch = steps.pop()

    def to_epochs(updates: Any) -> Any:
        return updates / per_epoch

    def to_updates(epochs: Any) -> Any:
        return epochs * per_epoch

    top = ax.secondary_xaxis("top", functions=(to_epochs, to_updates))
    top.set_xlabel("epochs", labelpad=4)
    top.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    top.tick_params(length=3)


def _draw_lines(ax: Axes, curves: Sequence[ScheduleCurve], looks: Sequence[dict[str, Any]]) -> None:
    for curve, look in zip(curves, looks, strict=True):
        steps, lr = curve.lr_points
        mark = curve.mark
        if mark is None:
            ax.plot(steps, lr, **look)
            continue
        valid = steps <= mark.step
        pale = {**look, "color": palette.tint(look["color"], BEYOND)}
        ax.plot(steps[~valid | (steps == mark.step)], lr[~valid | (steps == mark.step)], **pale)
        ax.plot(steps[valid], lr[valid], **look)
        level = curve.lr[min(mark.step, curve.total_steps - 1)]
        ring = {"mfc": palette.BACKGROUND, "mec": look["color"], "mew": 1.5}
        ax.plot([mark.step], [level], "o", ms=6, zorder=5, clip_on=False, **ring)


def _limit(ax: Axes, curves: Sequence[ScheduleCurve], scale: str) -> None:
    high = max(float(curve.lr.max()) for curve in curves)
    if scale == "linear":
        ax.set_ylim(0, 1.12 * high)
        return
    positive = [curve.lr[curve.lr > 0] for curve in curves]
    low = min((float(lr.min()) for lr in positive if len(lr)), default=high)
    # An lr that fades to nothing would leave all else at the top of the axis.
    ax.set_ylim(max(low, high * 1e-6) / 1.5, high * 2)


@dataclass(frozen=True)
class Named:
    """A name to write at a line: the line's colour and its points in data coordinates."""

    text: str
    colour: str
    x: np.ndarray
    y: np.ndarray


def names_of(curves: Sequence[ScheduleCurve], looks: Sequence[dict[str, Any]]) -> list[Named]:
    """The name of each lr curve, and where its replay stops being valid."""
    named = []
    for curve, look in zip(curves, looks, strict=True):
        text = curve.label
        if curve.mark is not None:
            text += f"\n○ replay valid to update {curve.mark.step:,}"
        named.append(Named(text, look["color"], *curve.lr_points))
    return named


def _merged(named: Sequence[Named]) -> list[Named]:
    """`named`, where curves that are one and the same share a name."""
    merged: dict[bytes, Named] = {}
    for name in named:
        key = name.x.tobytes() + name.y.tobytes()
        first = merged.get(key)
        both = name if first is None else replace(first, text=f"{first.text} = {name.text}")
        merged[key] = both
    return list(merged.values())


def _label(ax: Axes, named: Sequence[Named], fontsize: float = 10) -> None:
    """Write each name at its line."""
    named = _merged(named)
    texts = [
        ax.annotate(
            name.text, (0, 0), xycoords="figure pixels", annotation_clip=False,
            ha="center", va="center", fontsize=fontsize, color=name.colour,
        )
        for name in named
    ]  # fmt: skip
    canvas = ax.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    extents = [text.get_window_extent(renderer) for text in texts]
    box = ax.get_window_extent(renderer)
    lines = [
        ax.transData.transform(np.column_stack([name.x, np.clip(name.y, *ax.get_ylim())]))
        for name in named
    ]
    area = (box.x0, box.y0, box.x1, box.y1)
    places = place(lines, [(e.width, e.height) for e in extents], area, LABEL_GAP)
    for text, spot, extent in zip(texts, places, extents, strict=True):
        text.set_position((spot.x, spot.y))
        text.xy = (spot.x, spot.y)
        if spot.distance > 2.2 * LABEL_GAP:  # far from its line: a thread leads there
            x, y = spot.anchor
            edge = (
                float(np.clip(x, spot.x - extent.width / 2, spot.x + extent.width / 2)),
                float(np.clip(y, spot.y - extent.height / 2, spot.y + extent.height / 2)),
            )
            thread = {"arrowstyle": "-", "lw": 0.7, "color": text.get_color()}
            ax.annotate(
                "", (x, y), edge, xycoords="figure pixels", textcoords="figure pixels",
                arrowprops={**thread, "shrinkA": 0, "shrinkB": 0}, annotation_clip=False,
            )  # fmt: skip


def _draw_momentum(
    ax: Axes, curves: Sequence[ScheduleCurve], looks: Sequence[dict[str, Any]]
) -> None:
    """The momenta that schedules set; for comparison the optimizer's own, where others keep it."""
    ax.set_ylabel("momentum")
    named = []
    for curve, look in zip(curves, looks, strict=True):
        if curve.cycles_momentum:
            ax.plot(*curve.momentum_points, **look)
            named.append(Named(curve.label, look["color"], *curve.momentum_points))
    kept = {c.own_momentum for c in curves if not c.cycles_momentum} - {None}
    for level in kept:
        assert level is not None
        ax.axhline(level, color=palette.FAINT, lw=1, ls="dotted")
        text = "the others keep the optimizer's"
        named.append(Named(text, palette.INK, np.array(ax.get_xlim()), np.array([level, level])))
    values = np.concatenate([name.y for name in named])
    room = 0.3 * max(values.max() - values.min(), 0.01)
    ax.set_ylim(values.min() - room, values.max() + room)
    _label(ax, named, fontsize=9)


def _draw_losses(ax: Axes, history: History) -> None:
    ax.set_ylabel("val loss")
    steps, losses = finite_losses(history)
    ax.plot(steps, losses, ".-", color=palette.INK, lw=1, ms=3.5)
    if losses.size and losses.min() > 0:
        ax.set_yscale("log")  # small losses decide where patience ends
    ax.margins(y=0.15)


def _draw_small_momentum(ax: Axes, curve: ScheduleCurve) -> None:
    """Momentum on a scale of its own, which the panel's title line tells."""
    x, y = curve.momentum_points
    low, high = float(y.min()), float(y.max())
    right = ax.twinx()
    right.axis("off")
    right.plot(x, y, color=palette.FAINT, lw=1, ls=(0, (3, 1.5)))
    right.set_ylim(low - 0.1 * (high - low), high + 0.25 * (high - low))
    if len(curve.label) < 18:  # else there is no room
        ax.set_title(
            f"momentum {low:g}–{high:g}", fontsize=7.5, loc="right", color=palette.FAINT, pad=3
        )
