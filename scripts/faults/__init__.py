"""Faults that lrbench must survive, and how to tell that nothing was lost."""

from __future__ import annotations

import csv
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

TIMINGS = (
    "seconds",
    "units_per_second",
    "files",
    "checksum",
    "shared",
)  # may differ in result.json


@dataclass
class Row:
    """A line of the table: how often a fault was tried, and what became of it.

    Attributes:
        lost: per trial that lost something, what.
    """

    fault: str
    tried: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    remark: str = ""

    def add(self, problems: list[str], trial: str) -> None:
        """Count one trial."""
        self.tried += 1
        self.survived += not problems
        self.lost += [f"{trial}: {problem}" for problem in problems]


def history(folder: Path) -> list[dict[str, str]]:
    """The rows of history.csv without the `seconds` column."""
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def events(path: Path) -> list[Event]:
    """The events of one file.

    Raises:
        ValueError: a record is torn or fails its checksum.
    """
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        head = data[at : at + 12]
        if len(head) < 12:
            raise ValueError(f"{path} ends within a record")
        (length, head_crc) = struct.unpack("<QI", head)
        body = data[at + 12 : at + 12 + length]
        tail = data[at + 12 + length : at + 16 + length]
        if len(tail) < 4:
            raise ValueError(f"{path} ends within a record")
        if (
            masked_crc32c(head[:8]) != head_crc
            or masked_crc32c(body) != struct.unpack("<I", tail)[0]
        ):
            raise ValueError(f"{path} has a damaged record")
        found.append(Event.FromString(body))
        at += 16 + length
    return found


def points(folder: Path) -> list[tuple[int, str, float | bytes]]:
    """Every logged point and text of a run's event files, in the order of writing."""
    found: list[tuple[int, str, float | bytes]] = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in events(path):
            for value in event.summary.value:
                if value.tag.startswith("_hparams_"):  # they hold the time of day
                    found.append((event.step, value.tag, b""))
                elif value.HasField("simple_value"):
                    found.append((event.step, value.tag, value.simple_value))
                else:
                    found.append((event.step, value.tag, value.tensor.SerializeToString()))
    return found


def same_run(whole: Path, other: Path) -> list[str]:
    """What the run in `other` lost or got wrong, measured by the undisturbed one in `whole`."""
    problems = []
    try:
        if history(whole) != history(other):
            problems.append("history.csv differs")
        if points(whole) != points(other):
            problems.append("TensorBoard's points differ")
        if not _same_checkpoint(whole / "checkpoint.pt", other / "checkpoint.pt"):
            problems.append("the final weights differ")
        results = [json.loads((f / "result.json").read_text()) for f in (whole, other)]
        for result in results:
            for key in TIMINGS:
                result.pop(key, None)
        if results[0] != results[1]:
            problems.append("result.json differs")
    except (OSError, ValueError, KeyError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    left = [path.name for path in other.rglob("*.tmp")]
    return problems + [f"{name} is left behind" for name in left]


def _same_checkpoint(a: Path, b: Path) -> bool:
    import torch

    def equal(x: Any, y: Any) -> bool:
        if isinstance(x, torch.Tensor):
            return torch.equal(x, y)
        if isinstance(x, dict):
            return x.keys() == y.keys() and all(equal(x[k], y[k]) for k in x)
        return bool(x == y)

    first, second = (torch.load(path, weights_only=True) for path in (a, b))
    return all(equal(first[key], second[key]) for key in ("model", "optimizer", "config"))
