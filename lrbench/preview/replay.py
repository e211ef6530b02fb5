"""Replaying a recorded run's validation losses, and how far that is valid."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lrbench.config import ConfigError
from lrbench.files import run_folder
from lrbench.run.parts import build_part

TOLERANCE = 1e-9  # relative; schedules that agree differ by rounding only


@dataclass(frozen=True)
class History:
    """The validation losses, lr and config of a recorded run.

    Attributes:
        losses, steps: the validation loss of each evaluation, and the updates taken by then.
        lr: float64 (total_steps,), the lr of every update of the run, as its own schedule had it.
        overrides: what its command line said.
    """

    folder: Path
    losses: tuple[float, ...]
    steps: tuple[int, ...]
    lr: np.ndarray
    steps_per_epoch: int
    cfg: DictConfig
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """Where a replay stops being valid, and why: the losses after `step` updates are no guide."""

    step: int
    reason: str


def read_history(folder: Path) -> History:
    """Read the run in `folder`: history.csv, and its own schedule from .hydra/config.yaml.

    Raises:
        ConfigError: it is no run folder, its files are damaged or it has no evaluation.
    """
    path = folder / "history.csv"
    config = folder / ".hydra" / "config.yaml"
    for needed in (path, config):
        if not needed.is_file():
            raise ConfigError(f"history={folder} is not a run folder: it has no {needed.name}")
    steps, losses, steps_per_epoch = _evaluations(path)
    cfg = OmegaConf.create(run_folder.read_config(folder))
    settings = build_part(cfg, "trainer")
    # The epochs in the file are rounded to six digits; sizes, where known, are exact.
    sizes = build_part(cfg, "dataset").sizes()
    if sizes is not None:
        steps_per_epoch = sizes.train // settings.batch_size
    total_steps = settings.total_steps(steps_per_epoch)
    scheduler = build_part(cfg, "scheduler")
    factors = scheduler.factors(total_steps, steps_per_epoch, losses, steps)
    base_lr = build_part(cfg, "optimizer").lr
    return History(
        folder=folder,
        losses=losses,
        steps=steps,
        lr=base_lr * np.array(factors),
        steps_per_epoch=steps_per_epoch,
        cfg=cfg,
        overrides=tuple(run_folder.recorded_overrides(folder)),
    )


def _evaluations(path: Path) -> tuple[tuple[int, ...], tuple[float, ...], int]:
    """Updates and validation loss of each evaluation, and updates per epoch."""
    steps, losses, steps_per_epoch = [], [], 0
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                step, epoch, loss = int(row["step"]), float(row["epoch"]), row["val_loss"]
                if loss:
                    steps.append(step)
                    losses.append(float(loss))
                steps_per_epoch = round(step / epoch)
            except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
                raise ConfigError(f"{path}, line {number}, is damaged ({error!r})") from error
    if not steps:
        raise ConfigError(f"{path} has no validation loss to replay")
    return tuple(steps), tuple(losses), steps_per_epoch


def starting_overrides(recorded: Sequence[str], given: tuple[str, ...]) -> tuple[str, ...]:
    """The overrides `recorded` of a run, with `given` on top.

    Where `given` chooses a scheduler, the recorded one's choice and settings are left out, those
    of its parts (``scheduler@scheduler.parts.plateau.scheduler=cosine``) too.
    """

    def key(word: str) -> str:
        return word.partition("=")[0].lstrip("+~")

    chosen = {key(word) for word in given}
    kept = [
        word
        for word in recorded
        if key(word) not in chosen
        and not ("scheduler" in chosen and re.split("[.@]", key(word))[0] == "scheduler")
    ]
    return (*kept, *given)


def first_difference(lr: np.ndarray, history: History) -> Mark | None:
    """Where a replay that gives `lr` (n,) stops being valid, or None if it is valid throughout.

    Up to there the schedule did what the recorded run did, so the recorded losses are its own. At
    the first update with another lr the paths part. Where they never do, the replay still ends
    with the recorded losses.
    """
    n = min(len(lr), len(history.lr))
    recorded = history.lr[:n]
    differs = ~np.isclose(lr[:n], recorded, rtol=TOLERANCE, atol=0.0)
    if differs.any():
        step = int(differs.argmax())
        return Mark(
            step, f"its lr is {lr[step]:.4g} there, the recorded run's {recorded[step]:.4g}"
        )
    last = max(history.steps)
    if last < len(lr):
        return Mark(last, "the recorded losses end there")
    return None


def finite_losses(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Updates and validation losses to draw."""
    points = [
        (s, x) for s, x in zip(history.steps, history.losses, strict=True) if math.isfinite(x)
    ]
    array = np.array(points, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]
