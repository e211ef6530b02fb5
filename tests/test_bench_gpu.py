"""The benchmark for GPUs, rehearsed on a CPU with the same code as far as it goes."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "scripts" / "bench"


def test_the_gpu_benchmark_can_be_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [
        "gpu.py", "--device", "cpu", "--tiny", "--output", "gpu.json",
    ])  # fmt: skip
    runpy.run_path(str(BENCH / "gpu.py"), run_name="__main__")
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["speed of lenet"]["fp32"]["images_per_second"] > 0
    assert found["speed of gpt_tiny"]["bf16"]["tokens_per_second"] > 0
    assert found["resumed, deterministic"]["bit_identical"]
    assert found["several runs"]["1_at_once_seconds"] > 0
    assert found["waits for the card"] == {"not_taken": "only a GPU is waited for"}
    assert "resumed, deterministic" in capsys.readouterr().out
