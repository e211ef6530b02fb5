"""The statistics of a comparison, for as few seeds as people can afford.

A strategy's seeds are its sample. Where two strategies that share a seed share initial weights and
batches, what is tested is the difference per seed; where that is not known, the two samples are
taken as independent. All intervals and p-values speak of other seeds on the same data split, never
of other test examples.

Sources: Colas, Sigaud and Oudeyer 2018 and 2019 (how many seeds; tests for few), Bouthillier et
al. 2021 (pairing; probability of improvement), Agarwal et al. 2021 (intervals beside every
number), Hesterberg 2015 (bootstrap intervals of small samples), Holm 1979, Schuirmann 1987.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
ENOUGH_SEEDS = 5  # below it a comparison is exploratory
RESAMPLES = 9_999  # of the bootstrap, and of the permutations where not all can be tried

Interval = tuple[float, float]
NO_INTERVAL: Interval = (math.nan, math.nan)


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean of `values`; NaN for fewer than two."""
    x = np.asarray(values, dtype=float)
    if len(x) < 2:
        return NO_INTERVAL
    half = stats.t.ppf((1 + confidence) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x))
    return float(x.mean() - half), float(x.mean() + half)


def difference_interval(
    differences: ArrayLike, rng: np.random.Generator
) -> tuple[float, float, str]:
    """95 % interval of the mean of paired `differences`: (low, high, method).

    From five pairs on, the expanded percentile bootstrap (Hesterberg 2015, section 4.3): the
    percentile bootstrap at a level raised until it is as wide as Student's interval would be on
    normal data. On normal differences at n = 5 it covers the truth in 91 % of cases, where the
    plain percentile and the BCa bootstrap cover it in 84 %; at n = 10 in 94.5 % against 90 %.

    Below five pairs no bootstrap can reach 95 %, for it never leaves the range of the data (which
    holds the median of three differences in 75 % of cases): Student's interval, method ``"t"``.
    One pair has none (method ``"none"``).
    """
    d = np.asarray(differences, dtype=float)
    n = len(d)
    if n < 2:
        return (*NO_INTERVAL, "none")
    if n < ENOUGH_SEEDS:
        return (*t_interval(d), "t")
    if np.ptp(d) == 0:  # every resample is the same
        return float(d[0]), float(d[0]), "bootstrap"
    quantile = stats.t.ppf((1 - CONFIDENCE) / 2, n - 1)
    tail = stats.norm.cdf(math.sqrt(n / (n - 1)) * quantile)
    found = stats.bootstrap(
        (d,),
        np.mean,
        confidence_level=1 - 2 * tail,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=rng,
    ).confidence_interval
    return float(found.low), float(found.high), "bootstrap"


