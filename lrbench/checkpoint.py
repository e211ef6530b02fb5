"""Files that are whole or absent: atomic writing, and checkpoints that prove themselves on load."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

SCRATCH = ".tmp"  # how the name of a file ends that is not complete yet


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, and why."""


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that takes `path`'s place only when it is complete and on the disk.

    Whatever goes wrong on the way (a full disk, a kill), `path` keeps its earlier content.

    Raises:
        OSError: the file cannot be written; its message names `path`.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}{SCRATCH}")
    try:
        with scratch.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            scratch.unlink()
        if isinstance(error, OSError):
            raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from error
        raise


def _sync_folder(folder: Path) -> None:
    """Bring a renaming in `folder` to the disk, so that it outlasts a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_scratch(folder: Path) -> None:
    """Delete what killed processes have begun to write in `folder` and not completed."""
    for path in folder.glob(f".*{SCRATCH}"):
        path.unlink(missing_ok=True)


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
    except Exception as error:  # torch raises half a dozen kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is cut short or damaged ({reason}); {remedy}") from error
    return state
