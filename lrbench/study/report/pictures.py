"""The pictures of a study beyond those of a comparison; each function draws one and saves it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.ticker import MaxNLocator

from lrbench.compare.analysis import Analysis
from lrbench.compare.heat_map import draw_grid, shades
from lrbench.compare.plots import draw_sensitivity
from lrbench.compare.rows import AtLr
from lrbench.draw import figure
from lrbench.draw.figure import WIDTH, Picture, new_figure, save
from lrbench.study.accuracy import ACCURACY
from lrbench.study.records import Stage
from lrbench.study.report.tuning import expected_best, lr_trials

NAMES = ("lr_sensitivity", "expected_best", "budgets")
VALIDATION = "Final validation accuracy"


def lr_sensitivity(stage: Stage, names: list[str], folder: Path, num_seeds: int) -> Picture | None:
    """Validation accuracy against peak lr, from the trials."""
    rows = [
        AtLr(
            strategy=name,
            lr=trial.setting.lr,
            score=trial.score,
            score_high=math.nan,  # so few seeds carry no interval
            num_diverged=trial.num_diverged,
            best=trial.setting == stage.chosen[name],
        )
        for name in names
        for trial in lr_trials(stage.trials[name])
    ]
    if len({row.lr for row in rows}) < 2:
        return None
    with matplotlib.rc_context(figure.STYLE):
        drawing, crosses = draw_sensitivity(rows, names, figure.looks(names), VALIDATION, ACCURACY)
    caption = (
        f"Mean over {num_seeds} tuning seeds. Ring: the lr that was chosen.{crosses} "
        "Strategies are shifted sideways a little, to be seen."
    )
    title = f"{VALIDATION} against peak learning rate"
    return save(drawing, folder, "lr_sensitivity", title, caption)


def best_of_trials(stage: Stage, names: list[str], folder: Path) -> Picture | None:
    """Expected best validation accuracy against the number of trials."""
    scores = {
        name: [trial.score for trial in stage.trials[name] if not math.isnan(trial.score)]
        for name in names
    }
    scores = {name: values for name, values in scores.items() if values}
    if max(map(len, scores.values()), default=0) < 2:
        return None
    looks = figure.looks(names)
    with matplotlib.rc_context(figure.STYLE):
        drawing, (axes,) = new_figure(WIDTH, 3.4)
        axes.set_title("Expected best validation accuracy against the number of trials")
        labels = []
        for name, values in scores.items():
            best, look = expected_best(values), looks[name]
            count = range(1, len(best) + 1)
            axes.plot(count, best, color=look.colour, ls=look.line_style, marker=look.marker, ms=4)
            labels.append((name, float(len(best)), float(best[-1])))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(axes.get_xlim())  # fixed before the labels are placed
        figure.measure_axis(axes.yaxis, ACCURACY)
        axes.set_ylim(axes.get_ylim())
        axes.set_xlabel("trials, drawn at random from those that were made")
        figure.label_right(axes, labels, looks, line=True)
    caption = (
        "The best of so many trials on average (Dodge et al. 2019), by mean final validation "
        "accuracy over the tuning seeds. A line that starts high needs little tuning."
    )
    title = "Expected best validation accuracy against the number of trials"
    return save(drawing, folder, "expected_best", title, caption)


def budgets(analyses: Mapping[float, Analysis], folder: Path) -> Picture | None:
    """Mean test accuracy by schedule and budget, as a heat map."""
    if len(analyses) < 2:
        return None
    columns = {
        f"{100 * share:g} %": {s.strategy: s.mean_score for s in analyses[share].standings}
        for share in sorted(analyses)
    }
    grid = pd.DataFrame(columns)
    grid = grid.loc[grid.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    limits = shades(grid.stack(), ACCURACY)
    with matplotlib.rc_context(figure.STYLE):
        drawing, (axes,) = new_figure(
            2.2 + max(2.0, 0.85 * grid.shape[1]), 1.1 + max(0.8, 0.4 * grid.shape[0])
        )
        draw_grid(axes, grid, limits, ACCURACY)
        axes.set_xlabel("share of the full length")
    caption = (
        "Mean test accuracy on the final seeds in per cent, each schedule tuned at each budget, a "
        "diverged run as guessing; darker is better, bold the best of all."
    )
    return save(drawing, folder, "budgets", "Mean test accuracy by schedule and budget", caption)
