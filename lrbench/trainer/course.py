"""What a run's schedule and length decide of it, and how many updates two runs have in common.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrbench.scheduler import Plan, Scheduler
from lrbench.scheduler.difference import first_difference
from lrbench.trainer import Trainer

HOPELESS = 1.0  # constant validation loss: never improves, so a plateau cuts as early as it can


def evaluation_due(step: int, eval_every: int, total_steps: int) -> bool:
    """Whether a run of `total_steps` updates is evaluated after `step` of them."""
    return step % eval_every == 0 or step == total_steps


@dataclass(frozen=True, kw_only=True)
class Course:
    """What differs between two runs that differ only in their schedule or their length.

    Attributes:
        schedules: the run's, then those that parameter groups have of their own, in their order.
        total_steps: its length in updates.
        eval_every: updates between two evaluations.
    """

    schedules: tuple[Scheduler, ...]
    total_steps: int
    steps_per_epoch: int
    eval_every: int

    @classmethod
    def of(
        cls,
        scheduler: Scheduler,
        own: Mapping[str, Scheduler],
        settings: Trainer,
        steps_per_epoch: int,
        unit: str = "",
        units_per_example: int | None = None,
    ) -> Course:
        """The course of a run with these parts.

        Args:
            own: the schedules of parameter groups, by name.
            unit, units_per_example: the task's.

        Raises:
            ValueError: the length is a time, or the settings or a schedule do not fit it.
        """
        total_steps = settings.total_steps(steps_per_epoch, unit, units_per_example)
        course = cls(
            schedules=(scheduler, *own.values()),
            total_steps=total_steps,
            steps_per_epoch=steps_per_epoch,
            eval_every=settings.intervals(total_steps, steps_per_epoch)[0],
        )
        course.plans()
        return course

    @property
    def reads_losses(self) -> bool:
        """Whether the schedule of a later update may depend on validation losses."""
        return any(schedule.reads_losses for schedule in self.schedules)

    def plans(self, losses: Sequence[float] = (), steps: Sequence[int] = ()) -> list[Plan]:
        """The schedules, laid out on a run with these validation losses, measured after `steps`."""
        run = (self.total_steps, self.steps_per_epoch, losses, steps)
        return [schedule.plan(*run) for schedule in self.schedules]

    def evaluates(self, step: int) -> bool:
        """Whether the run is evaluated after `step` updates."""
        return evaluation_due(step, self.eval_every, self.total_steps)


def shared_updates(
    one: Course,
    other: Course,
    losses: Sequence[float] = (),
    steps: Sequence[int] = (),
    *,
    start: int = 0,
    stop: int | None = None,
) -> int:
    """How many updates, counted from the first, two runs have in common.

    They are one run as long as the lr and the momentum of every parameter group are the same, and
    the same updates are followed by an evaluation.

    Args:
        losses, steps: the validation losses that both have had, and the updates taken then; of a
            schedule that reads them, what later ones may bring about is not counted.
        start: so many are known to be common.
        stop: look no further; None: to the end of the shorter run.
    """
    last = min(one.total_steps, other.total_steps)
    last = last if stop is None else min(stop, last)
    for mine, theirs in zip(one.plans(losses, steps), other.plans(losses, steps), strict=True):
        last = first_difference(mine, theirs, start, last)
    for step in range(start + 1, last + 1):
        if one.evaluates(step) != other.evaluates(step):
            return step - 1
    return last


def surely_shared(one: Course, other: Course) -> int:
    """How many updates two runs have in common at the least, whatever losses they will have."""
    if not (one.reads_losses or other.reads_losses):
        return shared_updates(one, other)
    steps = range(one.eval_every, one.total_steps, one.eval_every)
    return shared_updates(one, other, [HOPELESS] * len(steps), steps)
