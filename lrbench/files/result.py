"""What result.json and history.csv say: keys, columns and types, for whoever writes or reads them.

Required of result.json are ``strategy``, ``seed``, ``status``, ``steps`` and, of a completed run,
one measure's value, ``val_<measure>`` or ``test_<measure>``. All else is recorded where the writer
knows it, and what is not there is unknown: readers then claim less.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrbench.files.checksum import KEY, SealError, check_object
from lrbench.files.reading import read_bytes
from lrbench.task.measure import POINTS, WELL_KNOWN, Measure

FORMAT = 2
COMPLETED, DIVERGED = "completed", "diverged"
SPLITS = ("best_val", "test", "val", "train")  # what a measure's name is prefixed with
HISTORY_COLUMNS = ("step", "epoch", "lr", "momentum", "seconds")  # then those of the measures


def history_columns(measures: Sequence[Measure], groups: Sequence[str] = ()) -> tuple[str, ...]:
    """The header of history.csv: `HISTORY_COLUMNS`, then each measure of training and validation.

    Last come columns ``lr/<group>`` for the parameter `groups`, where they have lrs of their own.
    """
    measured = (f"{split}_{m.name}" for split in ("train", "val") for m in measures)
    return (*HISTORY_COLUMNS, *measured, *(f"lr/{group}" for group in groups))


def split_metric(name: str) -> tuple[str, str]:
    """``("best_val", "accuracy")`` of ``best_val_accuracy``: the split and the measure's name.

    Raises:
        ValueError: `name` begins with no split.
    """
    for split in SPLITS:
        if name.startswith(f"{split}_") and len(name) > len(split) + 1:
            return split, name[len(split) + 1 :]
    raise ValueError(f"{name} is no measure of a split: write test_loss, val_accuracy, …")


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run's result.json, checked.

    Attributes:
        status: ``completed``, ``diverged``, or another word for a run that has no result.
        strategy: the name that runs are grouped by.
        steps: optimizer updates taken.
        measures: the first is the primary one.
        values: metric, such as ``test_loss``, to its value; those that are missing are absent.
        best_val_step: the update of the best validation; None where unknown.
        seconds: wall time; None where unknown.
        unit: what a batch is counted in, such as ``images``; empty where unknown.
        units_per_second: of training; None where unknown.
        paired: whether equal seeds mean equal initial weights and batches; None where unknown.
        environment: versions and hardware, as far as recorded.
        data: digest and sizes of the data set, as far as recorded.
        fingerprint: of the config; None where unknown.
        files: name to size and CRC-32 of the files that the run wrote, as far as recorded.
        more: all other keys.
    """

    status: str
    strategy: str
    seed: int
    steps: int
    measures: tuple[Measure, ...]
    values: Mapping[str, float]
    best_val_step: int | None = None
    seconds: float | None = None
    unit: str = ""
    units_per_second: float | None = None
    paired: bool | None = None
    environment: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    files: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def completed(self) -> bool:
        """Whether the run took all its updates and its loss stayed finite."""
        return self.status == COMPLETED

    def value(self, metric: str) -> float | None:
        """The value of `metric`, such as ``test_loss``; None where it is missing."""
        return self.values.get(metric)


def read_result(path: Path) -> tuple[RunResult, bool]:
    """The result.json at `path`, checked, and whether it carries a checksum of itself.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not what was written, or no result, and why.
    """
    try:
        content = json.loads(read_bytes(path))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not UTF-8") from error
    sealed = isinstance(content, dict) and KEY in content
    if sealed:
        try:
            check_object(content)
        except SealError as error:
            raise ValueError(f"it is damaged: {error}") from error
    try:
        return parse_result(content), sealed
    except OverflowError as error:
        raise ValueError("it holds a number that is too large") from error


