"""Any schedule as a torch LRScheduler, for those who bring their own training loop."""

from __future__ import annotations

from numbers import Integral
from typing import Any, SupportsFloat

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrbench.config.checks import require
from lrbench.scheduler.base import Scheduler


class TorchScheduler(LRScheduler):
    """A schedule as a ``torch.optim.lr_scheduler.LRScheduler``; `as_torch` is its other name.

    The lrs that the optimizer has now are the base lrs. Call ``step()`` once after every update,
    and after each evaluation ``step(val_loss)``, or ``step(metrics=val_loss)``, which hands a
    plateau its loss and does not move the clock. A schedule that reads losses and has heard of
    none when `evaluate_every` updates are taken raises at the next ``step()``.

    ``used_lrs`` are the lrs that the groups had in the update last counted, whoever set them.

    Its state is the number of updates and the losses so far; the schedule itself is not part of
    it, and a state of another schedule or run length is refused.

    Args:
        optimizer: any torch optimizer; its momentum (or first beta) is set where the schedule
            has one.
        scheduler: any schedule.
        total_steps: the length of the run, in updates.
        steps_per_epoch: updates in an epoch, for the durations that are in epochs.
        evaluate_every: updates from one evaluation to the next; an epoch if None.

    Raises:
        ValueError: the schedule does not fit the run.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        scheduler: Scheduler,
        total_steps: int,
        steps_per_epoch: int,
        evaluate_every: int | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.total_steps = total_steps
        self.steps_per_epoch = steps_per_epoch
        self.evaluate_every = steps_per_epoch if evaluate_every is None else evaluate_every
        require(self.evaluate_every >= 1, "evaluate_every", evaluate_every, "must be at least 1")
        self.val_losses: tuple[float, ...] = ()
        self.val_steps: tuple[int, ...] = ()
        self.base_momenta = [_momentum(group) for group in optimizer.param_groups]
        self.used_lrs: list[float] = []
        self._moved_momentum = False
        self._lay_out()
        for group in optimizer.param_groups:  # torch would keep those of an earlier scheduler
            group.pop("initial_lr", None)
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """The lr of each parameter group for the next update."""
        factor = self._plan.factor(self.last_epoch)  # torch's name for the number of steps
        return [float(base_lr) * factor for base_lr in self.base_lrs]

    def step(  # type: ignore[override]
        self, loss: SupportsFloat | None = None, /, *, metrics: SupportsFloat | None = None
    ) -> None:
        """Count an update; or, given the loss of an evaluation, tell the schedule of it.

        Raises:
            ValueError: the only value is a whole number, which may be meant as an epoch; or the
                schedule reads losses and is not told of them, or not of the updates.
        """
        if loss is not None and _is_whole(loss):
            raise ValueError(
                f"step({loss}) may mean an epoch or a loss: call step() after every update, and "
                f"step(metrics={loss}) with the loss of an evaluation"
            )
        if loss is not None and metrics is not None:
            raise ValueError(f"step({loss}, metrics={metrics}) has two losses: give one of them")
        metrics = loss if metrics is None else metrics
        if metrics is not None:
            self._hear(float(metrics))
            return
        if self.scheduler.reads_losses and not self.val_losses:
            self._require_a_loss()
        self.used_lrs = [float(group["lr"]) for group in self.optimizer.param_groups]
        super().step()
        self._set_momentum()

    def _hear(self, loss: float) -> None:
        """Lay the schedule out anew, knowing the loss of an evaluation made now."""
        if self.last_epoch == 0 and self.val_steps:
            raise ValueError(
                f"the schedule was told of {len(self.val_steps) + 1} evaluations and of no update: "
                "call step() after every update, too (Lightning: interval='step' and no "
                "reduce_on_plateau)"
            )
        self.val_losses = (*self.val_losses, loss)
        self.val_steps = (*self.val_steps, self.last_epoch)
        self._lay_out()
        self._set_lr()

    def _require_a_loss(self) -> None:
        """Raise if an evaluation is overdue that a plateau had to be told of."""
        if self.last_epoch >= self.evaluate_every:
            raise ValueError(
                f"the schedule reads validation losses and was told of none in the first "
                f"{self.last_epoch} updates: call step(metrics=val_loss) after each evaluation, "
                "or give as_torch(..., evaluate_every=UPDATES) if they are further apart"
            )

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and texts: what `load_state_dict` needs to go on."""
        return {
            "schedule": self._schedule(),
            "step": self.last_epoch,
            "base_lrs": [float(base_lr) for base_lr in self.base_lrs],
            "base_momenta": self.base_momenta,
            "val_losses": list(self.val_losses),
            "val_steps": list(self.val_steps),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the state, and set the optimizer's lr to what it says.

        Raises:
            ValueError: the state is of another schedule, run length or number of groups.
        """
        if state_dict["schedule"] != self._schedule():
            raise ValueError(
                f"the state is of {state_dict['schedule']}, this schedule is {self._schedule()}"
            )
        groups = len(self.optimizer.param_groups)
        if len(state_dict["base_lrs"]) != groups:
            raise ValueError(
                f"the state is of {len(state_dict['base_lrs'])} parameter groups, "
                f"the optimizer has {groups}"
            )
        self.last_epoch = state_dict["step"]
        self.base_lrs = list(state_dict["base_lrs"])
        self.base_momenta = list(state_dict["base_momenta"])
        self.val_losses = tuple(state_dict["val_losses"])
        self.val_steps = tuple(state_dict["val_steps"])
        self._lay_out()
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["initial_lr"] = base_lr
        self._set_lr()
        self._set_momentum()

    def _lay_out(self) -> None:
        run = (self.total_steps, self.steps_per_epoch, self.val_losses, self.val_steps)
        self._plan = self.scheduler.plan(*run)

    def _schedule(self) -> str:
        return f"{self.scheduler} over {self.total_steps} steps, {self.steps_per_epoch} per epoch"

    def _set_lr(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _set_momentum(self) -> None:
        momentum = self._plan.momentum(self.last_epoch)
        if momentum is None and not self._moved_momentum:
            return
        self._moved_momentum = momentum is not None
        for group, base in zip(self.optimizer.param_groups, self.base_momenta, strict=True):
            value = base if momentum is None else momentum
            if "momentum" in group:
                group["momentum"] = value
            elif "betas" in group:
                group["betas"] = (value, *group["betas"][1:])


def _is_whole(value: SupportsFloat) -> bool:
    if isinstance(value, Tensor):
        return not value.is_floating_point()
    return isinstance(value, Integral)


def _momentum(group: dict[str, Any]) -> float | None:
    """The group's momentum or first beta, None where its optimizer has neither."""
    if "momentum" in group:
        return float(group["momentum"])
    return float(group["betas"][0]) if "betas" in group else None


as_torch = TorchScheduler
