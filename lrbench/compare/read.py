"""From run folders to runs: read what they hold, name what cannot be used.

Nothing here raises for what a run folder contains: a damaged, foreign or unfinished run becomes a
`Problem`, and the rest goes on. Only result.json, history.csv and `.hydra/` are read, so neither
torch nor the training code is needed.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lrbench.compare.find import CompareError
from lrbench.config import flatten
from lrbench.files import run_folder
from lrbench.files.checksum import check_text, file_crc

COLUMNS = (
    "step", "epoch", "lr", "momentum", "train_loss", "train_accuracy", "val_loss", "val_accuracy",
    "seconds",
)  # fmt: skip
NEEDED = ("model", "dataset", "optimizer", "scheduler", "trainer", "seed")  # keys of a config
NUMBERS = (
    "val_loss", "val_accuracy", "test_loss", "test_accuracy", "best_val_loss", "best_val_accuracy",
    "best_val_step", "seconds", "units_per_second",
)  # fmt: skip
# libyaml's loader is ten times as fast as the one in Python.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
class Run:
    """One finished run.

    Attributes:
        name: its path below the folder that was searched.
        status: ``completed`` or ``diverged``.
        config: the flattened config, lists as tuples.
        choices: the choice of each config group, as far as recorded.
        result: result.json.
        history: history.csv, or None where it is missing or not whole.
    """

    path: Path
    name: str
    status: str
    scheduler: str
    seed: int
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    result: Mapping[str, Any]
    history: pd.DataFrame | None


@dataclass
class Found:
    """What the folders hold; `unfinished` are begun runs without a result."""

    runs: list[Run] = field(default_factory=list)
    unfinished: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read(run_folders: Sequence[tuple[Path, str]]) -> Found:
    """Read the run folders that `find` found.

    Raises:
        CompareError: none holds a finished run.
    """
    found = collect(run_folders)
    if not found.runs:
        others = [*found.unfinished, *found.problems]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise CompareError(f"no finished run ({others[0]}{more})")
    return found


def collect(run_folders: Sequence[tuple[Path, str]]) -> Found:
    """What `run_folders` (folder and name) hold, be it nothing."""
    found = Found()
    for path, name in run_folders:
        try:
            run = _read_run(path, name, found)
        except _Unusable as error:
            found.problems.append(Problem(name, str(error)))
        except OSError as error:
            found.problems.append(Problem(name, f"cannot be read ({error.strerror}): set aside"))
        else:
            if run is not None:
                found.runs.append(run)
    return found


def _read_run(path: Path, name: str, found: Found) -> Run | None:
    """One run; None if it has no result yet, which `found.unfinished` then tells."""
    if not (path / ".hydra" / "config.yaml").is_file():
        raise _Unusable("has no .hydra/config.yaml, so what it ran is unknown: set aside")
    config = _read_config(path)
    if not (path / run_folder.RESULT).is_file():
        error = run_folder.last_error(path)
        why = "has no result.json: still running, or cut"
        found.unfinished.append(Problem(name, f"failed: {error}" if error else why))
        return None
    result = _read_result(path)
    if result["status"] not in ("completed", "diverged"):
        why = result.get("error") or result.get("reason") or "no reason recorded"
        found.unfinished.append(Problem(name, f"{result['status']}: {why}"))
        return None
    _check_belongs_together(path, config, result)
    history, trouble = _read_history(path, result)
    if trouble:
        found.problems.append(Problem(name, f"{trouble}: its curves are left out"))
    for events in _damaged_events(path, result):
        what = f"{events} is not what the run wrote: TensorBoard shows less, or wrong"
        found.problems.append(Problem(name, what))
    choices, trouble = _read_choices(path)
    if trouble:
        found.problems.append(Problem(name, f"{trouble}: the names of its choices are left out"))
    return Run(
        path=path,
        name=name,
        status=result["status"],
        scheduler=result["strategy"],
        seed=result["seed"],
        config={key: _hashable(value) for key, value in flatten(config).items()},
        choices=choices,
        result=result,
        history=history,
    )


def _read_config(path: Path) -> dict[str, Any]:
    """What ``.hydra/config.yaml`` says of the run, as nested dicts."""
    try:
        text = (path / ".hydra" / "config.yaml").read_text()
        config: Any = yaml.load(text, Loader=_LOADER)
        if "${" in text:
            resolved = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
            config = resolved if isinstance(resolved, dict) else config
    except OmegaConfBaseException:
        pass  # an interpolation into Hydra itself: compare it as it is written
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise _Unusable(f".hydra/config.yaml is damaged ({reason}): set aside") from error
    if not isinstance(config, dict):
        raise _Unusable(".hydra/config.yaml is damaged (not a mapping): set aside")
    missing = [key for key in NEEDED if key not in config]
    if missing:
        raise _Unusable(f"is no lrbench run (its config has no {', '.join(missing)}): set aside")
    return {str(key): value for key, value in config.items() if key not in run_folder.STEERING}


def _read_result(path: Path) -> dict[str, Any]:
    try:
        result = run_folder.read_result(path)
    except ValueError as error:
        raise _Unusable(f"result.json is damaged ({error}): set aside") from error
    kinds = {"status": str, "strategy": str, "seed": int}
    if result.get("status") in ("completed", "diverged"):
        kinds["steps"] = int
    for key, kind in kinds.items():
        if type(result.get(key)) is not kind:
            raise _Unusable(
                f"result.json is of no lrbench run or an old one ({key}={result.get(key)}): "
                "set aside"
            )
    for key in NUMBERS:
        value: Any = result.get(key)
        if value is None and result["status"] == "diverged":
            continue
        if type(value) not in (int, float) or not math.isfinite(value):
            raise _Unusable(
                f"result.json is damaged ({key}={value} of a {result['status']} run): set aside"
            )
        if "accuracy" in key and not 0 <= value <= 1:
            raise _Unusable(
                f"result.json is damaged ({key}={value} must be from 0 to 1): set aside"
            )
    return result


def _check_belongs_together(path: Path, config: dict[str, Any], result: dict[str, Any]) -> None:
    """Refuse a result whose fingerprint is not its config's: one of them was changed since."""
    recorded = result.get("fingerprint")
    if recorded is None:
        return
    if run_folder.fingerprint(config) == recorded:
        return
    try:  # OmegaConf reads some numbers otherwise, but takes milliseconds
        slow = run_folder.plain_config(run_folder.recorded(path, "config"))
        if run_folder.fingerprint(slow) == recorded:
            return
    except (ValueError, OmegaConfBaseException):
        pass
    raise _Unusable(
        ".hydra/config.yaml is not the config of result.json (another fingerprint): set aside"
    )


