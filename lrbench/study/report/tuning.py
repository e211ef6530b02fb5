"""What tuning showed: sensitivity to the peak lr, and what further trials would bring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from lrbench.compare.analysis import Analysis
from lrbench.study.records import Stage, Trial

Array = NDArray[np.float64]


def lr_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Those of the peak lr alone, by lr: no knob of the strategy's own was changed."""
    found = [t for t in trials if not t.setting.knobs and not math.isnan(t.score)]
    return sorted(found, key=lambda trial: trial.setting.lr)


def common_range(stage: Stage, names: Sequence[str]) -> tuple[float, float]:
    """The lowest and highest peak lr that every one of `names` was tried up to."""
    lrs = [[t.setting.lr for t in lr_trials(stage.trials.get(name, ()))] for name in names]
    if not lrs or not all(lrs):
        return math.nan, math.nan
    return max(min(own) for own in lrs), min(max(own) for own in lrs)


def shortfall(trials: Sequence[Trial], low: float, high: float) -> float:
    """Sensitivity to the peak lr: the mean shortfall from the best over a range of log lr.

    The area between the strategy's best score in the range and its score as a function of log lr
    (straight lines between the trials), divided by the range's width: so much of the validation
    measure is lost on average by whoever picks a peak lr there blindly, log-uniformly. A diverged
    run counts as guessing, so that an lr that ruins training weighs as much as it costs. NaN
    without two trials and a range, and where one diverged and guessing has no number.
    """
    own = lr_trials(trials)
    if len(own) < 2 or not low < high:
        return math.nan
    x = np.log([trial.setting.lr for trial in own])
    y = np.array([trial.goodness for trial in own])
    ends = np.log([low, high])
    inside = (x > ends[0]) & (x < ends[1])
    at = np.concatenate([ends[:1], x[inside], ends[1:]])
    if not np.isfinite(y[(x >= ends[0]) & (x <= ends[1])]).all():
        return math.nan
    scores = np.interp(at, x, y)
    return float(scores.max() - trapezoid(scores, at) / (ends[1] - ends[0]))


def shortfall_noise(tuned: Analysis, num_seeds: int) -> float:
    """By how much two shortfalls may differ through seeds alone: two standard errors.

    A shortfall is as uncertain as the best trial that it is measured from: its standard error is
    about the standard deviation of a run's final validation measure over seeds (that of the runs
    on the final seeds, pooled over strategies) by the root of the `num_seeds` of a trial. NaN
    where no strategy completed two runs.
    """
    completed = tuned.chosen[tuned.chosen["status"] == "completed"]
    variances = completed.groupby("strategy")["val_score"].var(ddof=1)
    return float(2 * math.sqrt(2 * variances.mean() / num_seeds))


def expected_best(trials: Sequence[Trial]) -> Array:
    """Expected best score of 1, 2, … N trials drawn from the N `trials`, with replacement.

    Dodge et al. 2019, equation 7: with v_1 ≤ … ≤ v_N the best of k is v_i with probability
    (i/N)^k − ((i−1)/N)^k.
    """
    sign = trials[0].measure.sign
    values = np.sort([trial.goodness for trial in trials])
    below = np.arange(len(values) + 1) / len(values)
    draws = np.arange(1, len(values) + 1)[:, None]
    weights = np.diff(below[None, :] ** draws, axis=1)  # (k, i)
    expected: Array = sign * (weights @ values)
    return expected


def trials_table(stages: Sequence[Stage]) -> pd.DataFrame:
    """One row per trial of every budget."""
    rows = [
        {
            "budget": stage.share,
            "length": stage.length,
            "strategy": name,
            "trial": number,
            "lr": trial.setting.lr,
            "knobs": " ".join(f"{k}={v}" for k, v in trial.setting.knobs.items()),
            "num_seeds": len(trial.points),
            f"val_{trial.measure.name}": trial.score,
            **({} if trial.measure.name == "loss" else {"val_loss": trial.loss}),
            "num_diverged": trial.num_diverged,
            "pruned": trial.pruned,
            "chosen": trial.setting == stage.chosen[name],
        }
        for stage in stages
        for name, trials in stage.trials.items()
        for number, trial in enumerate(trials, start=1)
    ]
    return pd.DataFrame(rows)


def shortfalls(stage: Stage, names: Sequence[str]) -> Mapping[str, float]:
    """`shortfall` of each of `names`, over their common range."""
    low, high = common_range(stage, names)
    return {name: shortfall(stage.trials.get(name, ()), low, high) for name in names}
