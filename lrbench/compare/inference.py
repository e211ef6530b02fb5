"""One set of simultaneous intervals: which strategies may be the best, and what each may lose.

`paired`, `over_draws` and `independent` turn scores into `Intervals`: an interval for the
difference of every two strategies, made so that all of them hold together in 1 − alpha of studies.
Everything that a report claims is read off these intervals and nothing else: *beats* (the interval
lies above 0), *equivalent* (it lies within the margin), *may be the best* (no other beats it) and
*may lose* (the largest difference by which another may be ahead).

The intervals are Tukey's for blocked data where the pairs' differences vary alike, and each pair's
own Student interval where they do not: the variance of a pair's difference is its own, shrunk
towards the mean over pairs by as much as chance explains their spread (James and Stein's factor),
and never below `OWN_SHARE` of its own. The table that this was chosen by is in README.md of this
room; ``python scripts/null_studies.py methods`` makes it again.

Sources: Tukey 1953 and Kramer 1956; Hsu 1984 and 1996 (comparisons with the best; the bounds here
are those that all pairwise intervals imply); Games and Howell 1976 (unequal variances); Lan and
DeMets 1983 (`lrbench.compare.looks`, where the level of each reading comes from); Bouthillier et
al. 2021 (seeds, splits and tuning as sources of variance); Agarwal et al. 2021.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

ALPHA = 0.05  # of any false claim in one whole report
POWER = 0.8
LEAST = 3  # paired seeds below which nothing is claimed
ENOUGH = 5  # below which a set of intervals is made at `FEW` of its level
FEW = 0.5  # as the variances of so few seeds hide that one strategy varies more than the others
MOST_SEEDS = 100_000  # where counting stops
OWN_SHARE = 0.85  # of a pair's own variance, which shrinkage leaves at least

Array = NDArray[np.float64]
_Z, _Z_WEIGHTS = np.polynomial.legendre.leggauss(96)
_S, _S_WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A mean difference with its interval, one of several that hold together.

    Attributes:
        num: pairs, or runs of the smaller of two independent samples.
        sd: of a difference of two runs.
        margin: a mean this close to 0 is no difference worth the name.
        alpha: of any interval of the set missing; 0: exploratory, nothing is claimed from it.
        num_strategies: between how many the set holds every pair.
    """

    num: int
    mean: float
    low: float
    high: float
    sd: float
    margin: float
    alpha: float = ALPHA
    num_strategies: int = 2
    paired: bool = True

    @property
    def claims(self) -> bool:
        """Whether anything may be claimed from it."""
        return self.num >= LEAST and self.alpha > 0 and not math.isnan(self.low)

    @property
    def above(self) -> bool:
        """Whether the mean is above 0 for sure."""
        return self.claims and self.low > 0

    @property
    def below(self) -> bool:
        """Whether the mean is below 0 for sure."""
        return self.claims and self.high < 0

    @property
    def negligible(self) -> bool:
        """Whether the mean lies within the margin for sure."""
        return self.claims and -self.margin < self.low and self.high < self.margin

    @property
    def seeds_needed(self) -> int:
        """Seeds that would probably show a mean as large as the margin."""
        return seeds_to_resolve(self.sd, self.margin, self.num_strategies, self.alpha or ALPHA)


