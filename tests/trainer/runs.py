"""Short real runs on digits, from the real configs, inside the test's process."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch import nn

from lrbench.config import build
from lrbench.model import build_model
from lrbench.record.display import Display
from lrbench.record.recorder import Position, Recorder
from lrbench.trainer.loop import Loop

CONF = str(Path(__file__).parents[2] / "conf")
SHORT = ["trainer.length=36 steps", "trainer.eval_interval=7 steps", "model=mlp"]


def new_loop(*overrides: str, model: nn.Module | None = None) -> Loop:
    """The loop that ``python -m lrbench`` would build from `overrides`."""
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("config", [*SHORT, *overrides])
    device = torch.device("cpu")
    settings = build(cfg.trainer, "trainer")
    data = build(cfg.dataset, "dataset").load(device, channels_last=settings.channels_last)
    task = build(cfg.task, "task").build(data.examples)
    if model is None:
        model = build_model(build(cfg.model, "model"), data.shapes(task), seed=cfg.seed)
    spec = build(cfg.optimizer, "optimizer")
    optimizer = spec.build(model)
    scheduler = build(cfg.scheduler, "scheduler")
    return Loop(
        model,
        task,
        data,
        scheduler,
        optimizer,
        settings,
        seed=cfg.seed,
        device=device,
        schedules=spec.schedules,
    )


@dataclass
class Saved:
    """Collects checkpoints, and asks to stop once the loop has asked `stop_after` times."""

    stop_after: int | None = None
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0

    def save(self, state: dict[str, Any]) -> None:
        self.checkpoints.append(copy.deepcopy(state))

    def stop(self) -> bool:
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after


def run(loop: Loop, folder: Path, saved: Saved, position: Position | None = None) -> Any:
    """Run `loop` with its records in `folder`."""
    display = Display(**loop.shown)
    step = loop.state.step + 1
    with Recorder(
        folder,
        position=position,
        next_step=step,
        measures=loop.measures,
        display=display,
        groups=loop.lr_names,
    ) as recorder:
        return loop.run(recorder=recorder, save=saved.save, stop=saved.stop)


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of history.csv without the `seconds` column."""
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def numbers(rows: list[dict[str, str]], column: str) -> list[float]:
    return [float(row[column]) for row in rows if row[column]]


def each_update(loop: Loop, watch: Callable[[Loop], None]) -> None:
    """Call `watch` after every optimizer step of `loop`."""
    loop.optimizer.register_step_post_hook(lambda *_: watch(loop))
