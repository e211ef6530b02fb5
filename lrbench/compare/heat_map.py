"""The heat map of a sweep over further keys: mean accuracy by strategy and by swept value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from lrbench.compare.analysis import Analysis
from lrbench.compare.groups import LR, number
from lrbench.compare.settings import METRICS
from lrbench.draw import figure, palette
from lrbench.draw.figure import Picture

PANELS_ACROSS = 3
MAX_CELLS = 600  # of all panels together; smaller cells could not hold their numbers


def heat_map(analyses: Sequence[Analysis], folder: Path) -> Picture | None:
    """Strategies against the values of one swept key, or for two keys a panel per strategy.

    None if fewer or more keys were swept, or there are too many values for numbers in cells.
    """
    table = _cells(analyses)
    keys = [column for column in table.columns if column not in ("strategy", "score")]
    keys = [key for key in keys if table[key].nunique() > 1]
    if not 1 <= len(keys) <= 2 or len(table) > MAX_CELLS:
        return None
    rows, columns = ("strategy", keys[0]) if len(keys) == 1 else keys
    strategies = list(dict.fromkeys(table["strategy"]))
    panels = [table] if len(keys) == 1 else [table[table["strategy"] == s] for s in strategies]
    titles = [""] if len(keys) == 1 else strategies
    row_values = strategies if rows == "strategy" else _ordered(table[rows])
    column_values = _ordered(table[columns])
    low, high = shades(table["score"])
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
            draw_grid(ax, grid, low, high)
            ax.set_title(title)
            ax.set_xlabel(str(columns))
            ax.set_ylabel("" if rows == "strategy" else str(rows))
    metric = METRICS[analyses[0].settings.metric]
    title = f"Mean {metric} by {rows} and {columns}"
    caption = f"Mean {metric} in per cent, a diverged run as guessing; darker is better."
    return figure.save(drawing, folder, "heat_map", title, caption)


def _cells(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """One row per strategy and combination of swept values."""
    rows: list[dict[str, Any]] = []
    for analysis in analyses:
        condition = {key: number(value) for key, value in analysis.group.condition.items()}
        swept = analysis.sensitivity
        table = analysis.summary if swept is None else swept
        score = "mean_score" if swept is None else "score"
        for row in table.to_dict("records"):
            lr = {} if swept is None else {LR: number(row["lr"])}
            rows.append({"strategy": row["strategy"], **condition, **lr, "score": row[score]})
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


def shades(scores: pd.Series) -> tuple[float, float]:
    """The accuracies of the lightest and the darkest grey.

    One ruined cell must not make all others look alike: the lightest is for the bulk's end.
    """
    high, middle = scores.max(), scores.median()
    return max(scores.min(), high - 3 * (high - middle or high)), high


def draw_grid(ax: Any, grid: pd.DataFrame, low: float, high: float) -> None:
    """Accuracies of `grid` as cells from light (`low`) to dark (`high`), each with its number."""
    span = high - low or 1.0
    ax.imshow(grid, cmap="Greys", vmin=low, vmax=high + 1.5 * span, aspect="auto")
    ax.grid(False)
    ax.set_xticks(range(grid.shape[1]), grid.columns)
    ax.set_yticks(range(grid.shape[0]), grid.index)
    ax.tick_params(length=0)
    best = np.nanmax(grid.to_numpy()) if grid.notna().to_numpy().any() else math.nan
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        text = "–" if math.isnan(value) else f"{100 * value:.2f}"
        weight = "bold" if value == best else "normal"
        ax.text(column, row, text, ha="center", va="center", color=palette.INK, weight=weight)
