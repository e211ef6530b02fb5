"""How the command's arguments are rewritten for Hydra."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lrbench.cli.mistakes import explain
from lrbench.cli.sweep_folders import prepare
from lrbench.config import ConfigError
from lrbench.files import run_folder


def option(arguments: list[str], name: str) -> str:
    (value,) = [a.partition("=")[2] for a in arguments if a.startswith(f"{name}=")]
    return value.strip("'")


def test_a_single_run_is_left_alone() -> None:
    arguments = ["--cfg", "job", "scheduler=onecycle", "trainer.length=5 epochs"]
    assert prepare(arguments) == arguments
    assert prepare([]) == []


def test_options_stand_before_the_overrides() -> None:
    """argparse takes overrides in one stretch only."""
    arguments = prepare(["seed=1,2", "-m", "lr=0.1,0.2", "-c", "job"])
    assert arguments[:3] == ["--multirun", "--cfg", "job"]
    assert all("=" in a for a in arguments[3:])


def test_an_experiment_names_its_own_folder_until_more_is_asked_for() -> None:
    assert prepare(["experiment=four_way"]) == ["experiment=four_way"]
    arguments = prepare(["experiment=four_way", "rerun=failed", "hydra/launcher=joblib"])
    assert len(arguments) == 3
    changed = prepare(["experiment=four_way", "dataset=mnist", "optimizer.lr=0.1,0.2"])
    assert option(changed, "hydra.sweep.dir").startswith("outputs/sweep-four_way-mnist-")
    assert "lr=${optimizer.lr},seed=${seed}" in option(changed, "hydra.sweep.subdir")


def test_a_sweep_is_named_after_its_command_and_found_again() -> None:
    command = ["-m", "scheduler=cosine,onecycle", "seed=range(5)", "dataset=mnist"]
    first = option(prepare(command), "hydra.sweep.dir")
    assert first.startswith("outputs/sweep-mnist-")
    assert option(prepare(command[:1] + command[:0:-1]), "hydra.sweep.dir") == first
    assert option(prepare([*command, "hydra.launcher.n_jobs=2"]), "hydra.sweep.dir") == first
    assert option(prepare([*command, "rerun=failed"]), "hydra.sweep.dir") == first
    assert option(prepare([*command, "seed=7"]), "hydra.sweep.dir") != first


@pytest.mark.parametrize(
    ("swept", "subdir"),
    [
        (
            ["optimizer.lr=0.1,0.2", "seed=range(3)"],
            "${hydra:runtime.choices.scheduler}/lr=${optimizer.lr},seed=${seed}",
        ),
        (
            ["model=mlp,resnet8"],
            "${hydra:runtime.choices.scheduler}/model=${hydra:runtime.choices.model},seed=${seed}",
        ),
        (
            ["a.size=1,2", "b.size=1,2"],
            "${hydra:runtime.choices.scheduler}/a.size=${a.size},b.size=${b.size},seed=${seed}",
        ),
    ],
)
def test_every_swept_key_is_in_the_jobs_folder(swept: list[str], subdir: str) -> None:
    assert option(prepare(["--multirun", *swept]), "hydra.sweep.subdir") == subdir


def test_scheduler_and_seed_alone_are_what_the_config_names_anyway() -> None:
    arguments = prepare(["-m", "scheduler=a,b", "seed=1,2", "optimizer.lr=0.5"])
    assert not any(a.startswith("hydra.sweep.subdir") for a in arguments)


def test_the_users_own_folders_win() -> None:
    command = ["--multirun", "seed=1,2", "hydra.sweep.dir=mine", "hydra.sweep.subdir=${seed}"]
    assert prepare(command) == command


def test_resuming_runs_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("seed: 0\n")
    arguments = prepare([f"resume={tmp_path}"])
    assert option(arguments, "hydra.run.dir") == str(tmp_path)
    overrides = ["scheduler=onecycle", "seed=3"]
    run_folder.write_yaml(tmp_path / ".hydra" / "overrides.yaml", overrides)
    arguments = prepare([f"resume={tmp_path}", "seed=1", "resume_policy=keep"])
    kept = {a for a in arguments if not a.startswith(("resume=", "hydra."))}
    assert kept == {"scheduler=onecycle", "seed=1", "resume_policy=keep"}
    with pytest.raises(ConfigError, match="nowhere is not a run folder"):
        prepare(["resume=nowhere"])


def test_resume_null_is_no_resume() -> None:
    assert prepare(["resume=null"]) == ["resume=null"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENOSPC, "cannot write a/c.pt: No space left on device"),
            "cannot write a/c.pt: No space left on device; free some space and run it again",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: Permission denied"),
        (ValueError("first line\nsecond line"), "first line"),
        (ValueError(), "ValueError"),
    ],
)
def test_explain_is_one_line(error: Exception, line: str) -> None:
    assert explain(error) == line
