"""Every statistic on a case worked by hand or against an independent computation."""

import math

import numpy as np
import pytest
from scipy import stats

from lrbench.compare import statistics


def test_t_interval_by_hand() -> None:
    # mean 3, sd sqrt(2.5), t(0.975, 4) = 2.776445: 3 ± 2.776445 * 1.581139 / sqrt(5)
    low, high = statistics.t_interval([1, 2, 3, 4, 5])
    assert (low, high) == (pytest.approx(3 - 1.963243, abs=1e-5), pytest.approx(4.963243, abs=1e-5))
    low, high = statistics.t_interval([1, 2, 3, 4, 5], confidence=0.9)  # t = 2.131847
    assert high - 3 == pytest.approx(2.131847 * math.sqrt(0.5), abs=1e-5)


def test_no_interval_from_one_run() -> None:
    assert all(math.isnan(end) for end in statistics.t_interval([0.9]))


def test_probability_of_improvement_by_hand() -> None:
    assert statistics.probability_of_improvement([3, 2, 1, 5], [1, 2, 3, 4]) == 2.5 / 4
    assert math.isnan(statistics.probability_of_improvement([], []))


def test_seed_correlation() -> None:
    assert statistics.seed_correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1)
    # deviations (-1, 0, 1) and (-1/3, 2/3, -1/3): product sum 0
    assert statistics.seed_correlation([1, 2, 3], [1, 2, 1]) == pytest.approx(0)
    assert math.isnan(statistics.seed_correlation([1, 2], [1, 2]))
    assert math.isnan(statistics.seed_correlation([1, 1, 1], [1, 2, 3]))


@pytest.mark.parametrize(("lost", "num"), [(0, 8), (1, 8), (3, 20), (8, 8)])
def test_the_largest_rate_is_clopper_and_pearsons(lost: int, num: int) -> None:
    expected = stats.binomtest(lost, num, alternative="less").proportion_ci(0.95).high
    assert statistics.largest_rate(lost, num) == pytest.approx(expected)
    assert statistics.largest_rate(0, 8) == pytest.approx(1 - 0.05 ** (1 / 8))  # 31 %


def test_rates_are_compared_exactly() -> None:
    a, b = [True] * 6 + [False] * 2, [False] * 8
    # 6 of 8 against 0 of 8: both tails of the hypergeometric distribution
    assert statistics.rates_p(a, b) == pytest.approx(2 * math.comb(8, 6) / math.comb(16, 6))
    assert statistics.rates_p(b, b) == 1.0


def test_expectation_of_the_largest_by_hand_and_simulation() -> None:
    assert statistics.expected_largest(2) == pytest.approx(1 / math.sqrt(math.pi))
    drawn = np.random.default_rng(0).normal(size=(40_000, 5)).max(axis=1).mean()
    assert statistics.expected_largest(5) == pytest.approx(drawn, abs=0.02)
