"""The training loop: one optimizer update after another, each under the lr of its schedule."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from lrbench.dataset import Data, EvalSplit
from lrbench.optimizer import current
from lrbench.optimizer.groups import named_groups, own_lrs
from lrbench.optimizer.schedule_free import evaluation_mode, is_schedule_free, start_training
from lrbench.record.recorder import Recorder
from lrbench.scheduler import Plan, Scheduler
from lrbench.task import Task
from lrbench.trainer import MAX_STEPS, Trainer, distributed, handover, hardware, native
from lrbench.trainer.course import Course, evaluation_due
from lrbench.trainer.evaluate import Evaluation, fetched, means
from lrbench.trainer.evaluator import Evaluator
from lrbench.trainer.forks import Forks
from lrbench.trainer.journal import Journal
from lrbench.trainer.schedules import Schedules
from lrbench.trainer.state import State
from lrbench.trainer.update import GradientOverflow, Measured, Updater
from lrbench.trainer.weights import AVERAGE, OtherWeights, Weights

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # how often a GPU is waited for to see whether the loss is still finite
UNTIMED_EPOCHS = 1000  # of a run by the clock, until its first update tells how long one takes
CLOCK_LOOKS = 1000  # how often such a run is measured out anew, at least


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved."""


class Diverged(Exception):
    """The loss is no longer finite.

    Attributes:
        step: updates taken, the offending one included.
        lr: the lr of that update.
    """

    def __init__(self, step: int, lr: float, what: str) -> None:
        super().__init__(f"{what} at update {step}, lr {lr:.4g}")
        self.step = step
        self.lr = lr


