"""Files from somebody else: only real ones of limited size are read, and their text stays text."""

import json
import os
from pathlib import Path

import pytest

from lrbench.files.checksum import sealed_object
from lrbench.files.reading import ReadError, parse_yaml, plain_text, read_bytes
from lrbench.files.result import read_result


def test_only_regular_files_of_limited_size_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    assert read_bytes(file, 5) == b"12345"
    with pytest.raises(ReadError, match=r"^has 5 bytes, and at most 4 are read"):
        read_bytes(file, 4)
    os.mkfifo(tmp_path / "pipe")  # opening one for reading waits for a writer
    with pytest.raises(ReadError, match=r"^is not a regular file"):
        read_bytes(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(file)
    with pytest.raises(ReadError, match=r"^is a link"):
        read_bytes(tmp_path / "link")
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "none")


def test_yaml_is_plain_data_without_aliases() -> None:
    text = "a: 1e-3\nb: 2024-01-01\nc: [R&D, '*all']\n"
    assert parse_yaml(text) == {"a": 0.001, "b": "2024-01-01", "c": ["R&D", "*all"]}
    bomb = "a: &a [x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for bad, reason in ((bomb, "aliases"), ("- " * 50_000, "nesting"), ("a: [", "is no YAML")):
        with pytest.raises(ReadError, match=reason):
            parse_yaml(bad)


def test_text_cannot_steer_a_terminal() -> None:
    assert plain_text("a\x1b[31mb\nc\u202ed_é") == "a�[31mb c�d_é"
    assert plain_text("x" * 500, 10) == "x" * 9 + "…"


def test_a_result_is_read_with_or_without_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    content = {"strategy": "wsd", "seed": 1, "status": "completed", "steps": 9, "val_loss": 2.5}
    path.write_text(json.dumps(content))
    result, sealed = read_result(path)
    assert (result.strategy, result.value("val_loss"), sealed) == ("wsd", 2.5, False)
    path.write_text(json.dumps(sealed_object(content)))
    result, sealed = read_result(path)
    assert (dict(result.more), sealed) == ({}, True)
    for text, reason in (
        (path.read_text().replace("2.5", "2.4"), r"^it is damaged: its checksum is of other"),
        ("[" * 100_000, r"nested too deeply"),
        (json.dumps({**content, "val_loss": 10**400}), r"too large"),
        (json.dumps({**content, "steps": 2**63}), r"^steps=.* must be from 0 to 2\^63 - 1"),
        (json.dumps({**content, "val_accuracy": 97.2}), r"^val_accuracy=97.2 must be from 0 to 1$"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=reason):
            read_result(path)
