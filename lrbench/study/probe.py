"""A few seconds of real training, to tell how long a run takes."""

from __future__ import annotations

import math
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from lrbench.config.checks import require
from lrbench.record.display import Display
from lrbench.run.parts import build_part, build_parts
from lrbench.run.programs import time_program
from lrbench.trainer import Trainer

if TYPE_CHECKING:
    from lrbench.dataset import EvalSplit

SECONDS = 3.0  # of training
WARM_UP = 3  # updates that are not timed
BATCHES = 3  # of an evaluation that are timed


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long the parts of a run take, in seconds.

    Attributes:
        evaluation: of the validation split, once.
        around: composing, loading, building and testing.
    """

    settings: Trainer
    steps_per_epoch: int
    update: float
    evaluation: float
    around: float

    def steps(self, length: str) -> int:
        """Updates of a run with that `trainer.length`."""
        return replace(self.settings, length=length).total_steps(self.steps_per_epoch)

    def evaluations(self, length: str) -> int:
        """Evaluations of such a run."""
        settings = replace(self.settings, length=length)
        return -(
            -self.steps(length) // settings.intervals(self.steps(length), self.steps_per_epoch)[0]
        )

    def run(self, length: str) -> float:
        """Seconds of such a run."""
        training = self.steps(length) * self.update
        return training + self.evaluations(length) * self.evaluation + self.around


def probe(
    cfg: DictConfig, hydra: DictConfig, compose_seconds: float, num_threads: int | None
) -> Pace:
    """Train what `cfg` describes for `SECONDS`, in a folder that is removed again.

    Args:
        hydra: Hydra's own config, for the names of the choices.
        num_threads: torch's, where the launcher gives each of its workers so many.

    Raises:
        ValueError, OSError: the run cannot be made.
    """
    if cfg.get("loop") is not None:
        update, around = time_program(cfg, hydra, SECONDS)
        settings = build_part(cfg, "trainer")
        return Pace(
            settings=replace(settings, eval_interval="100%"),
            steps_per_epoch=1,  # that of a user's loop is unknown: the length is in updates
            update=update,
            evaluation=0.0,  # timed with the updates
            around=compose_seconds + around,
        )
    _, settings, scheduler, dataset, optimizer_spec, model_spec, task = build_parts(cfg)

    rule = "is a time: a study needs runs whose updates are known, write epochs or steps"
    require(settings.seconds is None, "trainer.length", settings.length, rule)

    from lrbench.record.recorder import Recorder
    from lrbench.run.run import assemble
    from lrbench.trainer import hardware
    from lrbench.trainer.evaluate import evaluate
    from lrbench.trainer.loop import Diverged, Interrupted

    device = hardware.choose_device(settings.device)
    threads = settings.num_threads or num_threads
    once = replace(
        settings, eval_interval="100%", checkpoint_interval_seconds=math.inf, num_threads=threads
    )
    hardware.set_up(once, device)
    dataset.load(device, channels_last=settings.channels_last)  # once to download and decode
    began = time.perf_counter()
    data = dataset.load(device, channels_last=settings.channels_last)
    loop = assemble(model_spec, task, data, scheduler, optimizer_spec, once, seed=0, device=device)
    around = compose_seconds + time.perf_counter() - began

    reached: dict[int, float] = {}  # updates taken, and when

    def stop() -> bool:
        now = reached.setdefault(loop.state.step, time.perf_counter())
        return loop.state.step > WARM_UP and now - reached[WARM_UP] > SECONDS

    with (
        tempfile.TemporaryDirectory() as name,
        Display(**loop.shown, live=False) as display,
        Recorder(
            Path(name), position=None, next_step=1, measures=loop.measures, display=display
        ) as recorder,
        suppress(Interrupted, Diverged),
    ):
        loop.run(recorder=recorder, save=_forget, stop=stop)
    first, last = min(WARM_UP, max(reached) - 1), max(reached)
    update = (reached[last] - reached[first]) / (last - first)

    def seconds(split: EvalSplit) -> float:
        num_batches = -(-len(split) // settings.eval_batch_size)
        timed = min(BATCHES, num_batches)
        began = time.perf_counter()
        evaluate(
            loop.forward,
            islice(split.batches(settings.eval_batch_size), timed),
            loop.task,
            autocast=loop.autocast,
        )
        return (time.perf_counter() - began) / timed * num_batches

    seconds(data.val)  # the first batch is slower than all others
    return Pace(
        settings=settings,
        steps_per_epoch=loop.steps_per_epoch,
        update=update,
        evaluation=seconds(data.val),
        around=around + seconds(data.test),
    )


def _forget(checkpoint: dict[str, Any]) -> None:
    """The probe's state is discarded: it is never resumed."""
