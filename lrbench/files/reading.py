"""Reading what a run folder holds, whoever wrote it: plain data, of limited size, from real files.

A folder from somebody else may hold pipes, links, nested aliases or terminal escapes. Whatever is
read of a run folder's files goes through here.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lrbench.config.plain_yaml import ReadError as ReadError
from lrbench.config.plain_yaml import parse_yaml as parse_yaml

MEBIBYTE = 2**20


def read_bytes(path: Path, limit: int = MEBIBYTE) -> bytes:
    """The content of the regular file at `path`, which is no link and has at most `limit` bytes.

    Raises:
        FileNotFoundError: there is none.
        ReadError: it is a link, a pipe, a device or too large.
        OSError: it cannot be read; the message names `path`.
    """
    if path.is_symlink():
        raise ReadError("is a link, and only files that lie in the folder itself are read")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise ReadError("is not a regular file")
        if status.st_size > limit:
            raise ReadError(f"has {status.st_size:,} bytes, and at most {limit:,} are read")
        try:
            return file.read(limit)
        except OSError as error:
            raise OSError(error.errno, f"cannot read {path}: {error.strerror}") from error


def plain_text(text: object, limit: int = 300) -> str:
    """`text` on one line, without what a terminal obeys: escapes, line breaks, marks of direction.

    At most `limit` characters; what is left out is marked by an ellipsis.
    """
    shown = str(text)
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
