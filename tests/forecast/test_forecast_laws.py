"""The laws against their formulas written out, and their derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from lrbench.forecast import convex_bound
from lrbench.forecast.laws import (
    ANNEALING,
    CURVE_LAWS,
    MULTI_POWER,
    CurveLaw,
    bound_terms,
    track,
)

COSINE = 0.5 * (1 + np.cos(np.pi * np.arange(60) / 60))
LR = 2e-3 * np.concatenate([np.arange(1, 11) / 10, COSINE, [0.3] * 10, [0.05] * 10])
STEPS = np.array([5, 11, 40, 71, 72, 85, 90])


def formula(law: CurveLaw, shape: np.ndarray, t: int) -> tuple[float, float]:
    """The two terms after `t` updates, as the papers write them."""
    before = np.concatenate([[0.0], LR])
    falls = [before[k] - LR[k] if law.warmup or k > 10 else 0.0 for k in range(t)]
    alpha = np.exp(shape[0])
    if law is ANNEALING:
        tau, m, s2 = np.exp(shape[1]) + 1, 0.0, 0.0
        for fall in falls:
            m = (1 - 1 / tau) * m + fall
            s2 += m
        return LR[:t].sum() ** -alpha, s2 / tau
    c, gamma, beta = np.exp(shape[1]), shape[2], np.exp(shape[3])
    total = sum(
        fall * (1 - (1 + c * LR[k] ** -gamma * LR[k:t].sum()) ** -beta)
        for k, fall in enumerate(falls)
    )
    return LR[:t].sum() ** -alpha, total


@pytest.mark.parametrize("law", CURVE_LAWS, ids=lambda law: law.name)
def test_terms_are_those_of_the_papers(law: CurveLaw) -> None:
    """Where each update is looked at, no drops are gathered, and the sums are exact."""
    shape = np.array([-0.6, 0.5, 0.55, -0.5]) if law is MULTI_POWER else np.array([-0.6, 2.0])
    every = np.arange(1, len(LR) + 1)
    found, _ = law.terms(shape, track(LR, every, unit=1.0, updates=1.0, warmup=law.warmup))
    expected = [formula(law, shape, int(t)) for t in every]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("law", CURVE_LAWS, ids=lambda law: law.name)
def test_derivatives_are_the_slopes_of_the_terms(law: CurveLaw) -> None:
    shape = law.usual(30.0)
    at = track(LR, STEPS, unit=2e-3, updates=30.0, warmup=law.warmup)
    slopes = approx_fprime(shape, lambda x: law.terms(x, at)[0].ravel(), 1e-7)
    found = law.terms(shape, at)[1].reshape(slopes.shape)
    np.testing.assert_allclose(found, slopes, rtol=1e-4, atol=1e-6)


def test_gathered_drops_change_little() -> None:
    lr = 1e-3 * 0.5 * (1 + np.cos(np.pi * np.arange(4000) / 4000))
    shape = MULTI_POWER.usual(2e3)

    def last(steps: np.ndarray) -> np.ndarray:
        return MULTI_POWER.terms(shape, track(lr, steps, unit=1e-3, updates=2e3, warmup=True))[0][
            -1
        ]

    every = np.arange(2, 4001, 2)  # which parts the drops into twos
    np.testing.assert_allclose(last(np.array([4000])), last(every), atol=3e-4)


def test_convex_bound_is_theorem_10_written_out() -> None:
    lr = np.append(LR, 0.0)  # a last update of lr 0 is left out
    n, gradient, distance = len(LR), 1.7, 0.4
    expected = distance**2 / (2 * LR.sum()) + gradient**2 * (LR**2).sum() / (2 * LR.sum())
    for k in range(n - 1):
        tail = gradient**2 * (LR[k:] ** 2).sum() / LR[k:].sum()
        expected += 0.5 * LR[k] / LR[k + 1 :].sum() * tail
    assert convex_bound(lr, gradient=gradient, distance=distance) == pytest.approx(expected)
    first, noise = bound_terms(LR)
    best = np.sqrt(first / noise)  # γ*, as a ratio of this schedule's lr
    bounds = [convex_bound(LR * best * factor) for factor in (0.9, 1.0, 1.1)]
    assert min(bounds) == bounds[1] == pytest.approx(2 * np.sqrt(first * noise))
