"""Every statistic on a case worked by hand or against an independent computation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lrbench.compare import statistics


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_t_interval_by_hand() -> None:
    # mean 3, sd sqrt(2.5), t(0.975, 4) = 2.776445: 3 ± 2.776445 * 1.581139 / sqrt(5)
    low, high = statistics.t_interval([1, 2, 3, 4, 5])
    assert (low, high) == (pytest.approx(3 - 1.963243, abs=1e-5), pytest.approx(4.963243, abs=1e-5))
    low, high = statistics.t_interval([1, 2, 3, 4, 5], confidence=0.9)  # t = 2.131847
    assert high - 3 == pytest.approx(2.131847 * math.sqrt(0.5), abs=1e-5)


def test_no_interval_from_one_run() -> None:
    assert all(math.isnan(end) for end in statistics.t_interval([0.9]))
    low, high, method = statistics.difference_interval([0.1], rng())
    assert (math.isnan(low), math.isnan(high), method) == (True, True, "none")


def test_permutation_p_by_hand() -> None:
    # all positive: of 2^5 sign patterns only this one and its mirror image are as extreme
    assert statistics.permutation_p([1, 2, 3, 4, 5], rng()) == pytest.approx(2 / 32)
    # sums over the 8 patterns of (3, 1, 1): ±5, ±3, ±3, ±1; |sum| >= 3 in 6
    assert statistics.permutation_p([3, 1, -1], rng()) == pytest.approx(6 / 8)
    assert statistics.permutation_p([0, 0, 0], rng()) == 1.0
    assert statistics.permutation_p([1], rng()) == 1.0
    assert math.isnan(statistics.permutation_p([], rng()))


def test_permutation_p_is_that_of_all_sign_patterns() -> None:
    differences = np.random.default_rng(3).normal(0.5, 1, 9)
    signs = np.array(list(itertools.product((-1, 1), repeat=9)))
    means = (signs * differences).mean(axis=1)
    expected = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    assert statistics.permutation_p(differences, rng()) == pytest.approx(expected)


def test_permutation_p_of_equal_differences_counts_ties() -> None:
    # accuracies are counts: 0.1 + 0.2 - 0.3 must not make a tie a win
    assert statistics.permutation_p([0.3, 0.1 + 0.2, -0.3], rng()) == 1.0


def test_many_pairs_are_sampled() -> None:
    p = statistics.permutation_p(np.full(30, 0.1) + np.linspace(0, 0.01, 30), rng())
    assert 0 < p <= 2 / (statistics.RESAMPLES + 1) + 1e-12


def test_smallest_p() -> None:
    assert statistics.smallest_p(5) == 0.0625
    assert statistics.smallest_p(5, 6) == 0.375
    assert statistics.smallest_p(1, 6) == 1.0
    assert statistics.fewest_pairs(1) == 6  # 2 / 64 = 0.03
    assert statistics.fewest_pairs(6) == 8  # 12 / 256 = 0.047


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1 = 0.04, 0.06, 0.06, 0.04, then not decreasing
    assert statistics.holm([0.03, 0.01, 0.04, 0.02]).tolist() == pytest.approx(
        [0.06, 0.04, 0.06, 0.06]
    )
    corrected = statistics.holm([0.5, math.nan, 0.6])
    assert corrected[[0, 2]].tolist() == [1.0, 1.0]
    assert math.isnan(corrected[1])
    assert statistics.holm([0.02]).tolist() == [0.02]
    assert len(statistics.holm([])) == 0


def test_probability_of_improvement_by_hand() -> None:
    assert statistics.probability_of_improvement([3, 2, 1, 5], [1, 2, 3, 4]) == 2.5 / 4
    assert math.isnan(statistics.probability_of_improvement([], []))


def test_seed_correlation() -> None:
    assert statistics.seed_correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    # deviations (-1, 0, 1) and (-1/3, 2/3, -1/3): product sum 0
    assert statistics.seed_correlation([1, 2, 3], [1, 2, 1]) == pytest.approx(0)
    assert math.isnan(statistics.seed_correlation([1, 2], [1, 2]))
    assert math.isnan(statistics.seed_correlation([1, 1, 1], [1, 2, 3]))


def test_equivalence_p_by_hand() -> None:
    # mean 0, sd 1, n 5: t = 2 / (1 / sqrt(5)) = 4.4721 on either side
    differences = np.array([-1, -1, 0, 1, 1.0])
    assert differences.std(ddof=1) == 1
    expected = stats.t.sf(2 * math.sqrt(5), 4)
    assert statistics.equivalence_p(differences, 2) == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_equivalence_is_the_90_percent_interval_inside_the_margin(shift: float) -> None:
    differences = np.random.default_rng(1).normal(shift, 0.15, 8)
    low, high = statistics.t_interval(differences, confidence=0.9)
    inside = low > -0.3 and high < 0.3
    assert (statistics.equivalence_p(differences, 0.3) < 0.05) == inside


def test_equivalence_without_spread() -> None:
    assert statistics.equivalence_p([0.1] * 5, 0.2) == 0.0
    assert statistics.equivalence_p([0.3] * 5, 0.2) == 1.0
    assert math.isnan(statistics.equivalence_p([0.1] * 4, 0.2))  # four equal counts are chance
    assert math.isnan(statistics.equivalence_p([0.1], 0.2))


def test_bootstrap_interval_is_as_wide_as_students_on_average() -> None:
    generator = np.random.default_rng(5)
    bootstrap, student = [], []
    for _ in range(40):
        differences = generator.normal(size=10)
        low, high, method = statistics.difference_interval(differences, generator)
        assert method == "bootstrap"
        bootstrap.append(high - low)
        student.append(np.ptp(statistics.t_interval(differences)))
    # the plain percentile interval would stand at 0.82
    assert np.mean(bootstrap) / np.mean(student) == pytest.approx(1, abs=0.06)


def test_bootstrap_interval_against_every_resample() -> None:
    differences = np.array([0.0, 0.1, 0.3, 0.4, 0.9])
    means = np.array([np.mean(c) for c in itertools.product(differences, repeat=5)])
    tail = stats.norm.cdf(math.sqrt(5 / 4) * stats.t.ppf(0.025, 4))
    expected = np.quantile(means, [tail, 1 - tail])
    low, high, _ = statistics.difference_interval(differences, rng())
    assert [low, high] == pytest.approx(expected.tolist(), abs=0.03)


def test_few_pairs_get_students_interval() -> None:
    low, high, method = statistics.difference_interval([0.1, 0.2, 0.4], rng())
    assert method == "t"
    assert (low, high) == statistics.t_interval([0.1, 0.2, 0.4])


def test_equal_differences_have_an_interval_of_no_width() -> None:
    assert statistics.difference_interval([0.25] * 6, rng()) == (0.25, 0.25, "bootstrap")


def test_intervals_repeat_with_the_seed() -> None:
    differences = np.linspace(-1, 2, 7)
    first = statistics.difference_interval(differences, rng())
    assert first == statistics.difference_interval(differences, rng())
    assert first != statistics.difference_interval(differences, np.random.default_rng(1))


def test_seeds_to_resolve_by_the_noncentral_t() -> None:
    # textbook case: effect of half a standard deviation, 80 % power, two-sided 0.05: 34 pairs
    assert statistics.seeds_to_resolve(1.0, 0.5) == 34
    # a whole one: 10
    assert statistics.seeds_to_resolve(2.0, 2.0) == 10
    assert statistics.seeds_to_resolve(1.0, 0.5, num_tests=6) > 34
    assert statistics.seeds_to_resolve(0.0, 0.5, num_tests=6) == 8  # the permutation test's least


def test_seeds_to_resolve_by_simulation() -> None:
    n = statistics.seeds_to_resolve(1.0, 0.8)
    draws = np.random.default_rng(2).normal(0.8, 1.0, (4000, n))
    power = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert 0.78 < power < 0.86
