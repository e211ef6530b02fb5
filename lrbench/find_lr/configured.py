"""The ramp of a configured run: the run's own loop, under a schedule that climbs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.config import Call
from lrbench.find_lr.settings import RangeTest
from lrbench.find_lr.tape import Ramp, Tape
from lrbench.model import Model
from lrbench.optimizer import Optimizer
from lrbench.record.display import Display
from lrbench.record.recorder import Recorder
from lrbench.run.run import assemble
from lrbench.scheduler import Constant
from lrbench.task import TaskConfig
from lrbench.trainer import Trainer

if TYPE_CHECKING:
    import torch

    from lrbench.dataset import Data
    from lrbench.trainer.loop import Loop


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a run is assembled from, apart from its schedule and its seed."""

    model: Model | Call
    task: TaskConfig
    data: Data
    optimizer: Optimizer
    trainer: Trainer
    device: torch.device


class _Recorder(Recorder):
    """Records what the loop does and the smoothed loss, and adds each update to the tape."""

    def __init__(self, folder: Path, loop: Loop, display: Display, tape: Tape) -> None:
        super().__init__(
            folder,
            position=None,
            next_step=1,
            measures=loop.measures,
            display=display,
            groups=loop.lr_names,
        )
        self._tape = tape

    def record(
        self, step: int, epoch: float | None, seconds: float, values: Mapping[str, float | None]
    ) -> None:
        lr, loss = values["lr"], values["train/loss"]
        assert lr is not None
        assert loss is not None
        smoothed = self._tape.add(lr, loss)
        super().record(step, epoch, seconds, {**values, "train/smoothed_loss": smoothed})

    def text(self, tag: str, step: int, text: str) -> None:
        """Write nothing: how a ramp ended is printed by the command."""


def run_ramp(parts: Parts, settings: RangeTest, *, seed: int, folder: Path) -> Ramp:
    """Train as a run with `seed` would, but under the ramp; neither validation nor test is read.

    Args:
        folder: takes the TensorBoard events and history.csv.

    Raises:
        ValueError: the parts do not fit each other.
    """
    from lrbench.trainer.loop import Diverged, Interrupted  # imports torch

    # The loop evaluates at its end, so it is made an update longer and stopped before.
    length = f"{settings.num_steps + 1} steps"
    trainer = replace(
        parts.trainer,
        length=length,
        eval_interval=length,
        log_interval="1 steps",
        checkpoint_interval_seconds=math.inf,
    )
    # The ramp is a warmup to the base lr that lasts for the whole test.
    schedule = Constant(
        warmup=f"{settings.num_steps - 1} steps",
        warmup_shape="exponential",
        warmup_start_factor=settings.lr_min / settings.lr_max,
    )
    loop = assemble(
        parts.model,
        parts.task,
        parts.data,
        schedule,
        replace(parts.optimizer.on_one_schedule(), lr=settings.lr_max),
        trainer,
        seed=seed,
        device=parts.device,
    )
    tape = Tape(settings)
    with (
        Display(**loop.shown) as display,
        _Recorder(folder, loop, display, tape) as recorder,
        suppress(Diverged, Interrupted),
    ):
        loop.run(recorder=recorder, save=lambda _: None, stop=lambda: tape.done)
    return tape.curve(seed)
