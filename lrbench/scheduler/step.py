"""Schedules that cut the lr at given updates: at regular intervals, or at milestones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lrbench.config.checks import require
from lrbench.scheduler.base import (
    Floored,
    Run,
    Segment,
    first_update_at,
    levels,
    require_duration,
    require_positions,
)
from lrbench.scheduler.shapes import constant


@dataclass(frozen=True, kw_only=True)
class Step(Floored):
    """Multiply the lr by cut_factor at regular intervals.

    ``cut_factor^floor((t - warmup) / every)``, but never below min_factor. Intervals are not
    rounded, and last at least one update.

    Source: He et al. 2015 (arXiv:1512.03385) made it the habit. Equal to torch's StepLR, timm's
    StepLRScheduler with warmup_prefix and Keras's ExponentialDecay with staircase=True.
    """

    every: str
    cut_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("every", self.every)
        require(0 < self.cut_factor < 1, "cut_factor", self.cut_factor, "must be in (0, 1)")

    def body(self, run: Run, start: int) -> Iterator[Segment]:
        interval = run.exact(self.every)
        require(interval > 0, "every", self.every, "must be longer than 0 steps")
        interval = max(interval, 1.0)
        number = math.ceil((run.total_steps - start) / interval)
        cuts = (first_update_at(start + i * interval) for i in range(1, number + 1))
        return _cuts(cuts, self.cut_factor, self.min_factor, start, run.total_steps)


@dataclass(frozen=True, kw_only=True)
class MultiStep(Floored):
    """Multiply the lr by cut_factor at each milestone, but never below min_factor.

    Milestones are counted from the start of the run, warmup included, and rounded to updates. The
    first update with the lower lr is the one with the milestone's index; one at the run's very
    end has no effect.

    Equal to torch's MultiStepLR; timm's MultiStepLRScheduler cuts one step earlier.
    """

    milestones: tuple[str, ...]
    cut_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for milestone in self.milestones:
            require_duration("milestones", milestone)
        require(0 < self.cut_factor < 1, "cut_factor", self.cut_factor, "must be in (0, 1)")

    def body(self, run: Run, start: int) -> Iterator[Segment]:
        cuts = [run.whole(milestone) for milestone in self.milestones]
        require_positions("milestones", self.milestones, cuts, start, run.total_steps)
        return _cuts(cuts, self.cut_factor, self.min_factor, start, run.total_steps)


def _cuts(
    steps: Iterable[int], ratio: float, low: float, start: int, stop: int
) -> Iterator[Segment]:
    """Levels ``ratio^i``, not below `low`, the i-th from the i-th of `steps` on."""

    def cuts() -> Iterator[tuple[int, float, str, str]]:
        level = 1.0
        for number, step in enumerate(steps, 1):
            lower = max(ratio**number, low)
            if lower == level or step >= stop:
                return
            level = lower
            reason = f"cut {number}: to {level:.4g} of the base lr"
            yield step, level, f"{level:.4g} of the lr", reason

    return levels(Segment("full lr", start, stop, constant(1.0)), cuts())