def permutation_p(differences: ArrayLike, rng: np.random.Generator) -> float:
    """Two-sided p of the mean difference under exchange of the two strategies within each seed.

    Exact (all 2^n sign patterns) up to 13 pairs, else from `RESAMPLES` random ones. With n pairs
    it cannot fall below 2 / 2^n: see `smallest_p`. NaN without a pair.
    """
    d = np.asarray(differences, dtype=float)
    if len(d) == 0:
        return math.nan
    if not d.any():
        return 1.0
    if len(d) == 1:
        return 1.0  # either sign is as far from 0 as the other
    found = stats.permutation_test(
        (d,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=rng,
    )
    return float(found.pvalue)


def smallest_p(num: int, num_tests: int = 1, *, paired: bool = True) -> float:
    """The least Holm-corrected p that permutations can yield among `num_tests` tests.

    Args:
        num: pairs, or runs of each of two independent samples.
    """
    arrangements = 2.0**num if paired else float(math.comb(2 * num, num))
    return min(1.0, num_tests * 2.0 / arrangements)


def fewest_pairs(num_tests: int = 1, *, paired: bool = True) -> int:
    """Pairs from which a permutation test among `num_tests` can be significant at all."""
    return next(n for n in range(1, 200) if smallest_p(n, num_tests, paired=paired) < ALPHA)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's step-down correction (Holm 1979); a NaN is no test and stays NaN."""
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(len(p), math.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    raised = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return corrected


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


def equivalence_p(differences: ArrayLike, margin: float) -> float:
    """p of two one-sided t tests that the mean difference lies within ± `margin`.

    Schuirmann 1987: the larger of the two; below 0.05 exactly if the 90 % t-interval lies inside
    the margin. Differences without any spread decide outright, but only from five pairs on: fewer
    agree by chance, accuracies being counts. NaN for them and for fewer than two pairs.
    """
    d = np.asarray(differences, dtype=float)
    if len(d) < 2:
        return math.nan
    if np.ptp(d) == 0:
        if len(d) < ENOUGH_SEEDS:
            return math.nan
        return 0.0 if abs(d[0]) < margin else 1.0
    above = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(d, margin, alternative="less").pvalue
    return float(max(above, below))


def seeds_to_resolve(
    difference_sd: float, effect: float, num_tests: int = 1, *, paired: bool = True
) -> int:
    """Seeds of each strategy with which a true difference of `effect` is found in 80 % of cases.

    The power of a two-sided t test (noncentral t) at 0.05 / `num_tests`, which is Holm's hardest
    step; at least as many as the permutation test needs. "About", since `difference_sd` is itself
    estimated from few seeds.

    Args:
        difference_sd: of a difference of two runs, one of each strategy.
    """
    alpha = ALPHA / num_tests
    floor = fewest_pairs(num_tests, paired=paired)
    quantiles = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(POWER)
    n = max(floor, math.floor((quantiles * difference_sd / effect) ** 2))
    while n < 1_000:  # beyond it the normal approximation is as good
        freedom = n - 1 if paired else 2 * (n - 1)
        limit = stats.t.ppf(1 - alpha / 2, freedom)
        centre = effect * math.sqrt(n) / difference_sd if difference_sd > 0 else math.inf
        if math.isinf(centre) or stats.nct.sf(limit, freedom, centre) >= POWER:
            break
        n += 1
    return n


@dataclass(frozen=True, kw_only=True)
class MeanTest:
    """A mean difference held against 0 and against a margin.

    Attributes:
        num: pairs, or runs of the smaller of two independent samples.
        low, high: 95 % interval; `low90`, `high90`: Student's or Welch's 90 % interval.
        method: of the 95 % interval: ``bootstrap``, ``t``, ``welch`` or ``none``.
        sd: of a difference of two runs.
        margin: a mean this close to 0 is no difference worth the name.
        p: of no difference, by permutation; `equivalence_p`: of one beyond the margin.
        num_tests: how many tests are made together; `holm_p`, `equivalence_holm_p`: the p-values
            corrected for them.
    """

    num: int
    mean: float
    low: float
    high: float
    low90: float
    high90: float
    method: str
    sd: float
    margin: float
    p: float
    equivalence_p: float
    paired: bool = True
    num_tests: int = 1
    holm_p: float = math.nan
    equivalence_holm_p: float = math.nan

    @property
    def fewest(self) -> int:
        """Seeds from which anything can be sure at all."""
        return max(ENOUGH_SEEDS, fewest_pairs(self.num_tests, paired=self.paired))

    @property
    def above(self) -> bool:
        """Whether the mean is above 0 for sure."""
        return self.num >= ENOUGH_SEEDS and self.holm_p < ALPHA and self.low > 0

    @property
    def below(self) -> bool:
        """Whether the mean is below 0 for sure."""
        return self.num >= ENOUGH_SEEDS and self.holm_p < ALPHA and self.high < 0

    @property
    def negligible(self) -> bool:
        """Whether the mean lies within the margin for sure; asks for as many seeds as `above`."""
        return self.num >= self.fewest and self.equivalence_holm_p < ALPHA

    @property
    def seeds_needed(self) -> int:
        """Seeds that would probably show a mean as large as the margin."""
        needed = seeds_to_resolve(self.sd, self.margin, self.num_tests, paired=self.paired)
        return max(self.fewest, needed)


def paired_test(differences: ArrayLike, margin: float, rng: np.random.Generator) -> MeanTest:
    """Test the mean of `differences`, one per seed."""
    d = np.asarray(differences, dtype=float)
    low, high, method = difference_interval(d, rng)
    low90, high90 = t_interval(d, confidence=0.9)
    return MeanTest(
        num=len(d),
        mean=float(d.mean()) if len(d) else math.nan,
        low=low,
        high=high,
        low90=low90,
        high90=high90,
        method=method,
        sd=float(d.std(ddof=1)) if len(d) > 1 else math.nan,
        margin=margin,
        p=permutation_p(d, rng) if len(d) > 1 else math.nan,
        equivalence_p=equivalence_p(d, margin),
    )


def unpaired_test(a: ArrayLike, b: ArrayLike, margin: float, rng: np.random.Generator) -> MeanTest:
    """Test the difference of the means of `a` and `b`, two independent samples.

    Welch's intervals and one-sided t tests; the permutations exchange runs between the samples.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    num = min(len(x), len(y))
    test = MeanTest(
        num=num,
        mean=float(x.mean() - y.mean()) if num else math.nan,
        **dict.fromkeys(("low", "high", "low90", "high90", "sd", "p", "equivalence_p"), math.nan),  # type: ignore[arg-type]
        method="none",
        margin=margin,
        paired=False,
    )
    if num < 2:
        return test
    found = stats.permutation_test(
        (x, y),
        lambda u, v, axis: np.mean(u, axis=axis) - np.mean(v, axis=axis),
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=rng,
    )
    test = replace(test, p=float(found.pvalue), sd=math.sqrt(x.var(ddof=1) + y.var(ddof=1)))
    if not test.sd:  # no spread in either: nothing to estimate an interval from
        return test
    welch = stats.ttest_ind(x, y, equal_var=False)
    wide, narrow = welch.confidence_interval(CONFIDENCE), welch.confidence_interval(0.9)
    sides = (
        stats.ttest_ind(x + margin, y, equal_var=False, alternative="greater"),
        stats.ttest_ind(x - margin, y, equal_var=False, alternative="less"),
    )
    return replace(
        test,
        low=float(wide.low),
        high=float(wide.high),
        low90=float(narrow.low),
        high90=float(narrow.high),
        method="welch",
        equivalence_p=max(float(side.pvalue) for side in sides),
    )


def corrected(tests: Sequence[MeanTest]) -> list[MeanTest]:
    """`tests`, which are made together, with their p-values corrected by Holm's method."""
    found = holm([test.p for test in tests])
    equivalence = holm([test.equivalence_p for test in tests])
    num_tests = int((~np.isnan(found)).sum())
    return [
        replace(test, num_tests=max(1, num_tests), holm_p=float(p), equivalence_holm_p=float(q))
        for test, p, q in zip(tests, found, equivalence, strict=True)
    ]


def p_value(p: float) -> str:
    """One or two digits that matter, never 0: ``0.004``, ``0.047``, ``0.38``, ``< 0.0001``."""
    if math.isnan(p):
        return "–"
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.2f}".removesuffix(".00") if p >= 0.095 else f"{p:.{1 if p < 0.01 else 2}g}"
