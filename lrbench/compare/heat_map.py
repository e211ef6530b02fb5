"""The heat map of a sweep over further keys: the mean by strategy and by swept value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from lrbench.compare.analysis import Analysis
from lrbench.compare.conditions import LR, number
from lrbench.draw import figure, palette
from lrbench.draw.figure import Picture
from lrbench.task.measure import POINTS, Measure

PANELS_ACROSS = 3
MAX_CELLS = 600  # of all panels together; smaller cells could not hold their numbers


def heat_map(analyses: Sequence[Analysis], folder: Path) -> Picture | None:
    """Strategies against the values of one swept key, or for two keys a panel per strategy.

    None if fewer or more keys were swept, there are too many values for numbers in cells, or the
    groups have different measures.
    """
    measures = {(analysis.metric, analysis.measure) for analysis in analyses}
    table = _cells(analyses)
    keys = [column for column in table.columns if column not in ("strategy", "score")]
    keys = [key for key in keys if table[key].nunique() > 1]
    if not 1 <= len(keys) <= 2 or len(table) > MAX_CELLS or len(measures) > 1:
        return None
    rows, columns = ("strategy", keys[0]) if len(keys) == 1 else keys
    strategies = list(dict.fromkeys(table["strategy"]))
    panels = [table] if len(keys) == 1 else [table[table["strategy"] == s] for s in strategies]
    titles = [""] if len(keys) == 1 else strategies
    row_values = strategies if rows == "strategy" else _ordered(table[rows])
    column_values = _ordered(table[columns])
    measure, metric = analyses[0].measure, analyses[0].name
    limits = shades(table["score"], measure)
    across = min(PANELS_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    width = 1.6 + max(2.0, 0.75 * len(column_values))
    height = 1.1 + max(0.8, 0.4 * len(row_values))
    with matplotlib.rc_context(figure.STYLE):
        drawing, axes = figure.new_figure(width * across, height * down, across, down)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        for ax, panel, title in zip(axes, panels, titles, strict=False):
            grid = panel.pivot_table("score", rows, columns, aggfunc="mean", sort=False)
            grid = grid.reindex(index=row_values, columns=column_values)
            draw_grid(ax, grid, limits, measure)
            ax.set_title(title)
            ax.set_xlabel(str(columns))
            ax.set_ylabel("" if rows == "strategy" else str(rows))
    title = f"Mean {metric} by {rows} and {columns}"
    unit = " in per cent" if measure.unit == POINTS else ""
    diverged = "left out" if measure.guess is None else "as guessing"
    caption = f"Mean {metric}{unit}, a diverged run {diverged}; stronger is better."
    return figure.save(drawing, folder, "heat_map", title, caption)


def _cells(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """One row per strategy and combination of swept values."""
    rows: list[dict[str, Any]] = []
    for analysis in analyses:
        condition = {key: number(value) for key, value in analysis.group.condition.items()}
        shown = [(row.strategy, {LR: number(row.lr)}, row.score) for row in analysis.sensitivity]
        shown = shown or [(s.strategy, {}, s.mean_score) for s in analysis.standings]
        rows += [{"strategy": name, **condition, **lr, "score": score} for name, lr, score in shown]
    return pd.DataFrame(rows).fillna({LR: ""}) if rows else pd.DataFrame()


def _ordered(values: pd.Series) -> list[str]:
    """Distinct values, the numbers in them in the order of numbers: resnet8 before resnet20."""

    def key(text: str) -> tuple[Any, ...]:
        try:
            return (0, float(text.split()[0].rstrip("%")), text)
        except (ValueError, IndexError):
            parts = re.split(r"(\d+)", text)
            return (1, *(int(p) if p.isdecimal() else p for p in parts))

    return sorted(dict.fromkeys(values), key=key)


def shades(scores: pd.Series, measure: Measure) -> tuple[float, float]:
    """The values of the lightest and the darkest grey.

    One ruined cell must not make all others look alike: the lightest is for the bulk's end.
    """
    worth = measure.sign * scores
    high, middle = worth.max(), worth.median()
    light = max(worth.min(), high - 3 * (high - middle or abs(high)))
    return measure.sign * light, measure.sign * high


def draw_grid(ax: Any, grid: pd.DataFrame, limits: tuple[float, float], measure: Measure) -> None:
    """Values of `grid` as cells from faint (`limits[0]`) to strong, each with its number."""
    light, dark = (measure.sign * limit for limit in limits)
    worth = measure.sign * grid.to_numpy(dtype=float)
    shades = np.clip((worth - light) / (dark - light or 1.0), 0, 1)
    for (row, column), shade in np.ndenumerate(shades):
        if math.isfinite(shade):  # ink that lets the page through: it suits a light and a dark one
            cell = Rectangle((column - 0.5, row - 0.5), 1, 1, color=palette.INK, lw=0)
            cell.set_alpha(0.04 + 0.36 * float(shade))
            ax.add_patch(cell)
    ax.set_xlim(-0.5, grid.shape[1] - 0.5)
    ax.set_ylim(grid.shape[0] - 0.5, -0.5)
    ax.grid(False)
    ax.set_xticks(range(grid.shape[1]), grid.columns)
    ax.set_yticks(range(grid.shape[0]), grid.index)
    ax.tick_params(length=0)
    best = np.nanmax(worth) if np.isfinite(worth).any() else math.nan
    for (row, column), value in np.ndenumerate(worth):
        weight = "bold" if value == best else "normal"
        text = measure.number(measure.sign * value)
        ax.text(column, row, text, ha="center", va="center", color=palette.INK, weight=weight)
