"""Short real runs on digits, from the real configs, inside the test's process."""

from __future__ import annotations

import copy
import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lrbench.config import build
from lrbench.dataset import Data
from lrbench.model import Model
from lrbench.record.display import Display
from lrbench.record.recorder import Position, Recorder
from lrbench.run.run import assemble
from lrbench.task import Shapes
from lrbench.trainer.loop import Loop


@dataclass(frozen=True)
class Given(Model):
    """A network that is built already."""

    network: nn.Module

    def build(self, _: Shapes) -> nn.Module:
        return self.network


CONF = str(Path(__file__).parents[2] / "conf")
SHORT = ["trainer.length=36 steps", "trainer.eval_interval=7 steps", "model=mlp"]
SHORT += ["trainer.precision=fp32"]  # auto measures which is faster here: by the clock


def new_loop(*overrides: str, model: nn.Module | None = None) -> Loop:
    """The loop that ``python -m lrbench`` would build from `overrides`."""
    cfg = _composed(*overrides)
    device = torch.device("cpu")
    settings = build(cfg.trainer, "trainer")
    data = _loaded(OmegaConf.to_yaml(cfg.dataset, resolve=True), settings.channels_last)
    return assemble(
        build(cfg.model, "model") if model is None else Given(model),
        build(cfg.task, "task"),
        data,
        build(cfg.scheduler, "scheduler"),
        build(cfg.optimizer, "optimizer"),
        settings,
        seed=cfg.seed,
        device=device,
    )


@cache
def _composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(CONF, version_base="1.3"):
        return compose("config", [*SHORT, *overrides])


@cache
def _loaded(dataset: str, channels_last: bool) -> Data:
    """The data that the YAML text `dataset` describes, which no run changes."""
    spec = build(OmegaConf.create(dataset), "dataset")
    return spec.load(torch.device("cpu"), channels_last=channels_last)  # type: ignore[no-any-return]


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
