"""Simultaneous intervals against independent implementations, by hand, and by simulation."""

import math

import numpy as np
import pytest
from scipy import stats

from lrbench.compare import inference
from lrbench.compare.inference import critical, independent, over_draws, paired, seeds_to_resolve


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize(
    ("num", "freedom", "alpha"), [(3, 4, 0.05), (4, 21, 0.05), (6, 7.5, 0.01), (10, 95, 0.001)]
)
def test_critical_values_are_those_of_scipys_studentized_range(
    num: int, freedom: float, alpha: float
) -> None:
    expected = stats.studentized_range.isf(alpha, num, freedom) / math.sqrt(2)
    assert critical(num, freedom, alpha) == pytest.approx(expected, rel=1e-6)


def test_critical_values_by_simulation_of_the_multivariate_t() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(200_000, 4))
    scale = np.sqrt(generator.chisquare(12, 200_000) / 12)
    largest = np.ptp(values, axis=1) / scale / math.sqrt(2)
    assert critical(4, 12, 0.05) == pytest.approx(np.quantile(largest, 0.95), rel=0.01)


def test_two_strategies_have_students_interval() -> None:
    x = drawn(8, 2)
    expected = stats.ttest_rel(x[:, 0], x[:, 1]).confidence_interval()
    found = paired(x)
    assert (found.low[0, 1], found.high[0, 1]) == pytest.approx(tuple(expected))
    assert found.high[1, 0] == -found.low[0, 1]


def test_two_samples_have_welchs_interval() -> None:
    a, b = drawn(8), 3 * drawn(11, seed=1)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    found = independent([a, b])
    assert (found.low[0, 1], found.high[0, 1]) == pytest.approx(tuple(expected))


def test_samples_that_vary_alike_have_tukeys_intervals() -> None:
    # the same three values in each sample: equal variances, so nothing is a pair's own
    samples = [np.array([-1.0, 0.0, 1.0, 2.0]) + shift for shift in (0.0, 0.3, 1.0)]
    expected = stats.tukey_hsd(*samples).confidence_interval(0.975)  # four runs: half the level
    found = independent(samples)
    off = ~np.eye(3, dtype=bool)
    assert found.low[off] == pytest.approx(expected.low[off], rel=1e-5)


def test_blocks_that_vary_alike_have_tukeys_intervals_by_hand() -> None:
    # residuals of three strategies over four seeds, orthogonal to both means: all pairs vary alike
    x = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [0, 0, 0.0]])
    x = x + 10 * np.arange(4)[:, None] + [0, 1, 2]
    residual = 18 / (3 * 2)  # sum of squares over (n - 1)(k - 1)
    half = stats.studentized_range.isf(0.025, 3, 6) * math.sqrt(residual / 4)
    found = paired(x)
    assert found.half[0, 1] == pytest.approx(half, rel=1e-6)
    assert found.difference[2].tolist() == [2, 1, 0]


def test_bounds_and_claims_are_read_off_the_intervals() -> None:
    x = 0.1 * drawn(10, 3) + [0.0, 0.02, 1.0]
    found = paired(x)
    assert found.beats.tolist() == [[False] * 3, [False] * 3, [True, True, False]]
    assert found.may_be_best.tolist() == [False, False, True]
    assert found.may_lose.tolist() == [found.high[2, 0], found.high[2, 1], 0.0]
    between = found.between(0, 1, margin=0.5)
    assert (between.negligible, between.above, between.below) == (True, False, False)
    exploratory = paired(x, alpha=0.0)
    assert exploratory.half[0, 1] == found.half[0, 1]
    assert not exploratory.beats.any()
    assert not exploratory.between(0, 1, margin=0.5).negligible


def test_fewer_than_three_seeds_claim_nothing_and_one_has_no_interval() -> None:
    far = drawn(2, 2) + np.array([0, 100])
    assert paired(far).low[1, 0] > 0
    assert not paired(far).beats.any()
    one = paired(far[:1])
    assert np.isnan(one.half).all()
    assert np.isnan(one.may_lose).all()


def test_pairs_use_the_seeds_that_both_have() -> None:
    x = drawn(9, 3)
    x[5:, 2] = math.nan
    found = paired(x)
    assert found.num.tolist() == [[0, 9, 5], [9, 0, 5], [5, 5, 0]]
    assert found.difference[0, 2] == pytest.approx((x[:5, 0] - x[:5, 2]).mean())
    assert found.half[0, 2] > found.half[0, 1]


