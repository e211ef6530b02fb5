"""The command in two processes, as a user of torchrun meets it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from processes import Started, free_port, start_module, start_two

from lrbench import __main__ as command
from lrbench.run import sweep
from lrbench.trainer import distributed

LONG = ["model=mlp", "trainer.length=20 epochs", "hydra.run.dir=run"]


def wait_for(process: Started, beginning: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.lstrip().startswith(beginning):
            return
    pytest.fail(f"the run ended before {beginning}")


def finish_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The result of `folder`, resumed in this process; its history has every update once."""
    monkeypatch.chdir(folder.parent)
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    monkeypatch.setattr(sys, "argv", ["lrbench", f"resume={folder.name}", *quiet])
    command.main()
    rows = (folder / "history.csv").read_text().splitlines()[1:]
    steps = [int(row.split(",")[0]) for row in rows]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400
    result: dict[str, object] = json.loads((folder / "result.json").read_text())
    return result


def test_a_signal_to_torchrun_saves_once_and_one_process_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = ["--nproc-per-node=2", f"--master-port={free_port()}", "-m", "lrbench", *LONG]
    process = start_module("torch.distributed.run", *launch, cwd=tmp_path)
    wait_for(process, "20/")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None
    said = process.stdout.read()
    assert process.wait() != 0
    assert said.count("resume with: python -m lrbench resume=run") == 1
    checkpoint = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert 20 <= checkpoint["state"]["step"] < 400
    assert not (tmp_path / "run" / "result.json").exists()
    log = (tmp_path / "run" / "lrbench.log").read_text()
    assert log.count("2 processes, the first on cpu") == 1
    result = finish_alone(tmp_path / "run", monkeypatch)
    assert result["status"] == "completed"
    assert result["environment"]["num_processes"] == 1  # type: ignore[index]


def test_a_mistake_is_told_once_and_nobody_waits(tmp_path: Path) -> None:
    leader, other = start_two("lrbench", "trainer.batch_size=65", cwd=tmp_path)
    assert leader.stdout is not None
    assert other.stdout is not None
    told, silence = leader.stdout.read(), other.stdout.read()
    gloo = "[Gloo] Rank "  # torch 2.8's tells of its connections
    assert [line for line in told.splitlines() if not line.startswith(gloo)] == [
        "lrbench: trainer.batch_size=65 must be a multiple of 2: 2 processes"
    ]
    assert not [line for line in silence.splitlines() if not line.startswith(gloo)]
    assert leader.wait() == 1
    assert not any((tmp_path / "outputs").iterdir())


def test_when_one_process_dies_the_other_ends_and_says_so(tmp_path: Path) -> None:
    saving = "trainer.checkpoint_interval_seconds=0"
    leader, other = start_two("lrbench", *LONG, "trainer.length=20000 epochs", saving, cwd=tmp_path)
    wait_for(leader, "20/")
    other.kill()
    assert leader.stdout is not None
    said = leader.stdout.read()
    assert leader.wait() == 1
    last = said.splitlines()[-1]
    assert last.startswith("lrbench: process 0 of 2 lost the others (")
    assert last.endswith("; go on with resume=run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_sweep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "num_processes", lambda: 2)
    with pytest.raises(SystemExit, match=r"^lrbench: a sweep \(-m\) cannot run under torchrun"):
        sweep.Watch().on_multirun_start(OmegaConf.create({}))
