"""The process of a user's own training loop: its rank, its hold on the folder, its versions."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import lrbench
from lrbench.files import run_folder

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
        handle = run_folder.lock(folder)
    result = folder / run_folder.RESULT
    if result.exists() and not overwrite:
        if handle is not None:
            os.close(handle)
        raise ValueError(
            f"{folder} holds a finished run: choose another folder, or write "
            "lrbench.start(..., overwrite=True) to train it anew"
        )
    result.unlink(missing_ok=True)
    return handle


def environment() -> dict[str, Any]:
    """Versions of what the process has imported, and the platform."""
    found = {"lrbench": lrbench.__version__, "python": platform.python_version()}
    for name in ("torch", "jax", "tensorflow", "keras", "numpy"):
        if name in sys.modules:
            found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return {**found, "platform": platform.platform()}
