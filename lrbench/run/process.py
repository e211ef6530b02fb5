"""The process of a user's own training loop: its rank, its hold on the folder, its versions."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import lrbench
from lrbench.files import run_folder
from lrbench.files.result import read_result

VARIABLE = "LRBENCH_RUN"  # the folder of the run for which lrbench started this program


def rank() -> int:
    """The number of this process among those of one run, as launchers say it; 0 if it is alone."""
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"):
        value = os.environ.get(name, "")
        if value.isdigit():
            return int(value)
    return 0


def claim(folder: Path, overwrite: bool) -> int | None:
    """Make the run folder and lock it, unless lrbench itself holds it; returns the lock's handle.

    Raises:
        ValueError: it is in use, holds a finished run that may not be overwritten, or other files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = None
    if not os.environ.get(VARIABLE):
        try:
            handle = run_folder.lock(folder)
        except run_folder.FolderError as error:
            if "is in use" not in str(error):
                raise
            raise ValueError(
                f"{folder} is in use by another process, or by a run that this one has not closed: "
                "begin it by 'with lrbench.start(...) as run:', or choose another folder"
            ) from None
    try:
        _check(folder, overwrite)
        (folder / run_folder.HIDDEN).mkdir(exist_ok=True)  # from now on it is lrbench's
        (folder / run_folder.RESULT).unlink(missing_ok=True)
    except BaseException:
        if handle is not None:
            os.close(handle)
        raise
    return handle


def _check(folder: Path, overwrite: bool) -> None:
    """Refuse a folder with a finished run, or with files under a run's names that are no run's."""
    result = folder / run_folder.RESULT
    try:
        read_result(result)
    except FileNotFoundError:
        theirs = not (folder / run_folder.HIDDEN).is_dir()
    except ValueError:
        theirs = True
    else:
        if not overwrite:
            raise ValueError(
                f"{folder} holds a finished run: choose another folder, or write "
                "lrbench.start(..., overwrite=True) to train it anew"
            )
        theirs = False
    for path in sorted(folder.iterdir()):
        own = path.name in (run_folder.RESULT, run_folder.HISTORY) or path.name.startswith(
            run_folder.EVENTS
        )
        if own and (theirs or path.is_symlink()):
            raise ValueError(
                f"{folder} holds {path.name}, which no run of lrbench has written: choose another "
                "folder"
            )


def environment() -> dict[str, Any]:
    """Versions of what the process has imported, and the platform."""
    found = {"lrbench": lrbench.__version__, "python": platform.python_version()}
    for name in ("torch", "jax", "tensorflow", "keras", "numpy"):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return {**found, "platform": platform.platform()}
