"""From recorded runs to the losses of schedules that were never run, with an interval.

The law is the one that best foretells the final losses of recorded runs that are held out, and the
interval comes from those same errors; how well it fits the runs it was fitted on counts nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from lrbench.forecast.fit import CurveFit, Fit, Recording, fit_bound, fit_curve
from lrbench.forecast.laws import BOUND_LAWS, CURVE_LAWS, LAWS, Array

LEAST_RUNS = 3  # of different lrs
LEAST_FOR_BOUND = 4  # final losses for its three parameters
SAME_LR = 1.05  # as a factor between two peak lrs
LR_FACTOR, LR_FACTOR_ALONE = 2.0, 1.25  # beyond the peak lrs seen, or beyond the only one
LENGTH_FACTOR = 4.0  # beyond the longest run seen
POINTS = 200  # of a forecast curve
CONFIDENCE = 0.95
# Final losses of public curves were foretold with these relative errors (README.md); they count as
# much as so many runs held out, as the errors of three runs alone may all be small by chance.
USUAL_OF_CURVE, USUAL_OF_BOUND, WORTH = 0.003, 0.005, 3


class ForecastError(ValueError):
    """Nothing can be forecast, and why, in one line."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """What a law says of one schedule.

    Attributes:
        lr: of every update, (T,).
        steps: updates taken, (E,), up to T.
        losses, low, high: the forecast after each and its interval, (E,); the last is the final
            loss. By the log-bound it is what a run would end with that takes so many updates.
    """

    name: str
    lr: Array
    steps: Array
    losses: Array
    low: Array
    high: Array

    @property
    def final(self) -> tuple[float, float, float]:
        """The final loss, and the lower and the upper end of its interval."""
        return float(self.losses[-1]), float(self.low[-1]), float(self.high[-1])


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A law, fitted to recorded runs.

    Attributes:
        errors: of each law that could be tried, the errors of the logarithm of the final losses
            of runs held out, predicted less measured, (H,).
        scores: of each, what it was chosen by: the root mean square of such errors, over the later
            half of the held-out curves where the law gives curves.
    """

    runs: tuple[Recording, ...]
    fit: Fit
    errors: Mapping[str, Array]
    scores: Mapping[str, float]

    def half_width(self) -> float:
        """Of the 95 % interval of a forecast, relative to the loss."""
        errors = self.errors[self.fit.name]
        return self._deviations(errors, len(errors))

    def least_difference(self, tail: float = (1 - CONFIDENCE) / 2) -> float:
        """The least difference between two forecasts that can be told, relative to the loss.

        An error that all forecasts share cancels.

        Args:
            tail: how likely two runs that end alike may be told apart, one way.
        """
        errors = self.errors[self.fit.name]
        return math.sqrt(2) * self._deviations(errors - errors.mean(), len(errors) - 1, tail)

    def _deviations(self, errors: Array, freedom: int, tail: float = (1 - CONFIDENCE) / 2) -> float:
        """The quantile 1 − `tail` of an error, from some errors and the law's usual one."""
        usual = USUAL_OF_BOUND if self.fit.name in BOUND_LAWS else USUAL_OF_CURVE
        freedom += WORTH
        deviation = math.sqrt((float(np.square(errors).sum()) + WORTH * usual**2) / freedom)
        return float(student.isf(tail, freedom)) * deviation

    def forecast(self, name: str, lr: ArrayLike) -> Forecast:
        """The curve of a run whose lr at every update is `lr`, (T,).

        Raises:
            ForecastError: `lr` is far outside the runs that the law was fitted on.
        """
        lr = np.asarray(lr, np.float64)
        self._check(name, lr)
        first = min(int(run.steps[0]) for run in self.runs)
        steps = np.unique(np.linspace(min(first, len(lr)), len(lr), POINTS).round().astype(int))
        losses = self.fit.losses(lr, steps)
        width = math.exp(self.half_width())
        return Forecast(name, lr, steps, losses, losses / width, losses * width)

    def _check(self, name: str, lr: Array) -> None:
        peaks = [run.peak for run in self.runs]
        low, high, peak = min(peaks), max(peaks), float(lr.max())
        alone = high <= SAME_LR * low
        factor = LR_FACTOR_ALONE if alone else LR_FACTOR
        if not low / factor <= peak <= high * factor:
            seen = f"{low:g}" if alone else f"{low:g} to {high:g}"
            raise ForecastError(
                f"{name}: its peak lr {peak:g} is far outside those of the runs ({seen}): record a "
                f"short run near it, or ask for {low / factor:.3g} to {high * factor:.3g}"
            )
        longest = max(len(run.lr) for run in self.runs)
        if len(lr) > LENGTH_FACTOR * longest:
            raise ForecastError(
                f"{name}: {len(lr):,} updates are more than {LENGTH_FACTOR:g} times those of the "
                f"longest run ({longest:,}): record a longer run"
            )