_TEXTS, _NUMBERS, _OBJECTS = (str,), (int, float), (dict,)
_OPTIONAL: dict[str, tuple[type, ...]] = {
    "best_val_step": (int,),
    "seconds": _NUMBERS,
    "unit": _TEXTS,
    "units_per_second": _NUMBERS,
    "paired": (bool,),
    "environment": _OBJECTS,
    "data": _OBJECTS,
    "fingerprint": _TEXTS,
    "files": _OBJECTS,
}


def parse_result(content: object) -> RunResult:
    """Check what a result.json holds.

    Args:
        content: the parsed JSON.

    Raises:
        ValueError: one line with the key and its value, and what is right.
    """
    if not isinstance(content, dict):
        raise ValueError("it must hold an object")
    if content.get("format", FORMAT) != FORMAT:
        raise ValueError(f"format={content['format']} is not the one read here, {FORMAT}")
    for key, kind in (("status", str), ("strategy", str), ("seed", int), ("steps", int)):
        if type(content.get(key)) is not kind:
            found = content.get(key, "missing")
            raise ValueError(f"{key}={found} must be {'a text' if kind is str else 'a number'}")
    for key in ("steps", "seed"):
        if not 0 <= content[key] < 2**63:
            raise ValueError(f"{key}={content[key]} must be from 0 to 2^63 - 1")
    optional = {}
    for key, kinds in _OPTIONAL.items():
        value = content.get(key)
        if value is None:
            continue
        number = type(value) in _NUMBERS
        if type(value) not in kinds or (number and not abs(value) < 2**63):
            raise ValueError(f"{key}={value} has the wrong type")
        optional[key] = value
    values = _values(content)
    measures = _measures(content.get("measures"), values)
    known = {measure.name for measure in measures}
    values = {key: value for key, value in values.items() if split_metric(key)[1] in known}
    shares = {m.name: 100 / m.scale for m in measures if m.unit == POINTS and m.higher_is_better}
    for key, value in values.items():
        highest = shares.get(split_metric(key)[1], math.inf)
        if highest < math.inf and not 0 <= value <= highest:
            raise ValueError(f"{key}={value} must be from 0 to {highest:g}")
    if content["status"] == COMPLETED and not any(not key.startswith("train_") for key in values):
        raise ValueError("a completed run must have a measure, such as val_loss or test_accuracy")
    used = {"format", "status", "strategy", "seed", "steps", "measures", KEY, *values, *_OPTIONAL}
    return RunResult(
        status=content["status"],
        strategy=content["strategy"],
        seed=content["seed"],
        steps=content["steps"],
        measures=measures,
        values=values,
        more={key: value for key, value in content.items() if key not in used},
        **optional,
    )


def _values(content: Mapping[str, Any]) -> dict[str, float]:
    """Every key that may be a metric, such as ``val_loss``, with its value, where it has one."""
    found = {}
    for key, value in content.items():
        if key == "best_val_step" or not key.startswith(tuple(f"{split}_" for split in SPLITS)):
            continue
        if value is None or isinstance(value, (str, bool, list, dict)):
            continue
        if not math.isfinite(value):
            raise ValueError(f"{key}={value} must be finite; null where there is none")
        found[key] = float(value)
    return found


def _measures(declared: object, values: Mapping[str, float]) -> tuple[Measure, ...]:
    """The measures as declared, else those of `values` whose names are well known."""
    if declared is not None:
        if not isinstance(declared, dict) or not declared:
            raise ValueError(f"measures={declared} must be an object that names a measure")
        return tuple(Measure.from_json(name, node) for name, node in declared.items())
    names = dict.fromkeys(split_metric(key)[1] for key in values)
    unknown = [name for name in names if name not in WELL_KNOWN]
    known = tuple(WELL_KNOWN[name] for name in names if name in WELL_KNOWN)
    if unknown and not known:
        raise ValueError(
            f"{unknown[0]} is no well-known measure: say in measures.{unknown[0]} whether "
            "higher_is_better"
        )
    return known
