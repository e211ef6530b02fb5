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
from lrbench.study.records import Stage
from lrbench.study.report.tuning import expected_best, lr_trials
from lrbench.task import Measure

NAMES = ("lr_sensitivity", "expected_best", "budgets")


def lr_sensitivity(stage: Stage, names: list[str], folder: Path, num_seeds: int) -> Picture | None:
    """The validation's measure against peak lr, from the trials."""
    measure, what = _validation(stage)
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
        drawing, crosses = draw_sensitivity(rows, names, figure.looks(names), what, measure)
    caption = (
        f"Mean over {num_seeds} tuning seeds. Ring: the lr that was chosen.{crosses} "
        "Strategies are shifted sideways a little, to be seen."
    )
    title = f"{what} against peak learning rate"
    return save(drawing, folder, "lr_sensitivity", title, caption)


def best_of_trials(stage: Stage, names: list[str], folder: Path) -> Picture | None:
    """Expected best of the validation's measure against the number of trials."""
    measure, what = _validation(stage)
    title = f"Expected best {what.removeprefix('Final ')} against the number of trials"
    rated = {
        name: own
        for name in names
        if (own := [trial for trial in stage.trials[name] if math.isfinite(trial.score)])
    }
    if max(map(len, rated.values()), default=0) < 2:
        return None
    looks = figure.looks(names)
    with matplotlib.rc_context(figure.STYLE):
        drawing, (axes,) = new_figure(WIDTH, 3.4)
        axes.set_title(title)
        labels = []
        for name, trials in rated.items():
            best, look = expected_best(trials), looks[name]
            count = range(1, len(best) + 1)
            axes.plot(count, best, color=look.colour, ls=look.line_style, marker=look.marker, ms=4)
            labels.append((name, float(len(best)), float(best[-1])))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(axes.get_xlim())  # fixed before the labels are placed
        figure.measure_axis(axes.yaxis, measure)
        axes.set_ylim(axes.get_ylim())
        axes.set_xlabel("trials, drawn at random from those that were made")
        figure.label_right(axes, labels, looks, line=True)
    caption = (
        "The best of so many trials on average (Dodge et al. 2019), by mean final validation "
        f"{measure.label} over the tuning seeds. A line that starts well needs little tuning."
    )
    return save(drawing, folder, "expected_best", title, caption)


def budgets(analyses: Mapping[float, Analysis], folder: Path) -> Picture | None:
    """The mean of the test's measure by schedule and budget, as a heat map."""
    if len(analyses) < 2:
        return None
    measure = next(iter(analyses.values())).measure
    columns = {
        f"{100 * share:g} %": {s.strategy: s.mean_score for s in analyses[share].standings}
        for share in sorted(analyses)
    }
    grid = pd.DataFrame(columns)
    order = (measure.sign * grid.mean(axis=1)).sort_values(ascending=False, kind="stable")
    grid = grid.loc[order.index]
    limits = shades(grid.stack(), measure)
    with matplotlib.rc_context(figure.STYLE):
        drawing, (axes,) = new_figure(
            2.2 + max(2.0, 0.85 * grid.shape[1]), 1.1 + max(0.8, 0.4 * grid.shape[0])
        )
        draw_grid(axes, grid, limits, measure)
        axes.set_xlabel("share of the full length")
    caption = (
        f"Mean test {measure.label} on the final seeds{measure.in_unit}, each schedule tuned at "
        f"each budget, {measure.divergence}; stronger is better, bold the best of all."
    )
    title = f"Mean test {measure.label} by schedule and budget"
    return save(drawing, folder, "budgets", title, caption)


def _validation(stage: Stage) -> tuple[Measure, str]:
    """The primary measure, and ``Final validation accuracy``."""
    measure = next(iter(stage.trials.values()))[0].measure
    return measure, f"Final validation {measure.label}"
