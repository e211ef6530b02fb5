"""Laws that give a loss curve from the learning rate of every update; numpy and scipy alone.

Throughout, ``lr`` is the learning rate of each update, float64 (T,), and ``steps`` are counts of
updates taken, (E,): the loss at ``steps[e]`` was measured after the updates ``lr[:steps[e]]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Array = NDArray[np.float64]

MOST_DROPS = 300  # into about so many the changes of a schedule's lr are gathered at most
LOWEST = 1e-4  # of the peak: a lower lr counts as this, where it is raised to a negative power


@dataclass(frozen=True)
class Track:
    """What the curve laws need to know of a schedule; lrs are ratios of `unit`.

    Attributes:
        steps: int (E,).
        area: the sum of the lrs of the updates taken, divided by `updates`, (E,).
        drops: falls of the lr, (K,), rises being negative: neighbours are gathered, though never
            across one of the steps.
        lows: the lr after each, (K,).
        ages: the sum of the lrs from each of them to each of the steps, divided by `updates`,
            (E, K); 0 where the drop is yet to come.
        falls: the fall of the lr before each update, (T,).
    """

    steps: NDArray[np.int64]
    area: Array
    drops: Array
    lows: Array
    ages: Array
    falls: Array


def track(
    lr: Array, steps: NDArray[np.int64], *, unit: float, updates: float, warmup: bool
) -> Track:
    """The schedule `lr`, (T,), as it is seen at `steps`, (E,).

    Args:
        warmup: whether the drops include what comes before the first fall: rises from 0.
    """
    lr = lr / unit
    before = np.concatenate([[0.0], np.cumsum(lr)]) / updates  # before[k]: the sum of lr[:k]
    falls = -np.diff(lr, prepend=0.0)
    falls[np.abs(falls) < 1e-9 * lr.max()] = 0.0
    if not warmup:
        falls[: int(np.argmax(falls > 0)) if (falls > 0).any() else len(lr)] = 0.0
    changed = np.flatnonzero(falls[: int(steps.max())])
    if not len(changed):
        none = np.zeros(0)
        return Track(steps, before[steps], none, none, np.zeros((len(steps), 0)), falls)
    size = np.abs(falls[changed])
    block = np.floor(np.cumsum(size) / size.sum() * MOST_DROPS * (1 - 1e-9))
    seen = np.searchsorted(np.unique(steps), changed, side="right")
    starts = np.flatnonzero(np.diff(block, prepend=-1) + np.diff(seen, prepend=-1))
    total = np.add.reduceat(size, starts)
    ages = before[steps][:, None] - np.add.reduceat(size * before[changed], starts) / total
    ages = np.where(steps[:, None] > changed[starts], np.maximum(ages, 0.0), 0.0)
    lows = np.maximum(np.add.reduceat(size * lr[changed], starts) / total, LOWEST * lr.max())
    return Track(steps, before[steps], np.add.reduceat(falls[changed], starts), lows, ages, falls)


Terms = Callable[[Array, Track], tuple[Array, Array]]


@dataclass(frozen=True)
class CurveLaw:
    """A law L = L₀ + A·f(S₁) − B·g(drops), where f and g have the parameters `shape`.

    Attributes:
        warmup: whether its drops include the rises of the warmup.
        terms: of `shape` and a track: f and g, (E, 2), and their derivatives, (E, 2, P).
        usual: each parameter where published fits have it, (P,).
        spread: how far from there it is held to be likely, (P,): the curves leave the parameters
            open, and what they leave open is settled by this.
    """

    name: str
    warmup: bool
    terms: Terms
    usual: Callable[[float], Array]
    spread: Array


def power(log_alpha: float, at: Track) -> tuple[Array, Array]:
    """S₁^−α and its derivative by ln α, each (E,)."""
    alpha, log_area = math.exp(log_alpha), np.log(at.area)
    value = np.exp(-alpha * log_area)
    return value, -alpha * log_area * value


def multi_power_terms(shape: Array, at: Track) -> tuple[Array, Array]:
    """S₁^−α and Σ_k drop_k·[1 − (1 + C·low_k^−γ·age_k)^−β], of `shape` = ln α, ln C, γ, ln β."""
    c, gamma, beta = np.exp(shape[1]), shape[2], np.exp(shape[3])
    log_low = np.log(at.lows)
    x = c * np.exp(-gamma * log_low) * at.ages  # (E, K)
    log_1x = np.log1p(x)
    left = np.exp(-beta * log_1x)
    slope = (beta * left * x / (1 + x)) * at.drops  # of the sum, by each ln x
    by = np.zeros((len(at.area), 2, 4))
    first, by[:, 0, 0] = power(shape[0], at)
    by[:, 1, 1], by[:, 1, 2] = slope.sum(1), -slope @ log_low
    by[:, 1, 3] = (beta * left * log_1x) @ at.drops
    return np.stack([first, (1 - left) @ at.drops], axis=1), by


def annealing_terms(shape: Array, at: Track) -> tuple[Array, Array]:
    """S₁^−α and S₂ / τ, of `shape` = ln α, ln τ, where λ = 1 − 1/τ.

    S₂ sums m_i = λ·m_{i−1} + drop_i over the updates taken.
    """
    tau = math.exp(shape[1]) + 1.0
    decay, last = [1.0, -(1 - 1 / tau)], at.steps - 1
    m = lfilter([1.0], decay, at.falls)
    by_decay = lfilter([1.0], decay, np.concatenate([[0.0], m[:-1]]))
    s2, by_tau = np.cumsum(m)[last] / tau, np.cumsum(by_decay)[last] / tau**3
    by = np.zeros((len(at.area), 2, 2))
    first, by[:, 0, 0] = power(shape[0], at)
    by[:, 1, 1] = (by_tau - s2 / tau) * (tau - 1)
    return np.stack([first, s2], axis=1), by


# Luo et al. 2025 (arXiv 2503.12811): α .42 to .53, γ .52 to .65, β .4 to .9 on 25 M to 400 M; a
# drop acts within some 30 updates at the peak lr. With the warmup's rises among the drops, a lr
# that is held has its price, without which peak lrs cannot be compared.
MULTI_POWER = CurveLaw(
    "multi-power",
    True,
    multi_power_terms,
    lambda updates: np.array([math.log(0.47), math.log(updates) - 3.5, 0.58, math.log(0.5)]),
    np.array([0.15, 1.5, 0.1, 0.4]),
)
# Tissue et al. 2024 (arXiv 2408.11029): λ = .99 to .999.
ANNEALING = CurveLaw(
    "annealing",
    False,
    annealing_terms,
    lambda updates: np.array([math.log(0.47), math.log(500)]),  # noqa: ARG005
    np.array([0.15, 1.0]),
)
CURVE_LAWS = (MULTI_POWER, ANNEALING)


def bound_terms(lr: Array) -> tuple[float, float]:
    """The two terms of the convex bound on the loss after the updates `lr`, for G = D = 1.

    Returns:
        D²/(2·Σ lr), and the noise: Σ lr²/(2·Σ lr) + ½·Σ_k [lr_k / Σ_{t>k} lr]·[Σ_{t≥k} lr² /
        Σ_{t≥k} lr] (Defazio et al. 2023, arXiv 2310.07831, theorem 10). Updates of lr 0 are left
        out.
    """
    lr = lr[lr > 0]
    left = np.cumsum(lr[::-1])[::-1]  # Σ_{t≥k} lr
    squares = np.cumsum(lr[::-1] ** 2)[::-1]
    tail = np.sum(lr[:-1] / left[1:] * squares[:-1] / left[:-1])
    return float(0.5 / left[0]), float(0.5 * (squares[0] / left[0] + tail))


def convex_bound(lr: Array, *, gradient: float = 1.0, distance: float = 1.0) -> float:
    """The bound itself, for gradients of norm `gradient` and a solution `distance` away."""
    first, noise = bound_terms(lr)
    return distance**2 * first + gradient**2 * noise


# L = a + b·ln(first term) + c·(second)^power: regressions on final losses, by their power.
LOG_BOUND, ROOT_BOUND = "log-bound", "root-bound"
BOUND_LAWS = {LOG_BOUND: 1.0, ROOT_BOUND: 0.5}
LAWS = (*(law.name for law in CURVE_LAWS), *BOUND_LAWS)
