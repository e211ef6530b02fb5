"""From run folders to runs: read what they hold, name what cannot be used.

Nothing here raises for what a run folder contains: a damaged, foreign or unfinished run becomes a
`Problem`, and the rest goes on. What a run does not record is unknown, which is no damage. Only
result.json, history.csv and `.hydra/` are read, so neither torch nor the training code is needed.
Texts from the files are cleaned here, once, of what a terminal would obey.
"""

from __future__ import annotations

import csv
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lrbench.cli.console import Progress, silent
from lrbench.compare.find import CompareError
from lrbench.config import flatten
from lrbench.files import run_folder
from lrbench.files.checksum import SealError, check_text, file_crc
from lrbench.files.reading import MEBIBYTE, ReadError, parse_yaml, plain_text, read_bytes
from lrbench.files.result import COMPLETED, DIVERGED, RunResult, read_result
from lrbench.task.measure import POINTS

MAX_HISTORY = 512 * MEBIBYTE


class _Unusable(Exception):
    """This run cannot enter the comparison, and why."""


@dataclass(frozen=True)
class Problem:
    """Something to know about a run or the folders: whose, and what."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}" if self.name else self.what


@dataclass(frozen=True)
class FinishedRun:
    """One run that completed or diverged.

    Attributes:
        name: its path below the folder that was searched.
        config: the flattened config, lists as tuples; empty where none is recorded.
        choices: the choice of each config group, as far as recorded.
        history: history.csv, or None where it is missing or not whole.
        sealed: whether result.json carries a checksum of itself.
    """

    path: Path
    name: str
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    result: RunResult
    history: pd.DataFrame | None
    sealed: bool = True

    @property
    def completed(self) -> bool:
        """Whether it took all its updates; else it diverged."""
        return self.result.completed

    @property
    def strategy(self) -> str:
        """The name of the schedule."""
        return self.result.strategy

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.result.seed


@dataclass
class Found:
    """What the folders hold; `unfinished` are begun runs without a result."""

    runs: list[FinishedRun] = field(default_factory=list)
    unfinished: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(run_folders: Sequence[tuple[Path, str]], progress: Progress = silent) -> Found:
    """Read the run folders that `find` found, and show by `progress` how far it is.

    Raises:
        CompareError: none holds a finished run.
    """
    found = collect(run_folders, progress)
    if not found.runs:
        others = [*found.unfinished, *found.problems]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise CompareError(f"no finished run ({others[0]}{more})")
    return found


def collect(run_folders: Sequence[tuple[Path, str]], progress: Progress = silent) -> Found:
    """What `run_folders` (folder and name) hold, be it nothing."""
    found = Found()
    for path, name in progress(run_folders, "reading runs"):
        try:
            run = _read_run(path, name, found)
        except _Unusable as error:
            found.problems.append(Problem(name, f"{plain_text(error)}: set aside"))
        except OSError as error:
            found.problems.append(Problem(name, f"cannot be read ({error.strerror}): set aside"))
        else:
            if run is not None:
                found.runs.append(run)
    return found


def _read_run(path: Path, name: str, found: Found) -> FinishedRun | None:
    """One run; None if it has no result yet, which `found.unfinished` then tells."""
    try:
        result, sealed = read_result(path / run_folder.RESULT)
    except FileNotFoundError:
        log = path / run_folder.LOG
        error = run_folder.last_error(path) if log.is_file() and not log.is_symlink() else None
        why = f"failed: {error}" if error else "has no result.json: still running, or cut"
        found.unfinished.append(Problem(name, plain_text(why)))
        return None
    except ValueError as error:
        raise _Unusable(f"result.json cannot be used ({error})") from error
    if result.status not in (COMPLETED, DIVERGED):
        why = result.more.get("error") or result.more.get("reason") or "no reason recorded"
        found.unfinished.append(Problem(name, plain_text(f"{result.status}: {why}")))
        return None
    config = _read_config(path, result)
    choices, trouble = _read_choices(path)
    told = [f"{trouble}: the names of its choices are left out"] if trouble else []
    history, trouble = _read_history(path, result)
    if trouble:
        told.append(f"{trouble}: its curves are left out")
    told += [
        f"{plain_text(events)} is not what the run wrote: TensorBoard shows less, or wrong"
        for events in _damaged_events(path, result)
    ]
    found.problems += [Problem(name, plain_text(what)) for what in told]
    return FinishedRun(
        path=path,
        name=name,
        config={plain_text(key): _plain(value) for key, value in config.items()},
        choices={key: plain_text(value) for key, value in choices.items()},
        result=replace(
            result, strategy=plain_text(result.strategy, 80), unit=plain_text(result.unit, 20)
        ),
        history=history,
        sealed=sealed,
    )


def _read_config(path: Path, result: RunResult) -> dict[str, Any]:
    """What ``.hydra/config.yaml`` says of the run, flattened; empty where there is none."""
    name = ".hydra/config.yaml"
    try:
        text = read_bytes(path / name).decode()
        config, leaves = _parsed(text)
    except FileNotFoundError:
        return {}
    except (ReadError, UnicodeDecodeError, RecursionError) as error:
        raise _Unusable(f"{name} cannot be used ({error})") from error
    if not isinstance(config, dict):
        raise _Unusable(f"{name} cannot be used (it is no mapping)")
    own = {str(key): value for key, value in config.items() if key not in run_folder.STEERING}
    recorded = result.fingerprint
    if recorded and "${" not in text and run_folder.fingerprint(own) != recorded:
        raise _Unusable(f"{name} is not the config of result.json (another fingerprint)")
    steering = run_folder.STEERING
    return {
        key: leaves.get(value[2:-1], value)  # ${trainer.batch_size}, and nothing that computes
        if isinstance(value, str) and value.startswith("${") and value.endswith("}")
        else value
        for key, value in leaves.items()
        if key not in steering
    }


_TOP = re.compile(r"^(?=[A-Za-z_]\w*:(?:[ \n]|$))", re.MULTILINE)  # where a setting begins
_UNINDENTED = re.compile(r"^\S", re.MULTILINE)


def _parsed(text: str) -> tuple[Any, dict[str, Any]]:
    """A config and its leaves, each of whose topmost settings is parsed once for all runs."""
    head, *parts = _TOP.split(text)
    if not head and len(parts) == len(_UNINDENTED.findall(text)):
        try:
            read = [_part(part) for part in parts]
        except ReadError:
            pass  # the whole text says what is wrong, and where
        else:
            last = {next(iter(node)): (node, leaves) for node, leaves in read}
            found: dict[str, Any] = {}
            told: dict[str, Any] = {}
            for node, leaves in last.values():
                found |= node
                told |= leaves
            return found, told
    config = parse_yaml(text)
    return config, flatten(config)


@lru_cache(maxsize=4096)
def _part(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """One setting with all below it, and its leaves; who is given them changes nothing in them."""
    found: dict[str, Any] = parse_yaml(text)
    return found, flatten(found)


def _read_history(path: Path, result: RunResult) -> tuple[pd.DataFrame | None, str]:
    """The history, or None and what is wrong with it; nothing is where there is none."""
    try:
        data = read_bytes(path / "history.csv", MAX_HISTORY)
    except FileNotFoundError:
        return None, ""
    except ReadError as error:
        return None, f"history.csv {error}"
    written = result.files.get("history.csv")
    if isinstance(written, Mapping) and written.get("crc32") != zlib.crc32(data):
        return None, "history.csv is damaged (it is not what the run wrote)"
    header, _, rest = data.partition(b"\n")
    if not header:
        return None, "history.csv is empty"
    if rest and not data.endswith(b"\n"):
        last = data[data.rfind(b"\n") :]
        if last.count(b",") != header.count(b","):
            return None, "history.csv is cut off in the middle of a line"
    try:
        names = next(csv.reader([header.decode().strip()]))
        # The names apart, as plain objects: twice as fast to read, and to look columns up.
        history = pd.read_csv(
            io.BytesIO(data), header=None, skiprows=1, names=range(len(names)), dtype=np.float64
        )
        history.columns = pd.Index(names, dtype=object)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' ParserError is a ValueError
        return None, f"history.csv is damaged ({' '.join(str(error).split())})"
    if "step" not in names or len(set(names)) < len(names):
        return None, f"history.csv has {'a column twice' if 'step' in names else 'no column step'}"
    steps = history["step"].to_numpy()
    if len(steps) and not (np.diff(steps) > 0).all():  # a NaN is no increase either
        return None, "history.csv is damaged (its steps do not increase)"
    per_step = result.more.get("units_per_step")
    if isinstance(per_step, int) and 0 < per_step < 2**31:
        history["units"] = history["step"] * per_step
    for measure in result.measures:
        if measure.unit == POINTS and measure.higher_is_better:
            for column in (f"train_{measure.name}", f"val_{measure.name}"):
                shares = history[column].to_numpy() * measure.scale if column in history else steps
                if column in history and ((shares < 0) | (shares > 100 * (1 + 1e-6))).any():
                    return None, f"history.csv is damaged ({measure.name} outside its range)"
    return history, ""


def _damaged_events(path: Path, result: RunResult) -> list[str]:
    """Event files that are not what the run wrote; who has deleted one knows of it."""
    return [
        name
        for name, written in result.files.items()
        if name.startswith("events.") and Path(name).name == name and isinstance(written, Mapping)
        and (path / name).is_file() and not (path / name).is_symlink()
        and file_crc(path / name, (path / name).stat().st_size) != written.get("crc32")
    ]  # fmt: skip


def _read_choices(path: Path) -> tuple[dict[str, str], str]:
    """The config groups' choices, from the one block of the long hydra.yaml that names them.

    Where it is missing or damaged, there are none, and why not.
    """
    try:
        text = read_bytes(path / ".hydra" / "hydra.yaml").decode()
        check_text(text)
    except OSError:
        return {}, ""
    except (ReadError, SealError, UnicodeDecodeError) as error:
        return {}, f".hydra/hydra.yaml is damaged ({error})"
    _, start, rest = text.partition("\n    choices:\n")
    choices: dict[str, str] = {}
    for line in rest.splitlines() if start else []:
        key, colon, value = line.strip().partition(": ")
        if not line.startswith("      ") or not colon:
            break
        choices[key] = value
    return choices, ""


def _plain(value: Any) -> Any:
    """`value` of a config as something that can be compared and told: lists as tuples."""
    if isinstance(value, list):
        return tuple(_plain(item) for item in value)
    return value if isinstance(value, (bool, int, float, type(None))) else plain_text(value)