def learn(
    runs: Sequence[Recording], laws: Iterable[str] = LAWS, *, ahead: bool = False
) -> Forecaster:
    """Fit each of `laws` and choose the one with the least error on final losses held out.

    Runs of one lr (other seeds, say) are held out together.

    Args:
        ahead: hold out the longest runs, all at once, instead of each lr in turn: the errors are
            then those of forecasts that are longer than anything that was run.

    Raises:
        ForecastError: the runs are too few, or leave the laws' parameters open.
    """
    groups = _groups(runs)
    if len(groups) < LEAST_RUNS:
        raise ForecastError(
            f"{len(groups)} runs that differ in their lr are too few for a forecast: record at "
            f"least {LEAST_RUNS}, of at least two schedules"
        )
    errors, fits, scores = {}, {}, {}
    for name in laws:
        if not _determined(name, groups):
            continue
        whole = _fit(name, runs)
        folds = _shorter(name, groups, whole) if ahead else _folds(name, groups, whole)
        held = [_held_out(fold, run) for fold, group in folds for run in group]
        if len(held) >= 2:
            errors[name], fits[name] = np.array([curve[-1] for curve in held]), whole
            scores[name] = math.sqrt(np.mean([np.mean(np.square(curve)) for curve in held]))
    if not errors and ahead:
        raise ForecastError(
            "the shorter runs leave the laws' parameters open, or too few are longer: it takes two "
            "schedules, and two runs of the greatest length"
        )
    if not errors:
        raise ForecastError(
            "the runs are of one schedule only, which says nothing of what a fall of the lr "
            "brings: record at least two runs of another, such as scheduler=constant and wsd"
        )
    best = min(scores, key=lambda name: scores[name])
    return Forecaster(tuple(runs), fits[best], errors, scores)


def _held_out(fit: Fit, run: Recording) -> Array:
    """The errors of the logarithm of a run's losses, the last one last; see `Forecaster`."""
    thin = run.thinned
    first = run.steps[-1] / 2 if isinstance(fit, CurveFit) else run.steps[-1]
    later = thin.steps >= first
    found = np.maximum(fit.losses(run.lr, thin.steps[later]), 1e-3 * run.final)
    return np.log(found / thin.losses[later])


def _groups(runs: Sequence[Recording]) -> list[list[Recording]]:
    """The runs, those of equal lr together."""
    groups: list[list[Recording]] = []
    for run in runs:
        for group in groups:
            lr = group[0].lr
            if len(lr) == len(run.lr) and np.allclose(lr, run.lr, rtol=1e-6, atol=1e-9 * run.peak):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _folds(
    name: str, groups: Sequence[list[Recording]], whole: Fit
) -> Iterable[tuple[Fit, list[Recording]]]:
    """Each group and a fit without it, where the others determine the law."""
    for group in groups:
        others = [other for other in groups if other is not group]
        if _determined(name, others):
            yield _fit(name, [run for other in others for run in other], whole), group


def _shorter(
    name: str, groups: Sequence[list[Recording]], whole: Fit
) -> Iterable[tuple[Fit, list[Recording]]]:
    """The longest runs and a fit without them, where the others determine the law."""
    longest = max(len(group[0].lr) for group in groups)
    others = [group for group in groups if len(group[0].lr) < longest]
    if others and _determined(name, others):
        held = [run for group in groups if group not in others for run in group]
        yield _fit(name, [run for other in others for run in other], whole), held


def _fit(name: str, runs: Sequence[Recording], near: Fit | None = None) -> Fit:
    if name in BOUND_LAWS:
        return fit_bound(runs, name)
    law = next(law for law in CURVE_LAWS if law.name == name)
    return fit_curve(law, runs, near if isinstance(near, CurveFit) else None)


def _determined(name: str, groups: Sequence[list[Recording]]) -> bool:
    """Whether runs of such lrs leave no parameter of the law open."""
    runs = [group[0] for group in groups]
    if name in BOUND_LAWS:
        lengths, peaks = {len(run.lr) for run in runs}, [run.peak for run in runs]
        several = max(peaks) > SAME_LR * min(peaks) and len(lengths) > 1
        return several and len(runs) >= LEAST_FOR_BOUND
    shapes = [_shape(run.lr) for run in runs]
    return any(np.abs(shape - shapes[0]).mean() > 0.01 for shape in shapes)


def _shape(lr: Array) -> Array:
    """The lr from its peak to the end, as ratios of the peak, (101,)."""
    tail = lr[int(np.argmax(lr)) :] / lr.max()
    return np.interp(np.linspace(0, len(tail) - 1, 101), np.arange(len(tail)), tail)


def rank(forecaster: Forecaster, forecasts: Sequence[Forecast]) -> list[tuple[Forecast, bool]]:
    """The forecasts, lowest final loss first, and whether each can be told from the first."""
    ordered = sorted(forecasts, key=lambda forecast: forecast.losses[-1])
    least = forecaster.least_difference()
    best = ordered[0].losses[-1]
    return [(f, math.log(f.losses[-1] / best) > least) for f in ordered]
