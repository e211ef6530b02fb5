"""Runs whose loop is the user's: functions and commands, swept, refused, repeated."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from lrbench.__main__ import main

PROGRAM = """
import lrbench, torch

def train():
    run = lrbench.start(measure="loss")
    with run:
        torch.manual_seed(run.seed)
        weight = torch.nn.Parameter(torch.randn(4))
        optimizer = torch.optim.SGD([weight], lr=run.lr)
        scheduler = run.scheduler(optimizer)
        for step in range(1, run.total_steps + 1):
            loss = (weight * run.config.get("scale", 1.0)).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            run.log(step, train_loss=loss.item())
            if step % 4 == 0:
                run.evaluate(step, val_loss=loss.item())
        run.finish(test_loss=loss.item())

def fail():
    raise KeyError("lost")

def idle():
    pass

if __name__ == "__main__":
    train()
"""
COMMON = ["trainer.length=8 steps", "optimizer.lr=0.1"]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["lrbench"])
    sys.modules.pop("my_program", None)
    return tmp_path


def _function(name: str = "train") -> list[str]:
    return ["loop=function", f"loop.target=my_program.{name}", "trust=my_program"]


def test_function_and_command_are_swept_and_compared_alike(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = ["-m", "scheduler=cosine,plateau", "seed=1", "+loop.config.scale=0.5", *COMMON]
    main([*swept, *_function(), "hydra.sweep.dir=functions"])
    told = capsys.readouterr().out
    assert "test loss" in told
    assert "resnet8" not in told  # the model that lrbench's own loop would train
    line = f"{sys.executable} my_program.py"
    main([*swept, "loop=command", f"loop.line='{line}'", "hydra.sweep.dir=commands"])
    for strategy in ("cosine", "plateau"):
        a, b = (next((program / kind / strategy).iterdir()) for kind in ("functions", "commands"))
        histories = [pd.read_csv(path / "history.csv").drop(columns="seconds") for path in (a, b)]
        pd.testing.assert_frame_equal(*histories)
        config = (a / ".hydra" / "config.yaml").read_text()
        assert "scale: 0.5" in config
        assert "resnet" not in config
    before = (a / "result.json").stat().st_mtime_ns
    other = next((program / "functions" / "cosine").iterdir())
    shutil.rmtree(other)
    main([*swept, *_function(), "hydra.sweep.dir=functions"])  # trains what is missing alone
    assert (a / "result.json").stat().st_mtime_ns == before
    assert json.loads((other / "result.json").read_text())["status"] == "completed"


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*_function()], "optimizer.lr=None must be the run's peak lr: write optimizer.lr=0.001"),
        ([*_function(), "optimizer.lr=0.1"], "trainer.length has no value"),
        (
            ["loop=function", "loop.target=os.system", *COMMON],
            "loop.target=os.system is not allowed",
        ),
        ([*_function("fail"), *COMMON], "loop.target=my_program.fail: KeyError: 'lost'"),
        ([*_function("idle"), *COMMON], "has ended without a result: it must call lrbench.start"),
        (
            ["loop=command", "loop.line='ls /none'", *COMMON],
            "loop.line=ls /none ended with exit code 2",
        ),
        (["loop=command", *COMMON], "loop.line has no value"),
        (["loop=command", "loop.line='nosuch x'", *COMMON], "cannot be started (No such file or"),
        (["loop=command", "loop.line='a \"'", *COMMON], "cannot be split into words"),
        (["loop=function", *COMMON], "loop.target has no value"),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_line(words: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*words, "hydra.run.dir=run"])
    assert message in str(stop.value)
    assert "\n" not in str(stop.value)


def test_a_command_in_a_file_is_refused(program: Path) -> None:
    folder = program / "conf" / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /loop: command\n"
        "loop:\n  line: touch ran\noptimizer:\n  lr: 0.1\ntrainer:\n  length: 8 steps\n"
    )
    with pytest.raises(SystemExit, match="stands in a file, and a command counts on the command"):
        main(["--config-dir", "conf", "experiment=evil"])
    assert not (program / "ran").exists()


def test_a_study_times_tunes_and_judges_a_function(
    program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrbench.study.__main__ import main as study

    words = [*COMMON, *_function(), "study.strategies=[cosine,linear]", "study.lrs=[0.1]"]
    words += ["study.tuning_seeds=[1000]", "study.final_seeds=[0,1]", "study.noise_seeds=[]"]
    words += ["study.max_extensions=0", "study.untuned=false", "hydra.sweep.dir=study"]
    monkeypatch.setattr("lrbench.study.probe.SECONDS", 0.05)
    study([*words, "dry_run=true"])
    plan = capsys.readouterr().out
    assert "a run of 8 steps:" in plan
    assert "need lrbench's own training loop: they are left out" in plan
    study(words)
    told = capsys.readouterr().out
    assert "test loss" in told
    assert "loop.target=my_program.train" in told  # the command that it recommends
    assert len(list(program.glob("study/**/result.json"))) == 6
