"""Checksums that a run's files carry of themselves, so that damage is not taken for a setting."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEY = "checksum"  # in a JSON object: CRC-32 of the rest
_LINE = re.compile(r"# CRC-32 of the lines above: ([0-9a-f]{8})\n")
_BLOCK_BYTES = 2**20


class SealError(ValueError):
    """Content that is not what was written."""


def sealed_text(text: str) -> str:
    """`text`, whose format has comments after ``#``, with a last line that proves it."""
    return f"{text}# CRC-32 of the lines above: {_crc(text)}\n"


def check_text(text: str) -> None:
    """See that the last line proves the others.

    Raises:
        SealError: it does not, or is missing.
    """
    content, line = text[: -len(sealed_text(""))], text[-len(sealed_text("")) :]
    match = _LINE.fullmatch(line)
    if match is None:
        raise SealError("it does not end with its checksum")
    if match[1] != _crc(content):
        raise SealError("its checksum is of other content")


def sealed_object(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content`, which JSON can express, with a checksum of itself."""
    return {**content, KEY: _crc(json.dumps(content, sort_keys=True))}


def check_object(content: Mapping[str, Any]) -> None:
    """See that a parsed `sealed_object` is what was written.

    Raises:
        SealError: it is not, or has no checksum.
    """
    if KEY not in content:
        raise SealError("it has no checksum")
    rest = {key: value for key, value in content.items() if key != KEY}
    if content[KEY] != _crc(json.dumps(rest, sort_keys=True)):
        raise SealError("its checksum is of other content")


def file_crc(path: Path, num_bytes: int) -> int:
    """CRC-32 of the first `num_bytes` of the file at `path`."""
    crc = 0
    with path.open("rb") as file:
        while num_bytes > 0 and (block := file.read(min(num_bytes, _BLOCK_BYTES))):
            crc = zlib.crc32(block, crc)
            num_bytes -= len(block)
    return crc


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"
