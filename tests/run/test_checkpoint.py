"""Checkpoints are whole or absent, and damage is told."""

import errno
import resource
import signal
from pathlib import Path

import pytest
import torch

from lrbench.files.atomic import atomic_write
from lrbench.run.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

STATE = {"step": 7, "weights": torch.arange(50_000.0), "losses": [0.5, float("nan")], "none": None}


def test_round_trip(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.pt", STATE)
    loaded = load_checkpoint(tmp_path / "c.pt")
    assert loaded["step"] == 7
    assert torch.equal(loaded["weights"], STATE["weights"])  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"c\.pt does not exist: there is nothing to resume"):
        load_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("keep", [0, 1, 100, 5_000, -1])
def test_truncated(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"c\.pt is cut short or damaged"):
        load_checkpoint(path)


def test_one_flipped_bit_in_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    save_checkpoint(path, STATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(path)


class Planted:
    """Would create a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, (str(self.path), "w"))  # type: ignore[return-value]


def test_runs_no_code_from_the_file(tmp_path: Path) -> None:
    torch.save({"x": Planted(tmp_path / "owned")}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "c.pt")
    assert not (tmp_path / "owned").exists()


def test_a_failed_write_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as file:
            file.write(b"half")
            raise RuntimeError("killed here")

    with pytest.raises(RuntimeError, match="killed here"):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_a_full_disk_leaves_the_former_checkpoint(tmp_path: Path) -> None:
    """A file-size limit stands in for the full disk: the kernel refuses the write alike."""
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"step": 1})
    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, old_limit[1]))
        with pytest.raises(OSError, match=r"cannot write .*c\.pt: File too large") as caught:
            save_checkpoint(path, STATE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert caught.value.errno == errno.EFBIG
    assert load_checkpoint(path) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]
