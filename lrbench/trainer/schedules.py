"""The schedules of a run, laid out: that of the run, and those that parameter groups have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from lrbench.optimizer import set_lr, set_momentum
from lrbench.scheduler import Plan, Scheduler
from lrbench.trainer.journal import Settings, settings_of


class Schedules:
    """Sets the lr and the momentum of every parameter group for each update.

    Args:
        optimizer: whose groups are set.
        scheduler: of all groups that have none of their own.
        own: the schedules of single groups, by name.

    Attributes:
        plan: `scheduler` laid out on the run.
    """

    plan: Plan

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        scheduler: Scheduler,
        own: Mapping[str, Scheduler],
    ) -> None:
        self._optimizer, self._scheduler, self._own = optimizer, scheduler, own
        self._plans: dict[str | None, Plan] = {}  # of `own`

    @property
    def reads_losses(self) -> bool:
        """Whether a schedule depends on the validation losses."""
        return any(s.reads_losses for s in (self._scheduler, *self._own.values()))

    def lay_out(
        self,
        total_steps: int,
        steps_per_epoch: int,
        val_losses: Sequence[float],
        val_steps: Sequence[int],
    ) -> None:
        """Lay the schedules out on a run that has had these validation losses.

        Raises:
            ValueError: one does not fit the run; the message names its place in the config.
        """
        run = (total_steps, steps_per_epoch, val_losses, val_steps)
        place = "scheduler"
        try:
            self.plan = self._scheduler.plan(*run)
            for name, scheduler in self._own.items():
                place = f"optimizer.groups.{name}.scheduler"
                self._plans[name] = scheduler.plan(*run)
        except ValueError as error:
            raise ValueError(f"{place}.{error}") from error

    def set(self, step: int) -> None:
        """Set what the update after `step` updates uses."""
        own = {name: plan.factor(step) for name, plan in self._plans.items()}
        set_lr(self._optimizer, self.plan.factor(step), own)
        self.set_momentum(step)

    def settings(self, step: int) -> Settings:
        """What `set` sets for that update, of every schedule."""
        return settings_of([self.plan, *self._plans.values()], step)

    def set_momentum(self, step: int) -> None:
        """Set the momentum of that update alone.

        Raises:
            ValueError: the optimizer has none to set.
        """
        own = {name: plan.momentum(step) for name, plan in self._plans.items()}
        set_momentum(self._optimizer, self.plan.momentum(step), own)

    def changes(self, after: int, up_to: int) -> Iterator[tuple[int, str]]:
        """What the schedules did after update `after` up to `up_to`: the update, and why."""
        for group, plan in {None: self.plan, **self._plans}.items():
            for change in plan.changes(up_to):
                if after < change.step <= up_to:
                    yield change.step, f"{group}: {change.reason}" if group else change.reason
