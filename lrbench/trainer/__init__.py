"""How a run is trained: the settings that conf/trainer names; importing this does not import torch.

The training itself is `lrbench.trainer.loop.Loop.run`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config import duration
from lrbench.config.checks import require, require_choice
from lrbench.task import Measure

MAX_BATCH = 2**31 - 1  # far above any memory, and within what torch counts by
MAX_STEPS = 2**53  # beyond which a step counted in floating point is not exact
MAX_THREADS = 1024  # torch starts all it is told to
PRECISIONS = ("auto", "bf16_if_native", "fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """When a run ends before its length: once its validation has stopped getting better."""

    patience: int | None  # evaluations in a row that are no better; None: never
    min_delta: float  # by how much a better one must be better, in the measure itself: 0.001

    def __post_init__(self) -> None:
        fits = self.patience is None or self.patience >= 1
        require(fits, "patience", self.patience, "must be 1 evaluation or more, or null")
        fits = 0 <= self.min_delta < math.inf
        require(fits, "min_delta", self.min_delta, "must be 0 or above, and finite")

    def ends(self, values: Sequence[float], measure: Measure) -> bool:
        """Whether a run ends after evaluations that gave these `values` of `measure`."""
        best, since = measure.worst, 0
        for value in values:
            better = measure.sign * (value - best) > self.min_delta
            best, since = (value, 0) if better else (best, since + 1)
        return self.patience is not None and since >= self.patience


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Length, batches, intervals and precision of a run. Durations carry their unit."""

    length: str  # "15 epochs", "5000 steps", what its batches hold, "50000 images", or "10 min"
    batch_size: int  # examples of one optimizer update, of all processes together
    gradient_accumulation_steps: int  # equal parts in which one update's batch passes the model
    eval_batch_size: int  # of each process
    eval_interval: str
    log_interval: str
    checkpoint_interval_seconds: float
    early_stopping: EarlyStopping
    keep_best: bool  # test the weights of the best evaluation, and keep them
    ema_decay: (
        float | None
    )  # of a moving average of the weights, evaluated too; None: there is none
    max_grad_norm: float | None  # L2 norm over all parameters; None: no clipping
    record_grad_norm: bool  # before clipping
    precision: str  # one of PRECISIONS
    compile: bool | str  # True, False or "auto"
    channels_last: bool
    device: str  # auto, cpu, cuda, cuda:1, mps
    num_threads: int | None  # of torch on the CPU; None: torch's own choice
    deterministic: bool

    def __post_init__(self) -> None:
        for name in ("batch_size", "gradient_accumulation_steps", "eval_batch_size"):
            size = getattr(self, name)
            require(1 <= size <= MAX_BATCH, name, size, f"must be from 1 to {MAX_BATCH}")
        require(
            self.batch_size % self.gradient_accumulation_steps == 0,
            "gradient_accumulation_steps",
            self.gradient_accumulation_steps,
            f"must divide batch_size={self.batch_size}",
        )
        for name in ("length", "eval_interval", "log_interval"):
            text = getattr(self, name)
            try:
                amount, _ = duration.parse(text, length=name == "length")
            except ValueError as error:
                raise ValueError(f"{name}={text}: {error}") from None
            require(amount > 0, name, text, "must be above 0")
        fits = self.seconds is None or not self.eval_interval.strip().endswith("%")
        rule = f"is a share of length={self.length}, whose updates are not known: write epochs"
        require(fits, "eval_interval", self.eval_interval, rule)
        seconds = self.checkpoint_interval_seconds
        require(seconds >= 0, "checkpoint_interval_seconds", seconds, "must be 0 or above")
        decay = self.ema_decay
        fits = decay is None or 0 < decay < 1
        require(fits, "ema_decay", decay, "must be above 0 and below 1, or null")
        norm = self.max_grad_norm
        fits = norm is None or 0 < norm < math.inf
        require(fits, "max_grad_norm", norm, "must be above 0 and finite")
        require_choice("precision", self.precision, PRECISIONS)
        require(
            isinstance(self.compile, bool) or self.compile == "auto",
            "compile",
            self.compile,
            "must be true, false or auto",
        )
        threads = self.num_threads
        fits = threads is None or 1 <= threads <= MAX_THREADS
        require(fits, "num_threads", threads, f"must be from 1 to {MAX_THREADS}, or null")

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of the training, evaluations left out; None: the length is in updates."""
        amount, unit = duration.parse(self.length, length=True)
        return amount if unit == "seconds" else None

    def check_weights(self, *, schedule_free: bool) -> None:
        """Refuse weights beside those of a `schedule_free` optimizer."""
        wanted = {"ema_decay": self.ema_decay is not None, "keep_best": self.keep_best}
        rule = "is not for a schedule-free optimizer, whose evaluated weights are averages: write "
        for key, is_wanted in wanted.items():
            off = "null" if key == "ema_decay" else "false"
            fits = not (is_wanted and schedule_free)
            require(fits, f"trainer.{key}", getattr(self, key), f"{rule}trainer.{key}={off}")

    def total_steps(
        self, steps_per_epoch: int, unit: str = "", units_per_example: int | None = None
    ) -> int:
        """Optimizer updates of the whole run.

        Args:
            steps_per_epoch: updates per epoch.
            unit, units_per_example: the task's; not given where that is not known yet.
        """
        amount, kind = duration.parse(self.length, length=True)
        rule = "is a time, and how many updates it has is not known here: write epochs or steps"
        require(kind != "seconds", "trainer.length", self.length, rule)
        if kind in duration.COUNTED:
            per_example = units_per_example or (1 if kind != "tokens" else 0)
            known = kind == (unit or kind) and per_example > 0
            rule = f"is in {kind}: here write {unit or 'epochs'} or steps"
            require(known, "trainer.length", self.length, rule)
            steps = math.floor(amount / (self.batch_size * per_example) + 0.5)
        else:
            steps = self._steps(self.length, 1, steps_per_epoch)
        require(steps >= 1, "trainer.length", self.length, "is less than one update")
        require(steps <= MAX_STEPS, "trainer.length", self.length, "is more than 2^53 updates")
        return steps

    def intervals(self, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """Updates between evaluations, and between log records: every one where that is less."""
        evaluate = self._steps(self.eval_interval, total_steps, steps_per_epoch)
        require(
            evaluate >= 1, "trainer.eval_interval", self.eval_interval, "is less than one update"
        )
        return evaluate, self._steps(self.log_interval, total_steps, steps_per_epoch) or 1

    @staticmethod
    def _steps(text: str, total_steps: int, steps_per_epoch: int) -> int:
        return duration.whole_steps(text, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
