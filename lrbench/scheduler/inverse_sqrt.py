"""The schedules of the first transformers: warmup, then a decay by the inverse square root."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config.checks import require
from lrbench.scheduler.base import Floored, Run, Scheduler, Segment, require_duration
from lrbench.scheduler.shapes import inverse_sqrt


@dataclass(frozen=True, kw_only=True)
class InverseSqrt(Floored):
    """``1 / √(1 + (t - warmup) / timescale)``, but never below min_factor.

    With timescale = warmup this is ``√(warmup / t)``, which goes on from the warmup's end without
    knowing how long the run will be.

    Source: Raffel et al. 2019 (arXiv:1910.10683) and Zhai et al. 2021 (arXiv:2106.04560). Equal
    to transformers' get_inverse_sqrt_schedule, whose timescale without a warmup is 10,000.
    """

    timescale: str

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("timescale", self.timescale)

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        timescale = run.exact(self.timescale)
        require(timescale > 0, "timescale", self.timescale, "must be longer than 0 steps")
        curve = inverse_sqrt(start, timescale, self.min_factor)
        return [Segment("inverse square root decay", start, run.total_steps, curve)]


@dataclass(frozen=True, kw_only=True)
class Noam(Scheduler):
    """The schedule of the transformer paper, scaled to a peak of 1: ``min(s / w, √(w / s))``.

    s = t + 1 counts from 1, as in the paper, and w is the warmup, of one update at least; so
    update 0 takes 1/w and update w - 1 the peak. The paper's lr, ``d^-0.5 · min(s^-0.5, s
    w^-1.5)``, is this with the base lr ``(d w)^-0.5`` (0.0007 for d = 512, w = 4000). The warmup
    belongs to the formula: it is linear and from zero, other values are refused.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 5.3.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        shape, start = self.warmup_shape, self.warmup_start_factor
        require(shape == "linear", "warmup_shape", shape, "must be linear: noam defines its warmup")
        rule = "must be 0: noam's warmup is from zero, and update 0 takes 1/warmup"
        require(start == 0, "warmup_start_factor", start, rule)

    def warmup_segment(self, warmup: int, body: Segment) -> Segment:  # noqa: ARG002
        return Segment("linear warmup", 0, warmup, lambda step: (step + 1) / warmup)

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        peak = max(start, 1)
        name = "inverse square root decay"
        return [Segment(name, start, run.total_steps, lambda step: math.sqrt(peak / (step + 1)))]
