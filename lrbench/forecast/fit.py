"""Fitting the laws to recorded curves: many starts, a robust loss, errors on runs held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from lrbench.forecast.laws import (
    BOUND_LAWS,
    ROOT_BOUND,
    Array,
    CurveLaw,
    Track,
    bound_terms,
    track,
)

HUBER = 3e-3  # relative error from which on an error counts by its size, not its square
HELD = 1e-2  # relative error that weighs as much as one spread from a parameter's usual value
FARTHEST = 6.0  # spreads from its usual value that a parameter may be
MOST_POINTS = 200  # of each run, spread evenly, enter a fit
STARTS, REFINED = 40, 3


@dataclass(frozen=True, eq=False)
class Recording:
    """A recorded run: its lr and the losses that were measured on the way.

    Attributes:
        lr: of each update from the first on, warmup included, float64 (T,).
        steps: updates taken at each loss, rising, int (E,), from 1 to T.
        losses: (E,), all above 0.
    """

    name: str
    lr: Array
    steps: NDArray[np.int64]
    losses: Array

    @property
    def final(self) -> float:
        """The last loss."""
        return float(self.losses[-1])

    @property
    def peak(self) -> float:
        """The highest lr."""
        return float(self.lr.max())

    @cached_property
    def thinned(self) -> Recording:
        """At most `MOST_POINTS` of its losses, the last one among them."""
        if len(self.steps) <= MOST_POINTS:
            return self
        keep = np.linspace(0, len(self.steps) - 1, MOST_POINTS).round().astype(int)
        return Recording(self.name, self.lr, self.steps[keep], self.losses[keep])


def recording(name: str, lr: ArrayLike, steps: ArrayLike, losses: ArrayLike) -> Recording:
    """A recorded run, checked.

    Args:
        lr: the learning rate of every update, (T,); see `lr_of_log` where only some are known.
        steps: updates taken at each loss, (E,), in any order. Where a run was cut and went on, so
            that a step repeats, its last loss counts.
        losses: (E,); those that are not finite are left out.

    Raises:
        ValueError: what is wrong with them, in one line.
    """
    lr = np.asarray(lr, np.float64)
    at, values = np.asarray(steps, np.float64), np.asarray(losses, np.float64)
    if lr.ndim != 1 or not len(lr) or not np.isfinite(lr).all() or lr.min() < 0 or not lr.max():
        raise ValueError(
            f"{name}: the lrs must be one row of finite numbers, none below 0, not all 0"
        )
    if at.shape != values.shape or at.ndim != 1:
        raise ValueError(f"{name}: {at.shape} steps need as many losses, got {values.shape}")
    known = np.isfinite(at) & np.isfinite(values) & (at >= 1)
    unique, last = np.unique(at[known][::-1].astype(np.int64), return_index=True)
    kept = values[known][::-1][last]
    if len(kept) < 2:
        raise ValueError(f"{name}: {len(kept)} losses are too few: record at least 2 on the way")
    if kept.min() <= 0:
        raise ValueError(f"{name}: loss {kept.min():g} is not above 0, as the laws need it")
    if unique[-1] > len(lr):
        raise ValueError(f"{name}: a loss at update {unique[-1]:,}, and {len(lr):,} lrs: give all")
    return Recording(name, lr, unique, kept)


def lr_of_log(steps: ArrayLike, lrs: ArrayLike, *, total: int = 0, warmup: int = 0) -> Array:
    """The lr of every update, (T,), from those that a log holds; lines between them.

    After the last it is the last. Before the first, the line through the first two goes on, if it
    is not far, and else the first holds; a linear `warmup` of so many updates comes on top, where
    the log leaves it out.

    Args:
        steps: the number of each logged update, counted from 1, (N,), in any order; of a repeated
            one the last counts.
        lrs: (N,); those that are not finite are unknown.
        total: T; 0: the last step.

    Raises:
        ValueError: no lr is known.
    """
    at, values = np.asarray(steps, np.float64), np.asarray(lrs, np.float64)
    total = total or int(np.nanmax(at, initial=0))
    known = np.isfinite(at) & np.isfinite(values) & (at >= 1)
    if not known.any() or total < 1:
        raise ValueError("the log holds no lr: record the lr beside the loss")
    unique, last = np.unique(at[known][::-1], return_index=True)
    found = np.interp(np.arange(1, total + 1), unique, values[known][::-1][last])
    hidden = min(int(unique[0]), total) - 1  # updates before the first that is known
    near = len(unique) > 1 and hidden <= 2 * (unique[1] - unique[0])
    slope = found[hidden + 1] - found[hidden] if near and 0 < hidden < total - 1 else 0.0
    rise = min(warmup, hidden + 1)
    slope = min(slope, 0.0) if rise else slope
    found[:hidden] = np.maximum(found[hidden] - slope * np.arange(hidden, 0, -1), 0.0)
    found[:rise] *= np.arange(1, rise + 1) / rise
    return found


@dataclass(frozen=True, eq=False)
class CurveFit:
    """A curve law fitted; `theta` is L₀, ln A, ln B and the law's shape, for lrs as ratios of
    `unit` and their sums as ratios of `updates`."""

    law: CurveLaw
    theta: Array
    unit: float
    updates: float

    @property
    def name(self) -> str:
        """The law's."""
        return self.law.name

    def losses(self, lr: Array, steps: ArrayLike) -> Array:
        """The loss after each of `steps` updates, (E,), of the schedule `lr`, (T,)."""
        at = np.asarray(steps, np.int64)
        return _value(self.theta, self.law.terms(self.theta[3:], self.track(lr, at))[0])

    def track(self, lr: Array, steps: NDArray[np.int64]) -> Track:
        """The schedule in this fit's units."""
        return track(lr, steps, unit=self.unit, updates=self.updates, warmup=self.law.warmup)


