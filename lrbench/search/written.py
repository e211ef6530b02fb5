"""A searched shape as a schedule: its YAML, and the runs on fresh seeds that judge it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.config import ConfigError, trust
from lrbench.files.atomic import atomic_write

NAME = "searched"  # choice of scheduler that the YAML is
FRESH = "'seed=range(100,105)'"
OWN = ("scheduler", "optimizer.lr", "trainer.length", "seed")  # keys that a search sets itself


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A shape that was found, and what it is to be held against.

    Attributes:
        values: factors of the peak lr, (K,), from 1 on, never rising.
        positions: where each stands, as shares of the run, ``"5%"``.
        warmup: duration of the linear rise before.
        start: factor of the peak lr at the first update.
        told: what it was searched by, a line each.
        rival: the best named schedule.
        words: overrides of the runs, without those in `OWN`.
        lr: peak lr, as it stands in a command.
        length: `trainer.length`.
    """

    values: Sequence[float]
    positions: Sequence[str]
    warmup: str
    start: float
    told: Sequence[str]
    rival: str
    words: Sequence[str]
    lr: str
    length: str

    def write(self, folder: Path) -> Path:
        """Write the schedule's YAML below `folder`, where ``--config-dir`` finds it."""
        path = folder / "scheduler" / f"{NAME}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            f"# Searched for {self.length} at a peak lr of {self.lr}.",
            *(f"# {line}" for line in self.told),
            "_target_: lrbench.scheduler.Piecewise",
            f"warmup: {self.warmup}",
            "warmup_shape: linear",
            f"warmup_start_factor: {self.start:.6g}",
            f"positions: [{', '.join(self.positions)}]",
            f"values: [{', '.join(f'{value:.6g}' for value in self.values)}]",
            "interpolation: linear",
        ]
        with atomic_write(path) as file:
            file.write("\n".join([*lines, ""]).encode())
        return path

    def command(self, folder: Path) -> str:
        """What trains it and its rival on fresh seeds, and compares them."""
        own = [f"scheduler={NAME},{self.rival}", f"optimizer.lr={self.lr}"]
        own.append(f"trainer.length='{self.length}'")
        words = [shlex.quote(word) for word in (*self.words, *trust.words())]
        place = f"hydra.sweep.dir={shlex.quote(str(folder / 'fresh'))}"
        begin = f"python -m lrbench -m --config-dir {shlex.quote(str(folder))}"
        return " ".join([begin, *words, *own, FRESH, place])


def own_words(overrides: Sequence[str]) -> list[str]:
    """`overrides` without those that a search sets itself: choices of schedule, lr, length, seed.

    Raises:
        ConfigError: a key of a schedule that a searched one has not.
    """
    kept = []
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        if key.startswith("scheduler.") and not key.startswith("scheduler.warmup"):
            raise ConfigError(
                f"{word}: a searched schedule has no {key}, and runs beside the named one: write "
                "the named one as a YAML of your own (--config-dir)"
            )
        if key not in OWN:
            kept.append(word)
    return kept


def train(words: Sequence[str], log: Path | None = None) -> str:
    """Run ``python -m lrbench`` with `words`, in a process of its own.

    Args:
        log: where what it says goes; None: to this process's standard output.

    Returns:
        what went wrong, with the command; empty where all runs completed.
    """
    command = [sys.executable, "-m", "lrbench", *words]
    if log is None:
        sys.stdout.flush()
        done = subprocess.run(command, check=False)
        why = "see above"
    else:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as file:
            done = subprocess.run(command, check=False, stdout=file, stderr=subprocess.STDOUT)
        said = log.read_text(errors="replace").split("\n")
        why = next((line for line in reversed(said) if line.strip()), "it said nothing")
    return f"{why} ({shlex.join(['python', *command[1:]])})" if done.returncode else ""
