"""What tuning showed: sensitivity to the peak lr, and what further trials would bring."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from lrbench.compare.analysis import Analysis
from lrbench.compare.pairs import BLOCK
from lrbench.study.records import Stage, Trial

Array = NDArray[np.float64]
DRAWS = 2_000  # of the noise in a shortfall


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


@dataclass(frozen=True)
class Shortfall:
    """How much is lost by picking a peak lr blindly, with a 95 % interval; NaN: not known."""

    value: float
    low: float
    high: float


def shortfall(trials: Sequence[Trial], low: float, high: float, error: float) -> Shortfall:
    """Sensitivity to the peak lr: the mean shortfall from the best over a range of log lr.

    The area between the strategy's best score in the range and its score as a function of log lr
    (straight lines between the trials), divided by the range's width: so much of the validation
    measure is lost on average by whoever picks a peak lr there blindly, log-uniformly. A diverged
    run counts as guessing, so that an lr that ruins training weighs as much as it costs. NaN
    without two trials and a range, and where one diverged and guessing has no number.

    The best of several noisy scores is too good, so that a flat response would show a shortfall:
    what noise adds to scores like these, shrunk towards their mean (James and Stein 1961), is
    simulated and taken off; the interval is the basic bootstrap's.

    Args:
        error: standard error of a trial's score, see `trial_error`; NaN: nothing is taken off.
    """
    own = lr_trials(trials)
    if len(own) < 2 or not low < high:
        return Shortfall(math.nan, math.nan, math.nan)
    x = np.log([trial.setting.lr for trial in own])
    y = np.array([trial.goodness for trial in own])
    ends = np.log([low, high])
    inside = (x > ends[0]) & (x < ends[1])
    at = np.concatenate([ends[:1], x[inside], ends[1:]])
    if not np.isfinite(y[(x >= ends[0]) & (x <= ends[1])]).all():
        return Shortfall(math.nan, math.nan, math.nan)

    def area(scores: Array) -> Array:
        return np.asarray(scores.max(axis=-1) - trapezoid(scores, at) / (ends[1] - ends[0]))

    seen = np.interp(at, x, y)
    found = float(area(seen))
    if math.isnan(error):
        return Shortfall(found, math.nan, math.nan)
    spread = float(((seen - seen.mean()) ** 2).sum())
    kept = max(0.0, 1 - (len(at) - 1) * error**2 / spread) if spread else 0.0
    likely = seen.mean() + kept * (seen - seen.mean())
    drawn = area(likely + error * np.random.default_rng(0).normal(size=(DRAWS, len(at))))
    excess = drawn - float(area(likely))
    ends_of = found - np.quantile(excess, [0.975, 0.025])
    value, least, most = np.maximum([found - excess.mean(), *ends_of], 0.0).tolist()
    return Shortfall(value, least, most)


def trial_error(tuned: Analysis, num_seeds: int) -> float:
    """Standard error of a trial's score, without what all trials share on a seed.

    From the final validation values of the runs on the final seeds: their spread that neither the
    seed nor the strategy explains, by the root of a trial's seeds. NaN below two strategies or two
    seeds that all of them completed.
    """
    completed = tuned.chosen[tuned.chosen["status"] == "completed"]
    table = completed.pivot(index=BLOCK, columns="strategy", values="val_score").dropna().to_numpy()
    if min(table.shape) < 2:
        return math.nan
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(math.sqrt((rest**2).sum() / freedom / num_seeds))


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


def shortfalls(stage: Stage, names: Sequence[str], error: float) -> Mapping[str, Shortfall]:
    """`shortfall` of each of `names`, over their common range."""
    low, high = common_range(stage, names)
    return {name: shortfall(stage.trials.get(name, ()), low, high, error) for name in names}
