"""What a range test leaves in its folder: points.csv, the picture, TensorBoard's events."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from lrbench.config import ConfigError
from lrbench.files.atomic import atomic_write
from lrbench.find_lr.tape import Ramp

POINTS = "points.csv"
COLUMNS = ("seed", "step", "lr", "loss", "smoothed_loss")


def check_folder(folder: Path) -> None:
    """See that `folder` is new, empty, or an earlier range test's, whose files may be replaced.

    Raises:
        ConfigError: it is something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"output={folder} is a file: name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / POINTS).is_file():
        raise ConfigError(
            f"output={folder} holds something else than a range test: choose another folder, or "
            "output=null to write nothing"
        )


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
