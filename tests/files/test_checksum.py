"""What proves itself: any flipped bit and any cut is found."""

import json
import zlib
from pathlib import Path

import pytest

from lrbench.files.checksum import (
    SealError,
    check_object,
    check_text,
    file_crc,
    sealed_object,
    sealed_text,
)

TEXT = "seed: 0\nname: größe\n"
OBJECT = {"status": "completed", "loss": 0.1, "none": None, "list": [1, {"a": 1e-5}], "name": "é"}


def flips(data: bytes) -> list[bytes]:
    """`data` with each of its bits flipped in turn."""
    found = []
    for i in range(8 * len(data)):
        changed = bytearray(data)
        changed[i // 8] ^= 1 << i % 8
        found.append(bytes(changed))
    return found


def test_text_with_a_flipped_bit_or_an_end_cut_off_is_refused() -> None:
    sealed = sealed_text(TEXT)
    check_text(sealed)
    assert sealed == f"{TEXT}# CRC-32 of the lines above: {zlib.crc32(TEXT.encode()):08x}\n"
    data = sealed.encode()
    for damaged in [*flips(data), *(data[:i] for i in range(len(data)))]:
        with pytest.raises((SealError, UnicodeDecodeError)):
            check_text(damaged.decode())


def test_an_object_with_a_flipped_bit_is_refused() -> None:
    sealed = sealed_object(OBJECT)
    check_object(sealed)
    text = json.dumps(sealed, indent=2)
    check_object(json.loads(text))
    found = 0
    for damaged in flips(text.encode()):
        try:
            content = json.loads(damaged)
        except ValueError:  # no JSON, or no UTF-8
            continue
        if content == sealed:  # a space that has become another
            continue
        with pytest.raises(SealError):
            check_object(content)
        found += 1
    assert found > 100  # most flips inside a number or a name leave valid JSON


def test_the_crc_of_a_files_beginning(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # 2.3 MB: several blocks
    (tmp_path / "file").write_bytes(content)
    for size in (0, 1, 2**20, 2**20 + 1, len(content)):
        assert file_crc(tmp_path / "file", size) == zlib.crc32(content[:size])