def test_counts_cannot_vary_less_than_their_rounding() -> None:
    same = np.tile([0.90, 0.91], (6, 1))
    assert paired(same).low[1, 0] == pytest.approx(0.01)
    coarse = paired(same, resolution=0.01)  # one of 100 examples: sd of a difference 0.01 / √6
    assert coarse.half[0, 1] == pytest.approx(stats.t.isf(0.025, 5) * 0.01 / 6)


def test_strata_are_averaged_and_their_levels_are_no_noise() -> None:
    strata = np.repeat([0, 1], 6)
    x = 0.1 * drawn(12, 2)
    x[:, 1] += np.where(strata == 0, 1.0, 3.0)
    d = x[:, 1] - x[:, 0]
    own = [d[strata == s] for s in (0, 1)]
    variance = sum(part.var(ddof=1) * 5 for part in own) / 10
    half = stats.t.isf(0.025, 10) * math.sqrt(variance * (1 / 6 + 1 / 6) / 4)
    found = paired(x, strata=strata)
    assert found.difference[1, 0] == pytest.approx(np.mean([part.mean() for part in own]))
    assert found.half[0, 1] == pytest.approx(half)
    assert found.half[0, 1] < paired(x).half[0, 1] / 3


def test_tuning_draws_are_the_units() -> None:
    scores = (drawn(5, 4, 3) + drawn(5, 1, 3, seed=1)).reshape(20, 3)
    draws = np.repeat(range(5), 4)
    found = over_draws(scores, draws)
    means = scores.reshape(5, 4, 3).mean(axis=1)
    assert found.half[0, 1] == pytest.approx(paired(means).half[0, 1])
    scores[9, 0] = math.nan  # of draw 2: its mean is over the other seeds
    means[2, 0] = scores[[8, 10, 11], 0].mean()
    difference = over_draws(scores, draws).difference[0, 1]
    assert difference == pytest.approx(paired(means).difference[0, 1])


def test_few_seeds_claim_what_is_far_apart_at_half_the_level() -> None:
    scores = np.array([[0.0, 10.0], [0.0, 10.0], [0.0, 11.0]])
    found = paired(scores)
    # differences 10, 10, 11: mean 10.33, sd 0.577; t(0.9875, 2) 6.205 * 0.577 / sqrt(3) = 2.07
    assert found.half[0, 1] == pytest.approx(2.068, abs=1e-3)
    assert found.beats[1, 0]
    assert not paired(scores[:2]).beats.any()
    alone = independent([scores[:, 0] + [0.0, 0.5, 1.0], scores[:, 1]])
    assert alone.beats[1, 0]


def simulated(scale: list[float], num: int, seed: int, studies: int = 800) -> float:
    """The share of null studies in which any interval misses."""
    x = drawn(studies, num, len(scale), seed=seed) * scale
    return float(np.mean([paired(study).beats.any() for study in x]))


@pytest.mark.parametrize(
    ("scale", "num"),
    [
        ([1, 1, 1, 1], 5),
        ([1, 1, 1, 1], 8),
        ([3, 1, 1, 1], 8),
        ([1, 1], 5),
        ([1, 1, 1, 1], 3),
        ([3, 1, 1, 1], 3),
    ],
)
def test_null_studies_claim_a_difference_in_five_percent(scale: list[float], num: int) -> None:
    least = 0.01 if num < inference.ENOUGH else 0.02
    assert least < simulated(scale, num, seed=1) < 0.075  # sd of the share: 0.008


def test_seeds_to_resolve_by_the_noncentral_t() -> None:
    # textbook cases: half a standard deviation, 80 % power, two-sided 0.05: 34 pairs; a whole: 10
    assert seeds_to_resolve(1.0, 0.5, 2) == 34
    assert seeds_to_resolve(2.0, 2.0, 2) == 10
    assert seeds_to_resolve(0.0, 0.5, 6) == inference.LEAST
    # below five seeds at 2.5 %: t(0.9875, 2) = 6.205, whose power at 5 sd and n = 3 is 0.89
    assert seeds_to_resolve(1.0, 5.0, 2) == 3


def test_seeds_to_resolve_by_simulation() -> None:
    n = seeds_to_resolve(1.0, 1.2, 4)
    x = drawn(400, n, 4, seed=2) / math.sqrt(2) + [1.2, 0, 0, 0]
    power = np.mean([paired(study).beats[0, 1] for study in x])
    assert 0.73 < power < 0.87
