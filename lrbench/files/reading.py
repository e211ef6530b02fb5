"""Reading what a run folder holds, whoever wrote it: plain data, of limited size, from real files.

A folder from somebody else may hold pipes, links, nested aliases or terminal escapes. Whatever is
read of a run folder's files goes through here.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

MEBIBYTE = 2**20
_ALIAS = re.compile(r"(^|[\s\[{,:-])[&*]\w")


class ReadError(ValueError):
    """A file that is not read, and why; the text begins with what is wrong, such as "is a pipe"."""


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


def parse_yaml(text: str) -> Any:
    """The data that a YAML text describes, numbers read as OmegaConf reads them.

    Raises:
        ReadError: it is no YAML, or holds anchors and aliases, with which a small file can describe
            an endless one; lrbench writes none.
    """
    try:
        if _ALIAS.search(text) and any(
            getattr(event, "anchor", None) for event in yaml.parse(text, Loader=_Loader)
        ):
            raise ReadError("holds anchors and aliases, which are not read")
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ReadError):
            raise
        raise ReadError(f"is no YAML ({' '.join(str(error).split())})") from error


# libyaml's loader is ten times as fast as the one in Python, and limits the depth.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as OmegaConf reads it: 1e-3 is a number, and a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def plain_text(text: object, limit: int = 300) -> str:
    """`text` on one line, without what a terminal obeys: escapes, line breaks, marks of direction.

    At most `limit` characters; what is left out is marked by an ellipsis.
    """
    shown = "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in str(text))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
