"""Files of weights to begin training with: which files are some, and what tells them apart."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from lrbench.config import ConfigError

ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
DIGEST_CHARACTERS = 16  # of SHA-256, hexadecimal


def is_weights_file(value: Any) -> bool:
    """Whether `value`, of a model's key ``weights``, names a file by its ending."""
    return isinstance(value, str) and value.endswith(ENDINGS)


def digest(path: str) -> str:
    """The SHA-256 of the file at `path`, shortened; read once, unless it changes.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        found = Path(path).stat()
        return _digest(path, found.st_mtime_ns, found.st_size)
    except OSError as error:
        raise ConfigError(f"model.weights={path} cannot be read: {error.strerror}") from error


@functools.lru_cache(maxsize=64)
def _digest(path: str, *_: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_CHARACTERS]