def _read_history(path: Path, result: Mapping[str, Any]) -> tuple[pd.DataFrame | None, str]:
    """The history, or None and why not."""
    try:
        data = (path / "history.csv").read_bytes()
    except FileNotFoundError:
        return None, "history.csv is missing"
    if not data:
        return None, "history.csv is empty"
    if not data.endswith(b"\n"):
        return None, "history.csv is cut off in the middle of a line"
    if "files" in result and result["files"]["history.csv"]["crc32"] != zlib.crc32(data):
        return None, "history.csv is damaged (it is not what the run wrote)"
    try:
        history = pd.read_csv(io.BytesIO(data), dtype=np.float64)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' ParserError is a ValueError
        return None, f"history.csv is damaged ({' '.join(str(error).split())})"
    missing = [column for column in COLUMNS if column not in history]
    if missing:
        return None, f"history.csv has no column {', '.join(missing)}"
    steps = history["step"].to_numpy()
    if len(steps) and not (np.diff(steps) > 0).all():  # a NaN is no increase either
        return None, "history.csv is damaged (its steps do not increase)"
    accuracies = history[["train_accuracy", "val_accuracy"]].to_numpy()
    if ((accuracies < 0) | (accuracies > 1)).any():
        return None, "history.csv is damaged (an accuracy outside 0 to 1)"
    last = int(steps[-1]) if len(steps) else 0
    if result["status"] == "completed" and last != result["steps"]:
        return None, f"history.csv ends at update {last} of {result['steps']}"
    return history, ""


def _damaged_events(path: Path, result: Mapping[str, Any]) -> list[str]:
    """Event files that are not what the run wrote; who has deleted one knows of it."""
    return [
        name
        for name, written in result.get("files", {}).items()
        if name != "history.csv"
        and (path / name).exists()
        and file_crc(path / name, (path / name).stat().st_size) != written["crc32"]
    ]


def _read_choices(path: Path) -> tuple[dict[str, str], str]:
    """The config groups' choices, from the one block of the long hydra.yaml that names them.

    Where it is missing or damaged, there are none, and why not.
    """
    try:
        text = (path / ".hydra" / "hydra.yaml").read_text()
        check_text(text)
    except OSError:
        return {}, ""
    except ValueError as error:
        return {}, f".hydra/hydra.yaml is damaged ({error})"
    _, start, rest = text.partition("\n    choices:\n")
    choices: dict[str, str] = {}
    for line in rest.splitlines() if start else []:
        key, colon, value = line.strip().partition(": ")
        if not line.startswith("      ") or not colon:
            break
        choices[key] = value
    return choices, ""


def _hashable(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    return str(value) if isinstance(value, dict) else value
