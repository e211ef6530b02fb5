"""Warmup, then a decay of any of the usual shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Floored, Run, Segment, decay_then_hold, require_duration
from lrbench.scheduler.shapes import Formula, cosine, geometric, inverse_sqrt, linear, polynomial

DECAY_SHAPES = ("exponential", "linear", "cosine", "polynomial", "inverse_sqrt")
CLOCKS = ("step", "epoch")


@dataclass(frozen=True, kw_only=True)
class WarmupDecay(Floored):
    """A warmup to the peak, then a decay towards the floor.

    With s = t - warmup and p = s / decay, the decay is by `decay_shape`:
    exponential ``decay_rate^(s / steps_per_epoch)``; linear ``1 - p``; cosine ``½(1 + cos πp)``;
    polynomial ``(1 - p)^power``; inverse_sqrt ``1 / √(1 + s / decay)``. The three with an end
    reach min_factor after `decay`; the other two go on to the end of the run, never below it.

    ``clock: epoch`` looks only at the start of each epoch, so that warmup and decay go in stairs,
    as Keras's LearningRateScheduler does; the warmup must then be whole epochs long.

    Source: Goyal et al. 2017 (arXiv:1706.02677) for the warmup; the linear, cosine and polynomial
    decays equal those of transformers (get_..._schedule_with_warmup), and the exponential one by
    epoch the lambda ``lr · decay_rate`` under Keras's LearningRateScheduler.
    """

    decay: str
    decay_shape: str
    decay_rate: float
    power: float
    clock: str

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("decay", self.decay, rest=True)
        require_choice("decay_shape", self.decay_shape, DECAY_SHAPES)
        require(0 < self.decay_rate <= 1, "decay_rate", self.decay_rate, "must be in (0, 1]")
        require(0 < self.power < math.inf, "power", self.power, "must be above 0")
        require_choice("clock", self.clock, CLOCKS)

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        if self.clock == "epoch":
            require(
                start % run.steps_per_epoch == 0,
                "warmup",
                self.warmup,
                f"must be whole epochs ({run.steps_per_epoch} steps each) when clock=epoch",
            )
        name, low = f"{self.decay_shape} decay", self.min_factor
        if self.decay_shape == "exponential":
            curve = geometric(self.decay_rate, start, run.steps_per_epoch, low)
            return [Segment(name, start, run.total_steps, curve)]
        if self.decay_shape == "inverse_sqrt":
            timescale = run.remaining(self.decay, start)
            require(timescale > 0, "decay", self.decay, "must be longer than 0 steps")
            curve = inverse_sqrt(start, timescale, low)
            return [Segment(name, start, run.total_steps, curve)]
        shapes = {"linear": linear, "cosine": cosine, "polynomial": polynomial(self.power)}
        shape = shapes[self.decay_shape]
        return decay_then_hold(name, run, start, self.decay, shape, (1.0, low))

    def paced(self, formula: Formula, run: Run) -> Formula:
        epoch = run.steps_per_epoch
        return (lambda step: formula(step // epoch * epoch)) if self.clock == "epoch" else formula
