"""Statistics of one strategy's runs, and of two strategies', that no claim rests on.

A strategy's seeds are its sample. All intervals speak of other seeds, never of other test examples.
What is claimed of strategies' differences is in `lrbench.compare.inference`.

Sources: Bouthillier et al. 2021 (pairing; probability of improvement), Agarwal et al. 2021
(intervals beside every number), Clopper and Pearson 1934.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Interval = tuple[float, float]
NO_INTERVAL: Interval = (math.nan, math.nan)


def t_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of `values`; NaN for fewer than two."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return NO_INTERVAL
    half = stats.t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))
    return float(x.mean() - half), float(x.mean() + half)


def probability_of_improvement(a: ArrayLike, b: ArrayLike, *, paired: bool = True) -> float:
    """P(A > B): the share of seeds on which `a` is above `b`, a tie counting half.

    Bouthillier et al. 2021, section 4; over all pairs of an `a` and a `b` if they are not paired.
    Infinite values are compared like others. NaN without a pair.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    x = x if paired else x[:, None]
    wins = (x > y) + 0.5 * (x == y)
    return float(np.mean(wins)) if wins.size else math.nan


def seed_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation of two strategies over their common seeds.

    It says what pairing gains: the variance of the difference shrinks by this share. NaN for
    fewer than three seeds or where a strategy does not vary.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(stats.pearsonr(x, y).statistic)


def expected_largest(num: int) -> float:
    """Expectation of the largest of `num` standard normal values: 0.564 of two, 1.029 of four."""
    x, weights = np.polynomial.legendre.leggauss(96)
    x = 8 * x
    return float((8 * weights * x * num * stats.norm.pdf(x)) @ stats.norm.cdf(x) ** (num - 1))


def largest_rate(lost: int, num: int, confidence: float = 0.95) -> float:
    """The largest rate of divergence that `lost` of `num` runs allow: Clopper and Pearson's bound.

    One-sided: none of 8 allows 31 %.
    """
    return 1.0 if lost >= num else float(stats.beta.ppf(confidence, lost + 1, num - lost))


def rates_p(a: ArrayLike, b: ArrayLike) -> float:
    """Fisher's exact two-sided p that two strategies diverge equally often.

    Runs that share a seed are no likelier to differ than independent ones: then it is too large.

    Args:
        a, b: whether each run diverged.
    """
    x, y = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    return float(stats.fisher_exact([[x.sum(), (~x).sum()], [y.sum(), (~y).sum()]]).pvalue)