@dataclass(frozen=True, kw_only=True)
class Intervals:
    """Simultaneous intervals of the differences between k strategies' means, larger being better.

    Attributes:
        difference: mean of strategy i minus that of j, (k, k); NaN where they share no seed.
        half: half the width of its interval, (k, k); NaN below two seeds.
        num: seeds (or runs of the smaller sample, or tuning draws) behind it, (k, k).
        sd: of one difference between i and j, as estimated for the interval, (k, k).
        alpha: the share of studies in which some interval may miss; 0: nothing may be claimed, and
            the intervals are as wide as at `ALPHA`.
        paired: whether differences were taken seed by seed.
    """

    difference: Array
    half: Array
    num: NDArray[np.int64]
    sd: Array
    alpha: float
    paired: bool

    @property
    def low(self) -> Array:
        """Lower ends, (k, k)."""
        return self.difference - self.half

    @property
    def high(self) -> Array:
        """Upper ends, (k, k)."""
        return self.difference + self.half

    def between(self, i: int, j: int, margin: float) -> Difference:
        """Strategy i minus strategy j."""
        return Difference(
            num=int(self.num[i, j]),
            mean=float(self.difference[i, j]),
            low=float(self.low[i, j]),
            high=float(self.high[i, j]),
            sd=float(self.sd[i, j]),
            margin=margin,
            alpha=self.alpha,
            num_strategies=len(self.num),
            paired=self.paired,
        )

    def reordered(self, order: Sequence[int]) -> Intervals:
        """The same with strategy ``order[0]`` first."""
        at = np.ix_(order, order)
        values = {key: getattr(self, key)[at] for key in ("difference", "half", "num", "sd")}
        return replace(self, **values)

    @property
    def beats(self) -> NDArray[np.bool_]:
        """Whether i is better than j for sure, (k, k); see `Difference.above`."""
        return np.asarray((self.num >= LEAST) & (self.alpha > 0) & (self.low > 0), dtype=np.bool_)

    @property
    def may_lose(self) -> Array:
        """How much each strategy could lose against the best, (k,); NaN: a pair has no interval.

        The largest upper end of the intervals of another minus it, at least 0. As all intervals
        hold together, so do these bounds.
        """
        high = self.high.copy()
        np.fill_diagonal(high, 0.0)
        return np.maximum(high.max(axis=0), 0.0)

    @property
    def may_be_best(self) -> NDArray[np.bool_]:
        """Whether each strategy is beaten by none, (k,)."""
        return np.asarray(~self.beats.any(axis=0), dtype=np.bool_)


