"""The schedule of a run that was resumed with another length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lrbench.config.checks import require
from lrbench.scheduler.base import Run, Scheduler, Segment
from lrbench.scheduler.shapes import constant


@dataclass(frozen=True, kw_only=True)
class Continued(Scheduler):
    """A schedule as it was first laid out, in a run that became longer or shorter since.

    `schedule` stays laid out on `planned_steps` updates, whatever the run's length now; past its
    end it holds its last factor. From update `cooldown_start` on (None: never) the factor goes
    linearly from the schedule's factor there to `cooldown_floor` at the run's end.
    """

    schedule: Scheduler
    planned_steps: int
    cooldown_start: int | None
    cooldown_floor: float = 0.0  # runs of versions without this key go on without it

    def __post_init__(self) -> None:
        super().__post_init__()
        steps, start = self.planned_steps, self.cooldown_start
        require(steps >= 1, "planned_steps", steps, "must be at least 1")
        require(start is None or start >= 0, "cooldown_start", start, "must be 0 or above")
        floor = self.cooldown_floor
        require(0 <= floor <= 1, "cooldown_floor", floor, "must be between 0 and 1")

    @property
    def reads_losses(self) -> bool:
        return self.schedule.reads_losses

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        del start  # 0: the schedule inside has its own warmup
        end = run.total_steps if self.cooldown_start is None else self.cooldown_start
        seen = [
            (loss, step)
            for loss, step in zip(run.val_losses, run.val_steps, strict=True)
            if step <= end
        ]
        losses, steps = [loss for loss, _ in seen], [step for _, step in seen]
        plan = self.schedule.plan(self.planned_steps, run.steps_per_epoch, losses, steps)
        last = plan.factor(self.planned_steps)
        hold = Segment("hold", self.planned_steps, run.total_steps, constant(last))
        segments = [replace(s, stop=min(s.stop, end)) for s in (*plan.segments, hold)]
        if self.cooldown_start is None:
            return segments
        begin, length, top = end, run.total_steps - end, plan.factor(end)
        low = min(self.cooldown_floor, top)
        cooldown = Segment(
            "cooldown",
            begin,
            run.total_steps,
            lambda t: low + (top - low) * max(0.0, 1 - (t - begin) / length),
            reason=f"resumed with a cooldown from {top:.4g} of the base lr to {low:.4g}",
        )
        return [*segments, cooldown]