@dataclass(frozen=True, eq=False)
class BoundFit:
    """The regression `name` of final losses on the convex bound's terms; `theta` is a, b, c."""

    theta: Array
    name: str

    def losses(self, lr: Array, steps: ArrayLike) -> Array:
        """The final loss, (E,), of runs that take only the first `steps` updates of `lr`."""
        rows = [_bound_row(lr[: int(step)], self.name) for step in np.asarray(steps)]
        return np.array(rows) @ self.theta


Fit = CurveFit | BoundFit


def _bound_row(lr: Array, name: str) -> tuple[float, float, float]:
    first, noise = bound_terms(lr)
    return 1.0, float(np.log(first)), noise ** BOUND_LAWS[name]


def _value(theta: Array, terms: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # of starts that lead nowhere
        return theta[0] + np.exp(theta[1]) * terms[:, 0] - np.exp(theta[2]) * terms[:, 1]


def fit_bound(runs: Sequence[Recording], name: str = ROOT_BOUND) -> BoundFit:
    """Fit the final losses of `runs` by the regression `name`, by least squares."""
    rows = np.array([_bound_row(run.lr[: run.steps[-1]], name) for run in runs])
    finals = np.array([run.final for run in runs])
    return BoundFit(np.linalg.lstsq(rows, finals, rcond=None)[0], name)


def fit_curve(law: CurveLaw, runs: Sequence[Recording], near: CurveFit | None = None) -> CurveFit:
    """Fit `law` to the curves of `runs`: from many starts, or from a fit that is `near`.

    The loss is Huber's on errors of the logarithm. Parameters that the curves leave open are held
    near their usual values.
    """
    runs = [run.thinned for run in runs]
    unit = max(run.peak for run in runs)
    updates = max(float(run.lr.sum()) for run in runs) / unit
    problem = _Problem(law, runs, unit, updates)
    starts = problem.starts()
    if near is not None:
        starts = [problem.near(near)]
    found = [problem.refine(start) for start in starts]
    return CurveFit(law, min(found, key=lambda pair: pair[0])[1], unit, updates)


class _Problem:
    """The least-squares problem of one fit."""

    def __init__(
        self, law: CurveLaw, runs: Sequence[Recording], unit: float, updates: float
    ) -> None:
        self.law = law
        self.tracks = [
            track(run.lr, run.steps, unit=unit, updates=updates, warmup=law.warmup) for run in runs
        ]
        self.losses = np.concatenate([run.losses for run in runs])
        self.usual = law.usual(updates)

    def terms(self, shape: Array) -> tuple[Array, Array]:
        values, by = zip(*(self.law.terms(shape, at) for at in self.tracks), strict=True)
        return np.concatenate(values), np.concatenate(by)

    def linear(self, shape: Array) -> tuple[float, Array] | None:
        """The best L₀, A, B for `shape`, and their error; None where they are not all positive."""
        terms = self.terms(shape)[0]
        design = np.column_stack([np.ones(len(terms)), terms[:, 0], -terms[:, 1]])
        design /= self.losses[:, None]
        best = np.linalg.lstsq(design, np.ones(len(terms)), rcond=None)[0]
        if best[1:].min() <= 0:
            return None
        error = float(np.abs(design @ best - 1).mean())
        return error, np.concatenate([best[:1], np.log(best[1:]), shape])

    def starts(self) -> list[Array]:
        """The best of random starts around the usual values."""
        random = np.random.default_rng(0)
        normal = random.standard_normal((STARTS, len(self.usual)))
        normal[0] = 0.0
        tried = [self.linear(self.usual + 2 * self.law.spread * n) for n in normal]
        good = sorted((t for t in tried if t is not None), key=lambda pair: pair[0])
        lowest = float(self.losses.min())
        fallback = np.concatenate([[0.8 * lowest, np.log(lowest), np.log(0.1)], self.usual])
        return [theta for _, theta in good[:REFINED]] or [fallback]

    def near(self, fit: CurveFit) -> Array:
        found = self.linear(fit.theta[3:] + self.usual - self.law.usual(fit.updates))
        return fit.theta if found is None else found[1]

    def refine(self, start: Array) -> tuple[float, Array]:
        """The cost and the parameters of the minimum next to `start`."""
        spread = self.law.spread
        held = np.zeros((len(spread), len(start)))
        held[:, 3:] = np.diag(HELD / spread)
        least = 1e-3 * self.losses  # below it, a prediction's logarithm would be no number

        def errors(theta: Array) -> Array:
            value = np.maximum(_value(theta, self.terms(theta[3:])[0]), least)
            return np.concatenate(
                [np.log(value / self.losses), held[:, 3:] @ (theta[3:] - self.usual)]
            )

        def slopes(theta: Array) -> Array:
            terms, by = self.terms(theta[3:])
            a, b = np.exp(theta[1:3])
            value = _value(theta, terms)
            rows = np.column_stack(
                [
                    np.ones(len(terms)),
                    a * terms[:, 0],
                    -b * terms[:, 1],
                    a * by[:, 0] - b * by[:, 1],
                ]
            )
            rows = np.where(value > least, 1 / np.maximum(value, least), 0.0)[:, None] * rows
            return np.vstack([rows, held])

        reach = np.concatenate([np.full(3, np.inf), FARTHEST * spread])
        middle = np.concatenate([np.zeros(3), self.usual])
        start = np.clip(start, middle - 0.99 * reach, middle + 0.99 * reach)
        found = least_squares(
            errors, start, slopes, bounds=(middle - reach, middle + reach), loss="huber",
            f_scale=HUBER, x_scale="jac", max_nfev=200,
        )  # fmt: skip
        return float(found.cost), found.x
