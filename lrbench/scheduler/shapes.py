"""Formulas of the factor by an update's index: pure `math`, without a run or a config."""

from __future__ import annotations

import math
from collections.abc import Callable

Formula = Callable[[int], float]
"""The factor (or the momentum) of the update with this index in the run."""

Descent = Callable[[float], float]
"""How much is left, from 1 at p=0 to 0 at p=1, when the fraction p of a decay has passed."""

WARMUP_SHAPES = ("linear", "cosine", "exponential", "constant")


def constant(value: float) -> Formula:
    """`value` at every update."""
    return lambda _: value


def descend(shape: Descent, start: float, length: float, high: float, low: float) -> Formula:
    """From `high` at update `start` to `low` at `start + length`, then `low`."""
    height = high - low

    def factor(step: int) -> float:
        passed = (step - start) / length
        return low + height * shape(passed) if passed < 1 else low

    return factor


def linear(passed: float) -> float:
    """``1 - p``."""
    return 1 - passed


def cosine(passed: float) -> float:
    """``(1 + cos πp) / 2`` (Loshchilov and Hutter 2016, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * passed))


def polynomial(power: float) -> Descent:
    """``(1 - p)^power``."""
    return lambda passed: (1 - passed) ** power


def k_cosine(k: float) -> Descent:
    """``(1 + cos πp^k) / 2`` (k-decay: Zhang and Li 2020, arXiv:2004.05909)."""
    return cosine if k == 1 else lambda passed: cosine(passed**k)


def rex(passed: float) -> float:
    """``(1 - p) / (1 - p/2)`` (Chen, Wolfe, Li and Kyrillidis 2021, arXiv:2107.04197)."""
    return (1 - passed) / (1 - passed / 2)


def one_minus_sqrt(passed: float) -> float:
    """``1 - √p`` (Hägele et al. 2024, arXiv:2405.18392)."""
    return 1 - math.sqrt(passed)


def tanh(lower: float, upper: float) -> Descent:
    """``½(1 - tanh((1 - p) lower + p upper))`` (Hsueh, Li and Wu 2018, arXiv:1806.01593)."""
    return lambda passed: 0.5 * (1 - math.tanh(lower * (1 - passed) + upper * passed))


def geometric(rate: float, start: int, period: float, low: float) -> Formula:
    """``rate^((t - start) / period)``, but never below `low`."""
    return lambda step: max(low, rate ** ((step - start) / period))


def inverse_sqrt(start: int, timescale: float, low: float) -> Formula:
    """``1 / √(1 + (t - start) / timescale)``, but never below `low`."""
    return lambda step: max(low, 1 / math.sqrt(1 + (step - start) / timescale))


def warmup_formula(shape: str, length: int, start_factor: float, target: float) -> Formula:
    """The rise from ``start_factor · target`` at update 0 to `target` at update `length`.

    linear: even steps; cosine: half a wave; exponential: even ratios; constant: waits at the
    start and leaps at the end (He et al. 2015, arXiv:1512.03385, section 4.2).
    """
    first = start_factor * target
    height = target - first
    if shape == "linear":
        return lambda step: first + height * step / length
    if shape == "cosine":
        return lambda step: target - height * cosine(step / length)
    if shape == "exponential":
        return lambda step: target * start_factor ** (1 - step / length)
    assert shape == "constant", shape
    return constant(first)