def paired(
    scores: ArrayLike,
    *,
    alpha: float = ALPHA,
    resolution: float = 0.0,
    strata: ArrayLike | None = None,
) -> Intervals:
    """Intervals of strategies that ran on the same seeds.

    Args:
        scores: larger is better, (n seeds, k strategies); NaN where a strategy lacks a seed: a pair
            uses the seeds that both have.
        alpha: of any interval missing; where a study is read more than once, that of this reading.
        resolution: the step in which scores are counted (one test example), 0 if there is none.
            Differences are never taken to vary by less than two such roundings do.
        strata: which stratum (workload, split) each seed belongs to, (n,). The difference is then
            the mean over strata, its variance that within strata.
    """
    x = np.asarray(scores, dtype=float)
    n, k = x.shape
    labels = np.zeros(n, dtype=int) if strata is None else np.unique(strata, return_inverse=True)[1]
    i, j = np.triu_indices(k, 1)
    d = x[:, i] - x[:, j]  # (n, pairs)
    known = np.isfinite(d)
    inside = [known & (labels == h)[:, None] for h in range(labels.max(initial=0) + 1)]
    counts = np.array([own.sum(axis=0) for own in inside])  # (strata, pairs)
    seen = counts > 0
    sums = np.array([np.where(own, d, 0.0).sum(axis=0) for own in inside])
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=seen)
    num_strata = seen.sum(axis=0)
    freedom = counts.sum(axis=0) - num_strata
    squares = np.where(known, (d - means[labels]) ** 2, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = means.sum(axis=0) / num_strata
        share = np.where(seen, 1 / counts, 0.0).sum(axis=0) / num_strata**2  # 1 / n in one stratum
        own = np.maximum(squares / np.where(freedom > 0, freedom, np.nan), resolution**2 / 6)
    cells = np.isfinite(x)
    blocks = cells.sum(axis=1)
    residual = cells[blocks > 1].sum() - (blocks > 1).sum() - (k - 1) * len(np.unique(labels))
    variance, weight = _shrunk(own, freedom, _spread_by_chance(k))
    df = _freedom(weight, float(residual), np.where(freedom > 0, freedom, np.nan))
    num = counts.sum(axis=0)
    critical = np.array([_critical(k, v, level(n, alpha)) for v, n in zip(df, num, strict=True)])
    return _intervals(
        k, mean, critical * np.sqrt(variance * share), num, np.sqrt(variance), alpha,
        is_paired=True,
    )  # fmt: skip


def over_draws(
    scores: ArrayLike, draws: ArrayLike, *, alpha: float = ALPHA, resolution: float = 0.0
) -> Intervals:
    """Intervals that pay for tuning: strategies were tuned several times on independent seeds.

    A draw is one tuning of every strategy with final seeds of its own; draws are the independent
    units. The spread of the draws' means holds the noise of tuning, of seeds and (where each draw
    has a split of its own) of splits in the shares in which they stand in the result.

    Args:
        scores: larger is better, (n seeds, k strategies); NaN where a run is lacking: a strategy's
            mean in a draw is over the seeds that it has.
        draws: which draw each seed belongs to, (n,).
    """
    x = np.asarray(scores, dtype=float)
    labels = np.unique(draws, return_inverse=True)[1]
    inside = labels == np.arange(labels.max(initial=-1) + 1)[:, None]  # (draws, n)
    counts = inside @ np.isfinite(x).astype(float)
    sums = inside @ np.where(np.isfinite(x), x, 0.0)
    means = np.divide(sums, counts, out=np.full_like(sums, math.nan), where=counts > 0)
    most = inside.sum(axis=1).max(initial=1)
    return paired(means, alpha=alpha, resolution=resolution / math.sqrt(most))


def independent(
    samples: Sequence[ArrayLike], *, alpha: float = ALPHA, resolution: float = 0.0
) -> Intervals:
    """Intervals of strategies whose runs are independent samples: Welch's, made simultaneous.

    Args:
        samples: scores of each strategy's runs, larger is better; non-finite ones are left out.
    """
    found = [np.asarray(s, dtype=float) for s in samples]
    found = [s[np.isfinite(s)] for s in found]
    k, sizes = len(found), np.array([len(s) for s in found])
    freedom = sizes - 1
    mean = np.array([s.mean() if len(s) else math.nan for s in found])
    own = np.array([s.var(ddof=1) if len(s) > 1 else math.nan for s in found])
    own = np.maximum(own, resolution**2 / 12)
    even = 2.0 if k > 2 else 0.0  # two samples keep their own variances: Welch's test
    variance, weight = _shrunk(own, freedom, even)
    i, j = np.triu_indices(k, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = np.stack([variance[i] / sizes[i], variance[j] / sizes[j]])
        shares = parts / parts.sum(axis=0)
        welch = 1 / (shares[0] ** 2 / freedom[i] + shares[1] ** 2 / freedom[j])
    df = _freedom(weight, float(freedom[freedom > 0].sum()), welch)
    num = np.minimum(sizes[i], sizes[j])
    critical = np.array([_critical(k, v, level(n, alpha)) for v, n in zip(df, num, strict=True)])
    return _intervals(
        k, mean[i] - mean[j], critical * np.sqrt(parts.sum(axis=0)), num,
        np.sqrt(variance[i] + variance[j]), alpha, is_paired=False,
    )  # fmt: skip


def level(num: int, alpha: float) -> float:
    """The level at which intervals from `num` seeds are made so that `alpha` holds."""
    return alpha if num >= ENOUGH else FEW * alpha


def each(
    differences: Sequence[ArrayLike], margin: float, *, alpha: float = ALPHA
) -> list[Difference]:
    """Student's intervals of unrelated `differences` (one number per seed), alpha shared evenly."""
    own = alpha / len(differences) if len(differences) else alpha
    return [
        paired(np.stack([d, np.zeros(len(d))], axis=1), alpha=own).between(0, 1, margin)
        for d in (np.asarray(values, dtype=float) for values in differences)
    ]


def _spread_by_chance(num: int) -> float:
    """Variance by chance of k strategies' pairwise variances about their mean, times one's freedom.

    In units of the mean's square, where all vary alike: two sample variances of differences that
    share a strategy (correlation 1/2) have a quarter of their own variance in common.
    """
    if num < 3:
        return 0.0
    pairs = num * (num - 1) / 2
    alike = (1 + 2 * (num - 2) / 4) / pairs  # mean correlation of one with all, itself included
    return 2 * (1 - alike) * pairs / (pairs - 1)


def _shrunk(own: Array, freedom: NDArray[np.int64], by_chance: float) -> tuple[Array, float]:
    """Variances `own` shrunk towards their mean, and the mean's weight in them.

    Args:
        freedom: of each.
        by_chance: the variance of `own` about its mean that chance explains, times freedom and in
            units of the mean's square; 0: nothing is shrunk.
    """
    known = (freedom > 0) & np.isfinite(own)
    if known.sum() < 2 or by_chance == 0 or not own[known].any():
        return own, 0.0
    mean = float(np.average(own[known], weights=freedom[known]))
    spread = float(((own[known] / mean - 1) ** 2).sum() / (known.sum() - 1))
    expected = by_chance / float(freedom[known].mean())
    weight = min(1.0, expected / spread) if spread > 0 else 1.0
    return np.maximum(weight * mean + (1 - weight) * own, OWN_SHARE * own), weight


def _freedom(weight: float, pooled: float, own: Array) -> Array:
    """Degrees of freedom (Satterthwaite's) of variances that are shrunk by `weight`.

    Args:
        pooled: of the mean; own: of each by itself.
    """
    shared = weight**2 + 2 * weight * (1 - weight)
    with np.errstate(divide="ignore"):
        return np.asarray(1 / ((shared / pooled if shared else 0.0) + (1 - weight) ** 2 / own))


def _intervals(
    k: int,
    mean: Array,
    half: Array,
    num: NDArray[np.int64],
    sd: Array,
    alpha: float,
    *,
    is_paired: bool,
) -> Intervals:
    """Pairs' values (in the order of `np.triu_indices`) as matrices."""
    upper = np.triu_indices(k, 1)

    def matrix(values: Array, mirrored: float, diagonal: float) -> Array:
        found = np.full((k, k), diagonal)
        found[upper] = values
        found.T[upper] = mirrored * values
        return found

    return Intervals(
        difference=matrix(mean, -1, 0.0),
        half=matrix(half, 1, math.nan),
        num=matrix(num.astype(float), 1, 0.0).astype(int),
        sd=matrix(sd, 1, math.nan),
        alpha=alpha,
        paired=is_paired,
    )


def _critical(num: int, freedom: float, alpha: float) -> float:
    """`critical` to two digits of the freedom of more than two; NaN where there is none."""
    if not freedom > 0 or num < 2:
        return math.nan
    rounded = float(freedom) if num == 2 else float(f"{freedom:.2g}")
    return critical(num, rounded, alpha if alpha > 0 else ALPHA)


@lru_cache(maxsize=4096)
def critical(num: int, freedom: float, alpha: float) -> float:
    """Quantile of the largest of all |t| between `num` strategies: Tukey's range by the root of 2.

    Two strategies: Student's two-sided quantile. The distribution of the range is integrated over
    the standard deviation's, both by Gauss and Legendre's rule.
    """
    if num == 2:
        return float(stats.t.isf(alpha / 2, freedom))
    low, high = np.sqrt(stats.chi2.isf([1 - 1e-13, 1e-13], freedom) / freedom)
    s = (high - low) / 2 * _S + (high + low) / 2  # (64,): standard deviations
    weights = (high - low) * freedom * s * stats.chi2.pdf(s * s * freedom, freedom) * _S_WEIGHTS
    z = 8.5 * _Z[:, None]  # (96, 1): the largest of the normal values
    density = num * 8.5 * _Z_WEIGHTS * np.exp(-(z[:, 0] ** 2) / 2) / math.sqrt(2 * math.pi)

    def missed(quantile: float) -> float:
        inside = density @ (special.ndtr(z) - special.ndtr(z - quantile * s)) ** (num - 1)
        return float(weights @ (1 - inside)) - alpha

    most = stats.t.isf(alpha / (num * (num - 1)), freedom) * math.sqrt(2)  # Bonferroni's
    least = stats.t.isf(alpha / 2, freedom) * math.sqrt(2)
    return float(optimize.brentq(missed, 0.999 * least, 1.001 * most, xtol=1e-9)) / math.sqrt(2)


def seeds_to_resolve(sd: float, effect: float, num_strategies: int, alpha: float = ALPHA) -> int:
    """Seeds with which a pair's true difference of `effect` is found in 80 % of studies.

    Args:
        sd: of one difference between two strategies' runs, or of the two samples' together.
    """
    if not sd > 0:  # NaN included: there is nothing to tell it from
        return LEAST

    def power(n: int) -> float:
        limit = _critical(num_strategies, (n - 1) * (num_strategies - 1), level(n, alpha))
        return float(stats.nct.sf(limit, (n - 1) * (num_strategies - 1), effect * n**0.5 / sd))

    high = LEAST
    while power(high) < POWER and high < MOST_SEEDS:
        high *= 2
    return LEAST + bisect_left(range(LEAST, high), POWER, key=power)
