"""How the command's arguments are rewritten for Hydra."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lrbench.cli.mistakes import explain
from lrbench.cli.sweep_folders import prepare
from lrbench.config import ConfigError


def option(arguments: list[str], name: str) -> str:
    (value,) = [a.partition("=")[2] for a in arguments if a.startswith(f"{name}=")]
    return value.strip("'")


def test_a_single_run_is_left_alone() -> None:
    arguments = ["--cfg", "job", "scheduler=onecycle", "trainer.length=5 epochs"]
    assert prepare(arguments).argv == arguments
    assert prepare([]).argv == []


def test_options_stand_before_the_overrides() -> None:
    """argparse takes overrides in one stretch only."""
    arguments = prepare(["seed=1,2", "-m", "lr=0.1,0.2", "-c", "job"]).argv
    assert arguments[:3] == ["--multirun", "--cfg", "job"]
    assert all("=" in a for a in arguments[3:])


def test_an_experiment_names_its_own_folder_until_more_is_asked_for() -> None:
    assert prepare(["experiment=four_way"]).argv == ["experiment=four_way"]
    assert len(prepare(["experiment=four_way", "rerun=failed", "hydra/launcher=joblib"]).argv) == 3
    changed = prepare(["experiment=four_way", "dataset=mnist", "optimizer.lr=0.1,0.2"]).argv
    assert option(changed, "hydra.sweep.dir").startswith("outputs/sweep-four_way-mnist-")


def test_a_sweep_is_named_after_its_command_and_found_again() -> None:
    command = ["-m", "scheduler=cosine,onecycle", "seed=range(5)", "dataset=mnist"]

    def folder(*words: str) -> str:
        return option(prepare(words).argv, "hydra.sweep.dir")

    first = folder(*command)
    assert first.startswith("outputs/sweep-mnist-")
    assert folder(*command[:0:-1], "-m") == first
    assert folder(*command, "hydra.launcher.n_jobs=2") == first
    assert folder(*command, "rerun=failed") == first
    assert folder(*command, "seed=7") != first


def test_the_users_own_folders_win() -> None:
    command = ["--multirun", "seed=1,2", "hydra.sweep.dir=mine", "hydra.sweep.subdir=${seed}"]
    assert prepare(command).argv == command


def test_resuming_runs_in_the_folder(tmp_path: Path) -> None:
    """Hydra is told of the folder alone, and composes nothing of what lies there."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("seed: 0\n")
    words = [f"resume={tmp_path}", "seed=1", "resume_policy=keep", "hydra/job_logging=none"]
    prepared = prepare(words)
    assert option(prepared.argv, "hydra.run.dir") == str(tmp_path)
    assert {a.partition("=")[0] for a in prepared.argv} == {
        *("resume", "hydra.run.dir", "resume_policy", "hydra/job_logging")
    }
    assert prepared.changes == ["seed=1"]
    with pytest.raises(ConfigError, match="nowhere is not a run folder"):
        prepare(["resume=nowhere"])
    with pytest.raises(ConfigError, match="goes on with one run: leave -m out"):
        prepare(["-m", f"resume={tmp_path}"])


def test_resume_null_is_no_resume() -> None:
    assert prepare(["resume=null"]).argv == []


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
