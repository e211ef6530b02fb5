"""What the benchmarks share: runs built as lrbench builds them, interleaved repeats, a table."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from lrbench.config import load
from lrbench.dataset import Data, ImageDataset, Images
from lrbench.dataset.data import BLOCK_BATCHES
from lrbench.record.display import Display
from lrbench.record.recorder import Recorder
from lrbench.run.run import assemble
from lrbench.trainer import hardware
from lrbench.trainer import loop as loop_module
from lrbench.trainer.loop import Loop

CPU = torch.device("cpu")
# Updates that are not timed: the first compiles, and the batches that were prepared with theirs
# must be used up, or the timed ones would have them for nothing.
WARM_UP = BLOCK_BATCHES
_clock = time.perf_counter


def clock() -> float:
    """Seconds on the clock that the benchmarks go by."""
    return _clock()


def count_processor_time() -> None:
    """Go by the seconds that this process has computed: for a machine on which others work too."""
    global _clock
    _clock = time.process_time
    setattr(loop_module, "time", SimpleNamespace(perf_counter=time.process_time))  # noqa: B010


@dataclass(frozen=True, kw_only=True)
class Noise(ImageDataset):
    """Random images and labels of a published dataset's shape, enough for a benchmark."""

    num_images: int
    image_size: int
    channels: int

    def read(self) -> Images:
        rng = np.random.default_rng(0)
        shape = (self.num_images, self.image_size, self.image_size, self.channels)
        return Images(
            train_images=rng.integers(0, 256, shape, dtype=np.uint8),
            train_labels=np.arange(self.num_images) % 10,
            test_images=None,
            test_labels=None,
            class_names=tuple("0123456789"),
            test_fraction=0.1,
        )


@dataclass(frozen=True)
class Job:
    """A model on images of some shape.

    Attributes:
        dataset: a choice of conf/dataset; its augmentation and moments are used.
        shape: (H, C) of random images in its place, or None for the dataset itself.
        compile, precision: as the job's experiment has them for a run of its own length.
        lr: the peak lr; that of conf/optimizer/sgd.yaml is too high for a network without norms.
        settings: keys of the dataset that differ from its file.
        clip: the largest gradient norm.
    """

    model: str
    dataset: str
    batch_size: int
    shape: tuple[int, int] | None = None
    compile: bool = False
    precision: str = "auto"
    lr: float = 0.1
    task: str = "classification"
    optimizer: str = "sgd"
    settings: Mapping[str, Any] = field(default_factory=dict)
    clip: float | None = None
    eval_batch_size: int = 256

    @property
    def name(self) -> str:
        size = f" ({self.shape[0]} px)" if self.shape else ""
        return f"{self.model} / {self.dataset}{size}, batch {self.batch_size}"

    def data(
        self,
        num_images: int = 0,
        *,
        channels_last: bool = True,
        device: torch.device = CPU,
        **settings: Any,
    ) -> Data:
        """The data that a run of this job would train on, `num_images` where they are random."""
        config = load("dataset", self.dataset, **{**self.settings, **settings})
        if self.shape is not None:
            config = Noise(
                num_images=num_images,
                image_size=self.shape[0],
                channels=self.shape[1],
                val_fraction=0.1,
                split_seed=0,
                mean=config.mean,
                std=config.std,
                augment=config.augment,
            )
        data: Data = config.load(device, channels_last=channels_last)
        return data

    def loop(
        self,
        data: Data,
        num_steps: int,
        *,
        seed: int = 0,
        device: torch.device = CPU,
        **settings: object,
    ) -> Loop:
        """The loop that ``python -m lrbench model=… dataset=…`` builds, for `num_steps` updates."""
        names = ("batch_size", "eval_batch_size", "compile", "precision")
        own = {name: getattr(self, name) for name in names}
        own |= {"length": f"{num_steps} steps", "max_grad_norm": self.clip}
        trainer = load("trainer", "default", **{**own, **settings})
        hardware.set_up(trainer, device)
        return assemble(
            load("model", self.model),
            load("task", self.task),
            data,
            load("scheduler", "cosine"),
            load("optimizer", self.optimizer, lr=self.lr),
            trainer,
            seed=seed,
            device=device,
        )


RESNET8 = Job("resnet8", "digits", 64)
LENET = Job("lenet", "fashion_mnist", 64, (28, 1), lr=0.01)
RESNET20 = Job("resnet20", "cifar10", 128, (32, 3), compile=True, precision="bf16_if_native")
GPT_NANO = Job(  # nanoGPT's recipe for a CPU, on a text that needs no download
    "gpt_nano",
    "python_docs",
    12,
    lr=1e-3,
    task="language_modelling",
    optimizer="adamw",
    settings={"context": 64},
    clip=1.0,
    eval_batch_size=48,
)
JOBS = {job.model: job for job in (RESNET8, LENET, RESNET20, GPT_NANO)}


def train(loop: Loop, warm_up: int = 0) -> float:
    """Run `loop` to its end with all its records; seconds in updates, records included.

    The first `warm_up` updates do not count: they compile the model.
    """
    uncounted = 0.0

    def see(*_: object) -> None:
        nonlocal uncounted
        if loop.state.step + 1 == warm_up:
            loop.lap(training=True)
            uncounted = loop.state.train_seconds

    loop.optimizer.register_step_post_hook(see)
    with (
        tempfile.TemporaryDirectory() as folder,
        Display(**loop.shown, live=False) as display,
        Recorder(
            Path(folder), position=None, next_step=1, measures=loop.measures, display=display
        ) as recorder,
    ):
        loop.run(recorder=recorder, save=lambda _: None, stop=lambda: False)
    return loop.state.train_seconds - uncounted


def interleaved(cases: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """What each case returned, `repeats` times in turns, so that a busy moment hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            found[name].append(case())
    return found


def heading(what: str, *packages: str) -> None:
    """Print what is measured, on what."""
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in ("torch", *packages))
    print(f"{what}\n{_processor()}, {os.cpu_count()} cores, torch with {torch.get_num_threads()} "
          f"threads; Python {platform.python_version()}, {versions}\n")  # fmt: skip


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print `rows` under `columns`, the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        first, *rest = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())


def spread(values: Sequence[float], form: str) -> str:
    """The median, and in brackets the smallest and the largest."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):{form}} [{low:{form}}, {high:{form}}]"