class Loop:
    """One run's training: build it, `restore` it if there is a checkpoint, then `run` it.

    Args:
        model: takes the data's inputs, gives the task's outputs.
        settings: length, batches, intervals, precision.
        seed: fixes batch order, augmentation and any randomness inside the model.
        schedules: those that parameter groups have in place of `scheduler`, by name.

    Attributes:
        forks: the runs that go on from this one's states; None: there are none.
        lap_began, last_save: when time was last added to the run's, and when it was last saved.

    Raises:
        ValueError: the settings, the schedule, the optimizer or the data do not fit each other.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        data: Data,
        scheduler: Scheduler,
        optimizer: torch.optim.Optimizer,
        settings: Trainer,
        *,
        seed: int,
        device: torch.device,
        schedules: Mapping[str, Scheduler] = MappingProxyType({}),
    ) -> None:
        self.model = model
        self.task = task
        averaged = (replace(m, name=f"{AVERAGE}{m.name}") for m in task.measures)
        self.measures = (*task.measures, *(averaged if settings.ema_decay is not None else ()))
        self.data = data
        self.scheduler, self.schedules = scheduler, schedules
        self.optimizer = optimizer
        self.laid_out = Schedules(optimizer, scheduler, schedules)
        self.lr_names = own_lrs(optimizer)  # of the groups whose lrs are recorded
        self.settings = settings
        self.seed = seed
        self.device = device
        self.state = State()
        self._set_length()
        self.lay_out()
        self.laid_out.set_momentum(0)
        self.dtype = hardware.choose_precision(settings.precision, device, self._bf16_is_faster)
        self.compiled = hardware.choose_compile(settings.compile, device, self.total_steps)
        network = distributed.data_parallel(model)
        if self.compiled:
            # Else what a sweep's earlier runs compiled counts against this one: after three or four
            # networks it is eager, and for another batch size its shapes are variables.
            torch.compiler.reset()
        self.forward: Any = torch.compile(network) if self.compiled else network
        self._waiting: list[Measured] = []  # still on the device
        self.forks: Forks | None = None
        settings.check_weights(schedule_free=is_schedule_free(optimizer))
        self.others = OtherWeights(model, settings.ema_decay)
        self.updater = Updater(
            model,
            self.forward,
            task,
            optimizer,
            settings,
            seed=seed,
            autocast=self.autocast,
            scaler=torch.amp.GradScaler(device.type) if self.dtype == torch.float16 else None,
            device=device,
        )
        self.evaluator = Evaluator(
            model,
            self.forward,
            task,
            data,
            optimizer,
            settings,
            self.others,
            seed=seed,
            share=self.share,
            autocast=self.autocast,
            batch_size=settings.eval_batch_size if self.compiled else None,
        )

    def _set_length(self) -> None:
        """Find out how many updates the run has, and which of them are followed by a record."""
        settings, task = self.settings, self.task
        try:
            self.steps_per_epoch = self.data.train.steps_per_epoch(settings.batch_size)
            self.share = distributed.positions(
                settings.batch_size, settings.gradient_accumulation_steps
            )
        except ValueError as error:
            raise ValueError(f"trainer.{error}") from error
        self.seconds = settings.seconds  # of a run whose length is a time; else None
        if self.seconds is None:
            self.total_steps = settings.total_steps(
                self.steps_per_epoch, task.unit, task.units_per_example
            )
        elif distributed.num_processes() > 1:
            raise ValueError(
                f"trainer.length={settings.length} is for one process, and several have clocks "
                "that differ: write epochs or steps"
            )
        else:
            self.total_steps = UNTIMED_EPOCHS * self.steps_per_epoch
        self.eval_every, self.log_every = settings.intervals(self.total_steps, self.steps_per_epoch)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass in the run's precision."""
        return hardware.autocast(self.device, self.dtype)

    def _bf16_is_faster(self) -> bool:
        """Whether the network trains faster in bf16 than in fp32 on this CPU, as it was measured.

        Several processes all take bf16 where one of them finds it faster.
        """
        batch = self.data.train.batch(
            0, seed=self.seed, batch_size=self.settings.batch_size, share=self.share
        )
        return bool(distributed.largest(native.bf16_is_faster(self.model, self.task.loss, batch)))

    @property
    def plan(self) -> Plan:
        """The run's schedule, as it is laid out now."""
        return self.laid_out.plan

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue, bit for bit, the run that passed `checkpoint` to `save`.

        Raises:
            ValueError: it is of another model or optimizer.
        """
        self.state = State(**checkpoint["state"])
        self.lap_began = time.perf_counter()
        self._next_look = -math.inf
        self._follow_clock()
        if not 0 <= self.state.step <= self.total_steps:
            raise ValueError(f"{self.state.step} updates were taken, of {self.total_steps}")
        handover.load(self, checkpoint)
        self.lay_out()

    def begin_forks(self, forks: Forks, checkpoint: Mapping[str, Any] | None) -> bool:
        """Leave other runs the states that they go on from, as `forks` says.

        Args:
            checkpoint: the one that the run goes on from; None: it begins, or goes on from a fork.

        Returns:
            whether it can: what was measured before `checkpoint` must be in there.
        """
        kept = None if checkpoint is None else checkpoint.get("journal")
        if checkpoint is not None and kept is None:
            return False
        forks.journal = Journal() if kept is None else Journal.of(kept)
        self.forks = forks
        return True

    def lay_out(self) -> None:
        """Lay the schedules out on this run, given the validation losses so far."""
        losses = self.state.validations.get("loss", [])
        self.laid_out.lay_out(self.total_steps, self.steps_per_epoch, losses, self.state.val_steps)

    def _follow_clock(self) -> None:
        """Where the length is a time, let the updates be as many as fit at the pace so far.

        The update is then as far in the run as its training time is in that length, so that the
        schedule follows the clock. A schedule that does not fit so few updates stays as it was.
        """
        step, now = self.state.step, time.perf_counter()
        due = step == self.total_steps or now >= self._next_look
        if self.seconds is None or not step or not due:
            return
        self._next_look = now + self.seconds / CLOCK_LOOKS
        trained = self.state.train_seconds + now - self.lap_began
        self.total_steps = max(step, math.ceil(step * self.seconds / trained))
        self.log_every = self.settings.intervals(self.total_steps, self.steps_per_epoch)[1]
        try:
            self.lay_out()
        except ValueError as error:
            if step == self.total_steps:
                log.warning("the schedule was not finished when the time was up: %s", error)

    def run(
        self,
        *,
        recorder: Recorder,
        save: Callable[[dict[str, Any]], None],
        stop: Callable[[], bool],
        fork: dict[str, Any] | None = None,
    ) -> Evaluation:
        """Train to the last update, then read the test split once.

        Args:
            fork: the state to begin with, which another run has left; None: the loop's own.
            save: takes what a checkpoint must hold; called at most once an interval, before
                stopping and at the end.
            stop: polled between updates and between evaluation batches.

        Raises:
            Diverged: a loss is no longer finite.
            Interrupted: `stop` said so; a checkpoint is saved.
        """
        state = self.state
        self.recorder, self.save, self.stop = recorder, save, stop
        if fork is not None:
            handover.take_over(self, fork)
        self.evaluator.begin_training()
        if state.step < self.total_steps:
            start_training(self.optimizer)
        self.lap_began = self.last_save = self._last_watch = time.perf_counter()
        self._next_look = -math.inf
        self._watch_due = distributed.agreed(
            lambda: time.perf_counter() - self._last_watch > WATCH_SECONDS
        )
        batches = self.data.train.batches(
            seed=self.seed,
            batch_size=self.settings.batch_size,
            start_step=state.step,
            stop_step=self.total_steps if self.seconds is None else MAX_STEPS,
            share=self.share,
        )
        while True:
            self._follow_clock()
            if self.record_due():
                self.record()
            ended = state.step == self.total_steps or self.stopped_early
            if self.forks is not None:
                self._leave(self.forks, ended=ended)
            if ended:
                break
            if self.stop():
                self._interrupt()
            self._update(*next(batches))
            self.recorder.advance(state.step, self.total_steps)
        with evaluation_mode(self.optimizer):  # what is kept of a finished run is what was tested
            self._save()
        test = self._evaluate(self.data.test, self.others.best)
        if not math.isfinite(test["loss"]):
            raise Diverged(state.step, self._lr(), f"test loss is {test['loss']}")
        self.recorder.record_test(state.step, test)
        return test

    def _update(self, inputs: Tensor, targets: Tensor) -> None:
        """Take one optimizer update at the lr and momentum that the schedule gives for it."""
        self.laid_out.set(self.state.step)
        if self.forks is not None:
            self.forks.journal.settings.append(self.laid_out.settings(self.state.step))
        try:
            measured = self.updater(self.state.step, inputs, targets)
        except GradientOverflow as error:
            self._diverge(self.state.step + 1, str(error))
        self.state.step += 1
        self.others.update()
        self._waiting.append(measured)
        # On a CPU looking costs nothing; a GPU is waited for once in a while.
        if self.device.type == "cpu" or self._watch_due():
            self.collect()

    def collect(self) -> None:
        """Fetch the losses that are still on the device, and check that they are finite."""
        self._last_watch = time.perf_counter()
        if not self._waiting:
            return
        first = self.state.step - len(self._waiting) + 1
        number = distributed.num_processes()
        rows = fetched([m.sums for m in self._waiting], distributed.summed, number)
        norms = [m.grad_norm for m in self._waiting if m.grad_norm is not None]  # all or none
        grad_norms = torch.stack(norms).tolist() if norms else [None] * len(rows)
        self._waiting.clear()
        for step, (row, grad_norm) in enumerate(zip(rows, grad_norms, strict=True), first):
            loss = row["loss"][0] / row["loss"][1]
            if grad_norm is not None:
                self.state.note_grad_norm(step, grad_norm)
            if not math.isfinite(loss):
                self._diverge(step, f"training loss is {loss}", loss)
        self.state.pending += rows
        if self.forks is not None:
            seconds = self.state.seconds + self._last_watch - self.lap_began
            self.forks.journal.add(rows, grad_norms, seconds)

    def record_due(self) -> bool:
        """Whether the latest updates are to be recorded now."""
        step = self.state.step
        if step == self.state.recorded_step:
            return False
        if self.seconds is None:
            return step % self.log_every == 0 or self._evaluation_due()
        return step - self.state.recorded_step >= self.log_every or self._evaluation_due()

    def _evaluation_due(self) -> bool:
        return evaluation_due(self.state.step, self.eval_every, self.total_steps)

    def record(self, known: Evaluation | None = None) -> None:
        """Record the updates since the last record, with an evaluation where one is due.

        Args:
            known: what that evaluation found, where another run has made it.
        """
        state = self.state
        self.collect()
        self.lap(training=True)
        validation = known
        if known is None and self._evaluation_due():
            validation = self._evaluate(self.data.val)
        self.lap(training=False)
        lr, momentum = current(self.optimizer)
        groups = named_groups(self.optimizer)
        lrs = {f"lr/{name}": groups[name][0]["lr"] for name in self.lr_names}
        lr = self._lr() if lrs else lr  # of the run's schedule, which no group may follow
        trained = self.task.finish(means(state.pending))
        values = {"lr": lr, "momentum": momentum, "train/grad_norm": state.pending_grad_norm}
        values |= lrs | {f"train/{m.name}": trained.get(m.name) for m in self.measures}
        if validation is not None:
            values |= {f"val/{name}": value for name, value in validation.items()}
        self.recorder.record(state.step, state.step / self.steps_per_epoch, state.seconds, values)
        reported = state.recorded_step
        state.mark_recorded()
        if validation is not None:
            if not math.isfinite(validation["loss"]):
                raise Diverged(state.step, lr, f"validation loss is {validation['loss']}")
            state.val_steps.append(state.step)
            if self.forks is not None:
                self.forks.journal.validations[state.step] = validation
            for name, value in validation.items():
                state.validations.setdefault(name, []).append(value)
            latest = len(state.val_steps) - 1
            if self.settings.keep_best and state.best_evaluation(self.measures) == latest:
                self.others.keep(state.step)
            if self.laid_out.reads_losses:
                self.lay_out()
        for step, reason in self.laid_out.changes(reported, state.step):
            log.info("update %d: %s", step, reason)
            self.recorder.text("schedule", step, reason)
        if time.perf_counter() - self.last_save >= self.settings.checkpoint_interval_seconds:
            self._save()

    @property
    def stopped_early(self) -> bool:
        """Whether validation has ended the run before its length."""
        state, primary = self.state, self.measures[0]
        if state.val_steps[-1:] != [state.step]:
            return False
        return self.settings.early_stopping.ends(state.validations[primary.name], primary)

    def _evaluate(
        self, split: EvalSplit, kept: tuple[int, dict[str, Weights]] | None = None
    ) -> Evaluation:
        """The measures of the model and of its weights' average, if there is one.

        Args:
            kept: what to evaluate in their place, as `OtherWeights.best`.
        """
        found = self.evaluator(split, self.stop, kept)
        if found is None:
            self.lap(training=False)
            self._interrupt()
        return found

    def _leave(self, forks: Forks, *, ended: bool) -> None:
        """Leave the present state to the runs that are another run from here on."""
        state = self.state
        losses = state.validations.get("loss", [])
        names = forks.due(state.step, losses, state.val_steps, ended=ended)
        if names:
            forks.leave(names, handover.present(self))
            self.lap(training=False)
        if state.step in forks.points:
            forks.keep(handover.present(self))
            self.lap(training=False)
        if forks.over(state.step):
            self.forks = None  # nobody needs the journal any more

    def _save(self) -> None:
        self.save(handover.present(self))
        self.last_save = time.perf_counter()
        self.lap(training=False)

    @property
    def course(self) -> Course:
        """What the schedules and the length decide of the run."""
        return Course(
            schedules=(self.scheduler, *self.schedules.values()),
            total_steps=self.total_steps,
            steps_per_epoch=self.steps_per_epoch,
            eval_every=self.eval_every,
        )

    def _interrupt(self) -> NoReturn:
        self._save()
        raise Interrupted

    def _diverge(self, step: int, what: str, loss: float = math.nan) -> NoReturn:
        lr = self._lr(step)
        seconds = self.state.seconds + time.perf_counter() - self.lap_began
        grad_norm = self.state.pending_grad_norm
        values = {"lr": lr, "train/loss": loss, "train/grad_norm": grad_norm}
        self.recorder.record(step, step / self.steps_per_epoch, seconds, values)
        raise Diverged(step, lr, what)

    @property
    def arithmetic(self) -> list[str]:
        """How the network is computed, in words: precision, memory layout, compiled or eager."""
        return [
            next(name for name, dtype in hardware.DTYPES.items() if dtype == self.dtype),
            "channels_last" if self.settings.channels_last else "channels_first",
            "compiled" if self.compiled else "eager",
        ]

    @property
    def shown(self) -> dict[str, Any]:
        """What `lrbench.record.display.Display` must know of the run."""
        return {
            "total_steps": self.total_steps,
            "start_step": self.state.step,
            "units_per_step": self.settings.batch_size * self.task.units_per_example,
            "unit": self.task.unit,
            "primary": self.measures[0],
        }

    def _lr(self, step: int | None = None) -> float:
        """The lr that update number `step` (1-based; None: the last one taken) used."""
        step = self.state.step if step is None else step
        factor = self.plan.factor(max(0, step - 1))
        return float(self.optimizer.defaults["lr"] * factor)

    def lap(self, *, training: bool) -> None:
        """Add the time since the last call to the run's and, if `training`, to the training's."""
        now = time.perf_counter()
        self.state.seconds += now - self.lap_began
        if training:
            self.state.train_seconds += now - self.lap_began
        self.lap_began = now
