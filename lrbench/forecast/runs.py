"""From run folders to recordings: any loop's, as long as they hold history.csv with lr and loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lrbench.compare.find import find
from lrbench.compare.read import FinishedRun, collect
from lrbench.config import duration
from lrbench.files.run_folder import PLACES
from lrbench.forecast.fit import Recording, lr_of_log, recording
from lrbench.forecast.forecast import ForecastError

LOSSES = ("val_loss", "train_loss")
# What a forecast is about, or what changes no loss by itself; all else must be equal.
FREE = ("optimizer.lr", "seed", *PLACES)
FREE_GROUPS = ("scheduler", "trainer", "loop", "hydra")
FIXED = ("trainer.batch_size", "trainer.max_grad_norm")


@dataclass(frozen=True, eq=False)
class Recorded:
    """The runs that a forecast is made from.

    Attributes:
        strategies: of each, (R,).
        measure: the column of history.csv that their losses are from.
        steps_per_epoch: updates an epoch, as the first run counts them; None where unknown.
        notes: what was left out and why, a line each.
    """

    runs: tuple[Recording, ...]
    strategies: tuple[str, ...]
    folder: Path
    measure: str
    steps_per_epoch: int | None
    notes: tuple[str, ...]


def read_runs(folders: Sequence[Path]) -> Recorded:
    """Read the finished runs in or below `folders`.

    Raises:
        ForecastError: they hold no losses, or are runs of different problems.
        CompareError: there are no runs.
    """
    found = collect(find(folders))
    notes = [str(problem) for problem in (*found.problems, *found.unfinished)]
    usable = []
    for run in found.runs:
        if not run.completed:
            notes.append(f"{run.name}: diverged: left out")
        elif run.history is None or not {"step", "lr"} <= set(run.history):
            notes.append(f"{run.name}: has no history.csv with the lr: left out")
        else:
            usable.append((run, run.history))
    columns = [c for c in LOSSES if usable and all(_losses(h, c) for _, h in usable)]
    if not columns:
        why = f" ({notes[0]})" if notes else ""
        raise ForecastError(
            f"{len(usable)} usable runs and no loss that all of them record{why}: log val_loss or "
            "train_loss, with the lr, at two updates or more of each"
        )
    _check_alike([run for run, _ in usable])
    first, history = usable[0]
    return Recorded(
        runs=tuple(_recording(run, history, columns[0]) for run, history in usable),
        strategies=tuple(run.strategy for run, _ in usable),
        folder=first.path,
        measure=columns[0],
        steps_per_epoch=_steps_per_epoch(history),
        notes=tuple(notes),
    )


def _losses(history: pd.DataFrame, column: str) -> bool:
    return column in history and history[column].notna().sum() >= 2


def _recording(run: FinishedRun, history: pd.DataFrame, column: str) -> Recording:
    warmup = run.config.get("scheduler.warmup")
    steps_per_epoch = _steps_per_epoch(history)
    updates = 0
    if isinstance(warmup, str) and steps_per_epoch:
        updates = duration.whole_steps(
            warmup, total_steps=run.result.steps, steps_per_epoch=steps_per_epoch
        )
    steps = history["step"].to_numpy()
    total = max(run.result.steps, int(steps[-1]))
    lr = lr_of_log(steps, history["lr"].to_numpy(), total=total, warmup=updates)
    return recording(run.name, lr, steps, history[column].to_numpy())


def _steps_per_epoch(history: pd.DataFrame) -> int | None:
    if "epoch" not in history or not history["epoch"].iloc[-1] > 0:
        return None
    return max(round(history["step"].iloc[-1] / history["epoch"].iloc[-1]), 1)


def _check_alike(runs: Sequence[FinishedRun]) -> None:
    """Raise unless the runs differ only in what a forecast is about."""
    first = _problem(runs[0].config)
    for run in runs[1:]:
        own = _problem(run.config)
        different = sorted(k for k in first.keys() & own.keys() if first[k] != own[k])
        if different:
            key = different[0]
            raise ForecastError(
                f"{run.name} and {runs[0].name} are runs of different problems ({key}: {own[key]} "
                f"and {first[key]}): name folders of one problem"
            )


def _problem(config: Mapping[str, object]) -> dict[str, object]:
    return {
        key: value
        for key, value in config.items()
        if key in FIXED or (key not in FREE and key.partition(".")[0] not in FREE_GROUPS)
    }
