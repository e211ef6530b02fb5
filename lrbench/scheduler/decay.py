"""Schedules of one descent: from the peak to a floor, in one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.checks import require
from lrbench.scheduler.base import (
    Run,
    Scheduler,
    Segment,
    decay_then_hold,
    require_duration,
    require_min_factor,
)
from lrbench.scheduler.shapes import constant, descend, k_cosine


@dataclass(frozen=True, kw_only=True)
class Constant(Scheduler):
    """The base lr throughout, after the warmup if there is one."""

    @property
    def floor(self) -> float:
        return 1.0

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        return [Segment("constant", start, run.total_steps, constant(1.0))]


@dataclass(frozen=True, kw_only=True)
class Cosine(Scheduler):
    """Cosine annealing: half a cosine wave from the peak to the floor.

    ``min_factor + (1 - min_factor) · ½(1 + cos π p^k)`` with p = (t - warmup) / decay, then
    min_factor. k = 1 is the usual cosine; a larger k (k-decay) stays high for longer and falls
    more steeply.

    Source: Loshchilov and Hutter 2016 (arXiv:1608.03983); Zhang and Li 2020 (arXiv:2004.05909)
    for k. Equal to Keras's CosineDecay, whose decay_steps likewise do not count the warmup, to
    timm's CosineLRScheduler with warmup_prefix, and to torch's CosineAnnealingLR up to T_max,
    beyond which torch climbs again and this holds the floor.
    """

    decay: str
    min_factor: float
    k: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("decay", self.decay, rest=True)
        require_min_factor(self.min_factor)
        require(0 < self.k < float("inf"), "k", self.k, "must be above 0; 1 is the usual cosine")

    @property
    def floor(self) -> float:
        return self.min_factor

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        return decay_then_hold(
            "cosine decay",
            run,
            start,
            self.decay,
            lambda length: descend(k_cosine(self.k), start, length, 1.0, self.min_factor),
            self.min_factor,
        )
