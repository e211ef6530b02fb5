"""What a range test leaves in its folder: settings, points, the picture, TensorBoard's events."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from lrbench.config import ConfigError
from lrbench.files.atomic import atomic_write
from lrbench.files.checksum import check_object, sealed_object
from lrbench.files.reading import read_bytes
from lrbench.find_lr.tape import Ramp

POINTS, SETTINGS = "points.csv", "settings.json"
COLUMNS = ("seed", "step", "lr", "loss", "smoothed_loss")


def output_folder(asked: Path, settings: Mapping[str, Any]) -> Path:
    """The folder to write to: `asked`, or one beside it where that holds a test of other settings.

    It is new, empty, or of an earlier test of the same settings, whose files may be replaced.

    Raises:
        ConfigError: `asked` is something else.
    """
    for number in count(1):
        folder = asked if number == 1 else asked.with_name(f"{asked.name}-{number}")
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"output={folder} is a file: name a folder")
        if not folder.exists() or not any(folder.iterdir()):
            break
        if not (folder / POINTS).is_file():
            raise ConfigError(
                f"output={folder} holds something else than a range test: choose another folder, "
                "or output=null to write nothing"
            )
        if _recorded(folder) == settings:
            break
    return folder


def _recorded(folder: Path) -> Any:
    """The settings of the range test in `folder`; None where they are missing or damaged."""
    try:
        content = json.loads(read_bytes(folder / SETTINGS))
        check_object(content)
        return content["settings"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Record what was tested, with a checksum."""
    with atomic_write(folder / SETTINGS) as file:
        text = json.dumps(sealed_object({"settings": settings}), indent=2)
        file.write(text.encode() + b"\n")


def write_points(folder: Path, curves: Sequence[Ramp]) -> Path:
    """Every update of every ramp, one row each; numbers in full, so that they read back equal."""
    lines = [",".join(COLUMNS)]
    for curve in curves:
        rows = zip(curve.lr.tolist(), curve.loss.tolist(), curve.smoothed.tolist(), strict=True)
        lines += [
            f"{curve.seed},{step},{lr!r},{loss!r},{smoothed!r}"
            for step, (lr, loss, smoothed) in enumerate(rows, start=1)
        ]
    path = folder / POINTS
    with atomic_write(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
    return path


def move_events(scratch: Path, folder: Path) -> None:
    """Put each seed's events of `scratch` into `folder`, in place of an earlier test's."""
    for old in folder.glob("seed=*/events.out.tfevents.*"):
        old.unlink()
    for source in scratch.glob("seed=*/events.out.tfevents.*"):
        target = folder / source.parent.name
        target.mkdir(exist_ok=True)
        shutil.move(source, target / source.name)
    for seed in folder.glob("seed=*"):
        if seed.is_dir() and not any(seed.iterdir()):
            seed.rmdir()
