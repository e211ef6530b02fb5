"""Files that are whole or absent: atomic writing, and checkpoints that prove themselves on load."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from lrbench.files.atomic import atomic_write


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, lists and dicts of them) to `path`, atomically."""
    import torch

    with atomic_write(path) as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's zip writer hides the OSError of a full disk
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, onto the CPU, running no code from the file.

    Raises:
        CheckpointError: `path` is missing, cut short or damaged (every member's CRC is checked).
    """
    import torch

    remedy = "delete the folder and start the run again"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"{path}: {damaged} fails its checksum; {remedy}")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist: there is nothing to resume") from None
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is cut short or damaged ({reason}); {remedy}") from error
    return state
