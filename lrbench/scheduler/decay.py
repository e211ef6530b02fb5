"""Schedules that go once from the peak to a floor, each in a shape of its own."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config.checks import require
from lrbench.scheduler.base import (
    Floored,
    Run,
    Scheduler,
    Segment,
    decay_then_hold,
    require_duration,
)
from lrbench.scheduler.shapes import (
    Descent,
    constant,
    geometric,
    k_cosine,
    linear,
    polynomial,
    rex,
    tanh,
)


@dataclass(frozen=True, kw_only=True)
class Constant(Scheduler):
    """The base lr throughout, after the warmup if there is one."""

    @property
    def floor(self) -> float:
        return 1.0

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        return [Segment("constant", start, run.total_steps, constant(1.0))]


@dataclass(frozen=True, kw_only=True)
class Linear(Scheduler):
    """A straight line from start_factor to end_factor.

    ``start_factor + (end_factor - start_factor) · (t - warmup) / duration``, then end_factor.
    Down to 0 and after a warmup it is what Defazio et al. recommend as the default schedule; up
    to 1 it is a warmup that can be a part of a chain.

    Source: Defazio, Cutkosky, Mehta and Mishchenko 2023 (arXiv:2310.07831). Equal to torch's
    LinearLR (which multiplies step by step and so drifts by rounding errors) and transformers'
    get_linear_schedule_with_warmup.
    """

    duration: str
    start_factor: float
    end_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("duration", self.duration, rest=True)
        first, last = self.start_factor, self.end_factor
        require(0 <= first <= 1, "start_factor", first, "must be between 0 and 1")
        require(0 <= last <= 1, "end_factor", last, "must be between 0 and 1")

    @property
    def floor(self) -> float:
        return min(self.start_factor, self.end_factor)

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        ends = self.start_factor, self.end_factor
        name = "linear decay" if ends[1] < ends[0] else "linear rise"
        return decay_then_hold(name, run, start, self.duration, linear, ends)


@dataclass(frozen=True, kw_only=True)
class _Decay(Floored):
    """From the peak to min_factor over `decay`, then min_factor, by a shape of the fraction p.

    ``min_factor + (1 - min_factor) · shape(p)`` with p = (t - warmup) / decay. `decay` does not
    count the warmup; ``rest`` ends it with the run, and one that is longer than the run is cut
    off there.
    """

    decay: str

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("decay", self.decay, rest=True)

    @abstractmethod
    def shape(self) -> tuple[str, Descent]:
        """The shape's name and formula."""

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        name, shape = self.shape()
        ends = 1.0, self.min_factor
        return decay_then_hold(f"{name} decay", run, start, self.decay, shape, ends)


@dataclass(frozen=True, kw_only=True)
class Cosine(_Decay):
    """Cosine annealing: half a cosine wave from the peak to the floor.

    ``min_factor + (1 - min_factor) · ½(1 + cos π p^k)`` with p = (t - warmup) / decay, then
    min_factor. k = 1 is the usual cosine; a larger k (k-decay) stays high for longer and falls
    more steeply.

    Source: Loshchilov and Hutter 2016 (arXiv:1608.03983); Zhang and Li 2020 (arXiv:2004.05909)
    for k. Equal to Keras's CosineDecay, whose decay_steps likewise do not count the warmup, to
    timm's CosineLRScheduler with warmup_prefix, and to torch's CosineAnnealingLR up to T_max,
    beyond which torch climbs again and this holds the floor.
    """

    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.k < math.inf, "k", self.k, "must be above 0; 1 is the usual cosine")

    def shape(self) -> tuple[str, Descent]:
        return "cosine", k_cosine(self.k)


@dataclass(frozen=True, kw_only=True)
class Polynomial(_Decay):
    """A power of what is left: ``min_factor + (1 - min_factor) · (1 - p)^power``.

    p = (t - warmup) / decay; then min_factor. power = 1 is a straight line.

    Source: Chen et al. 2016 (arXiv:1606.00915, "poly"). Equal to Keras's PolynomialDecay without
    cycle, torch's PolynomialLR, timm's PolyLRScheduler without k-decay and transformers'
    get_polynomial_decay_schedule_with_warmup.
    """

    power: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.power < math.inf, "power", self.power, "must be above 0")

    def shape(self) -> tuple[str, Descent]:
        return "polynomial", polynomial(self.power)


@dataclass(frozen=True, kw_only=True)
class Rex(_Decay):
    """Reflected exponential: ``min_factor + (1 - min_factor) · (1 - p) / (1 - p/2)``.

    p = (t - warmup) / decay; then min_factor. Above a straight line in the middle, and steep at
    the end.

    Source: Chen, Wolfe, Li and Kyrillidis 2021 (arXiv:2107.04197).
    """

    def shape(self) -> tuple[str, Descent]:
        return "rex", rex


@dataclass(frozen=True, kw_only=True)
class Tanh(_Decay):
    """Hyperbolic tangent: ``min_factor + (1 - min_factor) · ½(1 - tanh((1-p) lower + p upper))``.

    p = (t - warmup) / decay; then min_factor. The shape starts at ``½(1 - tanh lower)`` (0.9999992
    for -7) and ends at ``½(1 - tanh upper)`` (0.0025 for 3), so that peak and floor are only nearly
    reached, and the last update before the floor is followed by a small leap.

    Source: Hsueh, Li and Wu 2018 (arXiv:1806.01593). Equal to timm's TanhLRScheduler.
    """

    lower: float
    upper: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require(math.isfinite(self.lower), "lower", self.lower, "must be a finite number")
        upper = self.upper
        require(self.lower < upper < math.inf, "upper", upper, f"must be above lower={self.lower}")

    def shape(self) -> tuple[str, Descent]:
        return "tanh", tanh(self.lower, self.upper)


@dataclass(frozen=True, kw_only=True)
class Exponential(Floored):
    """A constant ratio: ``decay_rate^((t - warmup) / every)``, but never below min_factor.

    Equal to torch's ExponentialLR with ``every: 1 steps`` and to Keras's ExponentialDecay
    (decay_steps, decay_rate); with staircase=True Keras's is `Step`.
    """

    decay_rate: float
    every: str

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.decay_rate <= 1, "decay_rate", self.decay_rate, "must be in (0, 1]")
        require_duration("every", self.every)

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        period = run.exact(self.every)
        require(period > 0, "every", self.every, "must be longer than 0 steps")
        curve = geometric(self.decay_rate, start, period, self.min_factor)
        return [Segment("exponential decay", start, run.total_steps, curve)]
