"""One home for building a run's parts: every command says the same of a wrong one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lrbench.files import run_folder

CASES = [("", "task"), ("preview", "optimizer"), ("preview", "scheduler"), ("preview", "trainer")]
CASES += [(command, part) for command in ("find_lr", "study") for part in ("model", "dataset")]


@pytest.mark.parametrize(("command", "part"), CASES)
def test_every_command_answers_a_wrong_part_in_the_same_line(
    command: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [f"{part}._target_=lrbench.dataset.Augment"]
    words += ["hydra/job_logging=none", "hydra/hydra_logging=none"] * (command == "")
    words += ["dry_run=true", "model=mlp"] * (command == "study")
    name = f"lrbench.{command}".rstrip(".")
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(f"{name}.__main__").main(words)
    line = str(caught.value.code)
    assert line.startswith(f"{name}: ")
    assert f"{part}._target_=lrbench.dataset.Augment is not a lrbench.{part}." in line


def test_values_through_resolvers_keep_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEED", "3")
    monkeypatch.setenv("LR", "1e-3")
    cfg = OmegaConf.create(
        {
            "seed": "${oc.env:SEED}",
            "lr": ["${oc.env:LR}"],
            "text": "3",
            "length": "${oc.env:SEED} epochs",
            "copy": "${text}",
            "resume": None,
        }
    )
    plain = run_folder.plain_config(cfg)
    assert plain == {"seed": 3, "lr": [0.001], "text": "3", "length": "3 epochs", "copy": "3"}
