"""What `lrbench.start` gives: the schedule and the records of a run in anybody's training loop."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from lrbench.config import duration
from lrbench.files import run_folder
from lrbench.files.result import COMPLETED, DIVERGED, FORMAT
from lrbench.run.process import claim, environment, rank
from lrbench.run.records import Records
from lrbench.task.measure import Measure

if TYPE_CHECKING:
    import torch

    from lrbench.scheduler import Plan, Scheduler, TorchScheduler

PROBE = "LRBENCH_PROBE"  # seconds of training after which a program that is only timed ends
PACE = "pace.txt"  # of such a program, in the run's folder: seconds an update


class Diverged(ArithmeticError):
    """A loss is no longer finite; the run's result says so."""


class Probed(SystemExit):
    """The program was started to be timed, and has been."""


class StartedRun:
    """One run of anybody's loop; `lrbench.start` makes it.

    Attributes:
        folder: the run folder.
        strategy, seed, config: as `start` was told, or lrbench said.
        measures: what is measured, the primary one first.
        start_step: updates taken before this process; see `resume_from`.
    """

    def __init__(
        self,
        *,
        folder: Path,
        strategy: str,
        schedule: Scheduler | None,
        seed: int,
        lr: float | None,
        total_steps: int | None,
        config: Mapping[str, Any],
        measures: tuple[Measure, ...],
        paired: bool | None,
        overwrite: bool,
        length: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.folder, self.strategy, self.seed = folder, strategy, seed
        self.config, self._lr, self._total_steps = config, lr, total_steps
        self.measures, self.start_step = measures, 0
        self._schedule, self._paired = schedule, paired
        self._length, self._fingerprint = length, fingerprint
        self._steps_per_epoch: int | None = None
        self._plan: Plan | None = None
        self._torch: TorchScheduler | None = None
        self._lock = threading.RLock()
        self._first: tuple[int, float] | None = None  # step and time of the first record
        self._writes = rank() == 0
        self._handle = claim(folder, overwrite) if self._writes else None
        self._records = Records(folder if self._writes else None, measures)

    @property
    def lr(self) -> float:
        """The peak lr, which the schedule multiplies.

        Raises:
            ValueError: nobody has said it.
        """
        if self._lr is None:
            raise ValueError("the run's peak lr is unknown: give lrbench.start(..., lr=...)")
        return self._lr

    @property
    def total_steps(self) -> int:
        """The run's length in optimizer updates.

        Raises:
            ValueError: nobody has said it.
        """
        if self._total_steps is None:
            raise ValueError(
                "the run's length in updates is unknown: give total_steps=..., or "
                "steps_per_epoch=... where lrbench gave a length in epochs"
            )
        return self._total_steps

    def check_lr(self, lrs: Sequence[float]) -> None:
        """Refuse an optimizer none of whose groups' `lrs` is the run's peak lr, where it is known.

        Raises:
            ValueError: none is.
        """
        peak = self._lr
        if peak is not None and not any(math.isclose(lr, peak, rel_tol=1e-6) for lr in lrs):
            raise ValueError(
                f"the optimizer's lr is {lrs[0]:g} and the run's peak lr is {peak:g}: make the "
                "optimizer with run.lr"
            )

    def scheduler(
        self,
        optimizer: torch.optim.Optimizer,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
        *,
        evaluate_every: int | None = None,
    ) -> TorchScheduler:
        """The run's schedule as a torch ``LRScheduler``: call its ``step()`` after every update.

        The optimizer's lrs are the base lrs; where the run's peak lr is known, one group has it.

        Args:
            total_steps: the run's length in updates, where `start` was not told.
            steps_per_epoch: updates in an epoch, for durations in epochs; the whole run if None.
            evaluate_every: updates from one evaluation to the next, after which a schedule that
                reads losses must have been told of one; an epoch if None.

        Raises:
            ValueError: the schedule does not fit the run, or the optimizer has another lr.
        """
        from lrbench.scheduler import as_torch

        self._lay_out(total_steps, steps_per_epoch)
        if self.start_step:  # an optimizer's saved state has the lr of then
            for group in optimizer.param_groups:
                group["lr"] = group.get("initial_lr", group["lr"])
        self.check_lr([float(group["lr"]) for group in optimizer.param_groups])
        steps, per_epoch = self.total_steps, cast("int", self._steps_per_epoch)
        made = as_torch(optimizer, self._required_schedule(), steps, per_epoch, evaluate_every)
        if self.start_step:
            losses, heard_at = self._records.val_losses
            now = {"step": self.start_step, "val_losses": losses, "val_steps": heard_at}
            made.load_state_dict({**made.state_dict(), **now})
        self._torch = made
        return made

    def factor(
        self, step: int, total_steps: int | None = None, steps_per_epoch: int | None = None
    ) -> float:
        """The multiplier of the peak lr for the update after `step` updates; needs no torch.

        Args:
            total_steps, steps_per_epoch: as for `scheduler`; the first call must know them.

        Raises:
            ValueError: the schedule does not fit the run.
        """
        return self._laid_out(total_steps, steps_per_epoch).factor(step)

    def momentum(self, step: int) -> float | None:
        """The momentum of that update (Adam: beta1), or None to leave the optimizer's own."""
        return self._laid_out().momentum(step)

    def log(self, step: int, *, lr: float | None = None, **values: float) -> None:
        """Record training `values` (``train_loss=...``) as they are after `step` updates.

        Args:
            lr: the lr that update number `step` used; None: what the schedule set.

        Raises:
            Diverged: ``train_loss`` is not finite; the result is written, with that status.
            ValueError: a step goes back, a name is no measure, or the scheduler's ``step()`` is not
                called once per update.
        """
        with self._lock:
            self._note(step, values, "train", lr)

    def evaluate(self, step: int, **values: float) -> None:
        """Record the validation (``val_loss=...``) after `step` updates; a plateau hears of it.

        Raises:
            Diverged, ValueError: as `log` does.
        """
        with self._lock:
            if self._reads_losses and "val_loss" not in values:
                raise ValueError(
                    f"strategy={self.strategy} reads validation losses: give "
                    "run.evaluate(step, val_loss=...)"
                )
            self._note(step, values, "val", None)
            numbers = {name: float(value) for name, value in values.items()}
            self._records.validations.append((step, numbers))
            if "val_loss" in numbers and self._torch is not None:
                self._torch.step(metrics=numbers["val_loss"])
            if self._plan is not None and self._reads_losses:
                self._lay_out()

    def resume_from(self, step: int) -> None:
        """Say that the loop goes on after `step` updates; what was recorded beyond is dropped.

        Call it before `scheduler`, which then goes on there, too, and before anything is logged.

        Raises:
            ValueError: the folder's history does not reach so far, or something was logged.
        """
        if self._records.begun or self._torch is not None:
            raise ValueError("run.resume_from must come before run.scheduler and run.log")
        self._records.resume(step)
        self.start_step = step
        self._plan = None  # it is laid out anew, knowing the validations so far

    def finish(self, **values: float) -> dict[str, Any]:
        """Write the run's result, with the test's `values` (``test_loss=...``) if there are any.

        Called again, it adds to them.

        Returns:
            the content of result.json.

        Raises:
            ValueError: nothing was measured, a name is no measure, or the schedule was to be told
                of validation losses and never was.
        """
        with self._lock:
            records = self._records
            records.check_names(values, "test")
            records.test |= {name: float(value) for name, value in values.items()}
            if self._reads_losses and not self.evaluated:
                raise ValueError(
                    f"strategy={self.strategy} reads validation losses and was told of none, so "
                    "the lr never changed: call run.evaluate(step, val_loss=...)"
                )
            if not self.evaluated and not records.test:
                raise ValueError(
                    "the run has no measure: call run.evaluate(step, val_loss=...) or "
                    "run.finish(test_loss=...)"
                )
            bad = any(not math.isfinite(value) for value in records.test.values())
            return self._conclude(DIVERGED if bad else COMPLETED)

    def __enter__(self) -> StartedRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._records.close(error)
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    @property
    def evaluated(self) -> bool:
        """Whether a validation was recorded."""
        return bool(self._records.validations)

    @property
    def _reads_losses(self) -> bool:
        return self._schedule is not None and self._schedule.reads_losses

    def _required_schedule(self) -> Scheduler:
        if self._schedule is None:
            raise ValueError(
                f"strategy={self.strategy} names no schedule of lrbench: give "
                "lrbench.start(..., scheduler=lrbench.load('scheduler', 'cosine'))"
            )
        return self._schedule

    def _laid_out(self, total_steps: int | None = None, steps_per_epoch: int | None = None) -> Plan:
        if self._plan is None or total_steps is not None:
            self._lay_out(total_steps, steps_per_epoch)
        return cast("Plan", self._plan)

    def _lay_out(self, total_steps: int | None = None, steps_per_epoch: int | None = None) -> None:
        schedule = self._required_schedule()
        known = self._total_steps
        if known is None and self._length is not None and steps_per_epoch is not None:
            known = duration.whole_steps(
                self._length, total_steps=1, steps_per_epoch=steps_per_epoch
            )
        if total_steps is not None and known not in (None, total_steps):
            raise ValueError(
                f"total_steps={total_steps}, and the run was begun with {known}: leave it out and "
                "let the loop take run.total_steps updates"
            )
        self._total_steps = known or total_steps
        self._records.steps_per_epoch = steps_per_epoch or self._records.steps_per_epoch
        self._steps_per_epoch = self._records.steps_per_epoch or self.total_steps
        heard = self._records.val_losses
        try:
            self._plan = schedule.plan(self.total_steps, self._steps_per_epoch, *heard)
        except ValueError as error:
            raise ValueError(f"scheduler.{error}") from error

    def _note(self, step: int, values: Mapping[str, float], split: str, lr: float | None) -> None:
        records = self._records
        records.note(step, values, split)
        used = self._used_lr(step) if lr is None else lr
        if used is not None and (lr is not None or "lr" not in records.row):
            records.row["lr"] = used
        name = f"{split}_loss"
        if name in values and not math.isfinite(values[name]):
            self._conclude(DIVERGED)
            at = "" if used is None else f", lr {used:.4g}"
            raise Diverged(
                f"{name} is {values[name]} at update {step}{at}; recorded in {self.folder}"
            )

        if PROBE in os.environ:
            self._time(step, float(os.environ[PROBE]))

    def _time(self, step: int, seconds: float) -> None:
        """End the program once it has trained for `seconds`, or to its end."""
        now = time.perf_counter()
        first, began = self._first or (step, now)
        self._first = first, began
        if step > first and (now - began > seconds or step == self._total_steps):
            (self.folder / PACE).write_text(str((now - began) / (step - first)))
            raise Probed(0)

    def _used_lr(self, step: int) -> float | None:
        """The lr that update number `step` used, as far as known."""
        if self._torch is not None:
            counted = self._torch.last_epoch
            if counted == step:
                return self._torch.used_lrs[0]
            if counted == step - 1:  # not yet counted
                return float(self._torch.optimizer.param_groups[0]["lr"])
            raise ValueError(
                f"the schedule has counted {counted} updates at step {step}: call scheduler.step() "
                "once after every optimizer update, and count steps in updates"
            )
        if self._plan is not None and self._lr is not None:
            return self._lr * self._plan.factor(step - 1)
        return None

    def _conclude(self, status: str) -> dict[str, Any]:
        """Write result.json, if this process is the one that writes; its content."""
        if self._writes and self.config and self._fingerprint is None:
            self._fingerprint = self._record_config()
        result = {
            "format": FORMAT,
            "status": status,
            "strategy": self.strategy,
            "seed": self.seed,
            **self._records.outcome(completed=status == COMPLETED),
            "paired": self._paired,
            "environment": environment(),
            "fingerprint": self._fingerprint,
        }
        self._records.conclude(result)
        return result

    def _record_config(self) -> str:
        """Write what tells this run from others, where lrbench has not composed its config."""
        known: dict[str, Any] = {"seed": self.seed, "loop": {"config": dict(self.config)}}
        if self._lr is not None:
            known["optimizer"] = {"lr": self._lr}
        (self.folder / run_folder.HIDDEN).mkdir(exist_ok=True)
        run_folder.write_yaml(self.folder / run_folder.CONFIG, known)
        return run_folder.fingerprint(known)
