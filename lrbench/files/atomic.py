"""Files that are whole or absent: atomic writing, and the removal of what was left half-written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

SCRATCH = ".tmp"  # how the name of a file ends that is not complete yet


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
    """Bring a renaming in `folder` to the disk, so that it outlasts a power cut.

    Some file systems (FUSE, SMB) cannot do so for a folder, or not for one without read
    permission: there the renaming is as safe as they make it.
    """
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_scratch(folder: Path) -> None:
    """Delete what killed processes have begun to write in `folder` and not completed."""
    for path in folder.glob(f".*{SCRATCH}"):
        path.unlink(missing_ok=True)
