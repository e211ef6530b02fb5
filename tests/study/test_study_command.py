"""The command as a whole: plans, real studies on digits, what a repeated command does, mistakes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from lrbench.files import run_folder
from lrbench.run.job import job
from lrbench.study import __main__ as command
from lrbench.study import arguments, probe, report
from lrbench.study.composed import StudyConfig, compose_study
from lrbench.study.records import Point, Setting

QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
TINY = [
    "model=mlp", "trainer.length=1 epoch", "study.strategies=[cosine,plateau]", "study.lrs=[0.1]",
    "study.max_extensions=0", "study.tuning_seeds=[1000]", "study.final_seeds=[0,1]",
    "study.guide=null", "hydra.sweep.dir=study",
]  # fmt: skip

Run = Callable[..., str]


@pytest.fixture(autouse=True)
def _own_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back the handlers that Hydra, asked to log, gives the root logger; keep pytest's open.

    Configuring the logging closes every handler that there is, the test runner's included.
    """
    monkeypatch.setattr("logging.config._clearExistingHandlers", lambda: None)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pages and pictures, where only the runs are looked at."""

    class Shown:
        def show(self, console: object) -> None:
            """Nothing."""

    monkeypatch.setattr(report, "write", lambda *_: Shown())


@pytest.fixture
def lrbench(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs ``python -m lrbench.study`` in this process, in a folder of its own; what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0, logged: bool = False) -> str:
        monkeypatch.setattr(sys, "argv", ["study", *words, *([] if logged else QUIET)])
        said = ""
        try:
            command.main()
            left = 0
        except SystemExit as stop:
            left = stop.code if isinstance(stop.code, int) else 1
            said = stop.code if isinstance(stop.code, str) else ""
        said = capsys.readouterr().out + said
        assert left == code, said
        return said

    return run


def plan(said: str) -> dict[str, list[str]]:
    """The plan's rows: runs, runs done and updates to make of each phase."""
    lines = [line.strip().replace("≤ ", "") for line in said.splitlines() if line[:2] == "  "]
    return {line.split("  ")[0]: line.split()[-3:] for line in lines}


def results(folder: Path) -> dict[str, int]:
    """Each finished run, and when it was made."""
    return {
        str(path.parent.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("result.json")
    }


RUNS = {
    "1_epoch/tune/cosine/lr=0.1,seed=1000",
    "1_epoch/tune/plateau/lr=0.1,seed=1000",
    "1_epoch/final/cosine/lr=0.1,seed=0",
    "1_epoch/final/cosine/lr=0.1,seed=1",
    "1_epoch/final/plateau/lr=0.1,seed=0",
    "1_epoch/final/plateau/lr=0.1,seed=1",
}


def test_a_study_of_digits_ends_in_a_report(lrbench: Run, tmp_path: Path) -> None:
    said = lrbench(*TINY)
    assert results(tmp_path / "study").keys() == RUNS
    assert "1 epoch, tuning: 2 runs\n" in said
    assert "of 1 trial\n  plateau  best at lr=0.1: validation accuracy " in said
    assert "1 epoch, fresh seeds: 4 runs\n" in said
    assert said.rstrip().endswith("curves  tensorboard --logdir study")
    for name in ("report.html", "report.md"):
        assert (tmp_path / "study" / name).stat().st_size > 0


@pytest.mark.usefixtures("no_report")
def test_a_repeated_study_trains_only_what_is_missing(lrbench: Run, tmp_path: Path) -> None:
    lrbench(*TINY)
    made = results(tmp_path / "study")
    assert made.keys() == RUNS  # the default was chosen: its runs are the untuned ones too

    lost = "1_epoch/final/plateau/lr=0.1,seed=1"
    (tmp_path / "study" / lost / "result.json").unlink()
    (tmp_path / "study" / lost / "checkpoint.pt").unlink()
    said = lrbench(*TINY)
    again = results(tmp_path / "study")
    assert {name for name in RUNS if again[name] != made[name]} == {lost}
    assert "1 epoch, tuning: 2 runs, 2 of them done already" in said
    assert "1 epoch, fresh seeds: 4 runs, 3 of them done already" in said

    more = [*TINY, "study.final_seeds=range(3)"]  # goes on in the same folder
    rows = plan(lrbench(*more, "dry_run=true"))
    assert rows["1 epoch, tuning"] == ["2", "2", "0"]
    assert rows["1 epoch, fresh seeds"] == ["6", "4", "40"]
    lrbench(*more)
    assert len(results(tmp_path / "study")) == 8

    said = lrbench(*TINY, "trainer.batch_size=32", code=1)
    assert "holds a run of another config (trainer.batch_size: 64 → 32)" in said


@pytest.mark.usefixtures("no_report")
def test_an_interrupted_study_goes_on_where_it_was(
    lrbench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = job, 0

    def interrupted(cfg: DictConfig) -> float | None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return real(cfg)

    monkeypatch.setattr("lrbench.study.launcher.job", interrupted)
    said = lrbench(*TINY, code=130)
    assert "interrupted: the same command goes on with what is missing" in said
    before = results(tmp_path / "study")
    assert len(before) == 3
    monkeypatch.setattr("lrbench.study.launcher.job", real)
    lrbench(*TINY)
    after = results(tmp_path / "study")
    assert after.keys() == RUNS
    assert all(after[name] == made for name, made in before.items())


def test_a_failed_run_is_told_and_the_study_goes_on(
    lrbench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = job

    def failing(cfg: DictConfig) -> float | None:
        if cfg.seed == 1 and "plateau" in str(cfg.scheduler._target_).lower():
            cfg.trainer.batch_size = 5000
        return real(cfg)

    monkeypatch.setattr("lrbench.study.launcher.job", failing)
    said = lrbench(*TINY, code=1, logged=True)
    lost = "1_epoch/final/plateau/lr=0.1,seed=1"
    assert f"{lost}  failed  trainer.batch_size=5000 must be between 1 and the number" in said
    assert said.endswith("lrbench.study: 1 of the study's runs failed")
    assert results(tmp_path / "study").keys() == RUNS - {lost}
    report = (tmp_path / "study" / "report.md").read_text()
    assert lost in report
    assert "trainer.batch_size=5000 must be between" in report


def test_where_all_runs_fail_the_study_stops(lrbench: Run) -> None:
    said = lrbench(*TINY, "trainer.batch_size=5000", code=1, logged=True)
    last = said.splitlines()[-1]
    assert last.startswith("lrbench.study: 1 epoch, tuning: every run failed, the first one with: ")
    assert "trainer.batch_size=5000 must be between" in last


def test_joblib_conducts_a_study_in_processes_of_its_own(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [*TINY, "study.untuned=false", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    done = subprocess.run(
        [sys.executable, "-m", "lrbench.study", *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert results(tmp_path / "study").keys() == RUNS
    assert "1 epoch, fresh seeds: 4 runs" in done.stdout
    found = json.loads((tmp_path / "study" / sorted(RUNS)[0] / "result.json").read_text())
    assert found["environment"]["num_threads"] == 1


def test_a_plan_counts_every_phase_and_leaves_nothing(
    lrbench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.05)
    said = lrbench("model=mlp", "study.budgets=[50%,100%]", "dry_run=true")
    rows = plan(said)
    # 7 schedulers × 5 lrs × 2 seeds; 7 × 8 seeds and 4 × 8 untuned; 20 updates an epoch
    assert rows["7.5 epochs, tuning"] == ["70", "0", "10,500"]
    assert rows["15 epochs, tuning"] == ["70", "0", "21,000"]
    assert rows["15 epochs, fresh seeds"] == ["88", "0", "26,400"]
    assert "the grid may grow by up to 3 lrs for each budget, by 14 runs each time" in said
    assert "for 300 updates of " in said
    assert "15 evaluations of " in said
    assert list(tmp_path.iterdir()) == []


def open_study(*words: str) -> Any:
    return compose_study(arguments.parse(list(words)))


def fingerprint(found: StudyConfig, point: Point) -> str:
    """Of the config that Hydra composes for the run of `point`, from all of its overrides."""
    return run_folder.fingerprint(run_folder.plain_config(found.compose(found.words(point))))


def test_points_and_their_configs() -> None:
    words = ["model=mlp", "optimizer.lr=0.2", "model.hidden=[16]", "trainer.length=500 steps"]
    with open_study(*words, "study.budgets=[5%,100%]") as found:
        assert found.default_lr == 0.2
        assert list(found.lengths()) == [(0.05, "25 steps"), (1.0, "500 steps")]
        setting = Setting(lr=0.05, knobs={"patience": 6, "warmup": "10%"})
        point = found.point("tune", "plateau", setting, 1000, "25 steps")
        assert point.folder == found.folder / (
            "25_steps/tune/plateau/lr=0.05,patience=6,warmup=10%,seed=1000"
        )
        assert found.words(point) == [
            "model=mlp", "model.hidden=[16]", "scheduler=plateau", "optimizer.lr=0.05",
            "scheduler.patience=6", "scheduler.warmup='10%'", "seed=1000",
            "trainer.length='25 steps'",
        ]  # fmt: skip
        config = found.run_config(point)
        assert run_folder.fingerprint(config) == fingerprint(found, point)
        assert config["scheduler"]["patience"] == 6
        assert config["model"]["hidden"] == [16]
        other = found.point("final", "keras/cosine_decay", Setting(lr=0.3), 0, "500 steps")
        assert run_folder.fingerprint(found.run_config(other)) == fingerprint(found, other)


def test_the_folder_is_named_after_what_shapes_the_runs() -> None:
    def folder(*words: str) -> Path:
        with open_study("study.guide=null", "study.strategies=[cosine]", *words) as found:
            return found.folder

    first = folder("model=mlp", "optimizer=adamw")
    assert str(first).startswith("outputs/study-digits-mlp-")
    assert first == folder("optimizer=adamw", "model=mlp", "hydra/launcher=joblib")
    assert first == folder("model=mlp", "optimizer=adamw", "study.num_trials=3")
    assert first != folder("model=mlp", "optimizer=adamw", "tuner=optuna")
    assert first != folder("model=mlp")
    assert str(folder("experiment=cifar10_resnet20")).startswith("outputs/study-cifar10_resnet20-")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["scheduler=cosine"], "scheduler=cosine: a study has several: study.strategies="),
        (["seed=3"], "seed=3: a study has several: study.tuning_seeds="),
        (["resume=x"], "resume=x: the same command goes on with a study that was stopped"),
        (["model=mlp,lenet"], "model=mlp,lenet: a study takes one value"),
        (["tuner=gird"], "tuner=gird is not one of grid, optuna; did you mean grid?"),
        (["tunr=grid"], "tunr=grid: no such key; did you mean tuner?"),
        (["dry_run=maybe"], "dry_run=maybe is not one of true, false"),
        (["-m"], "-m is not an option of lrbench"),
        (["study=four_wy"], "study=four_wy: no such study; did you mean four_way?"),
        (["study.num_trial=3"], "study.num_trial: no such key; did you mean num_trials?"),
        (["study.strategies=[cosin]"], "scheduler=cosin: no such scheduler; did you mean cosine?"),
        (["+study.knobs.cosin={k: [1]}"], "study.knobs.cosin: no such scheduler; did you mean"),
        (
            ["study.knob_trials=1", "+study.knobs.cosine.kk=[2]"],
            "scheduler.kk: no such key; did you mean k?",
        ),
        (
            ["study.final_seeds=[1000,2]"],
            "study.final_seeds=[1000, 2] must not hold the tuning seeds [1000]",
        ),
        (["experiment=four_way"], "experiment=four_way: it is a sweep over scheduler, seed"),
        (["optimizer.lr=0"], "optimizer.lr=0 must be a number above 0"),
        (["hydra/launcher=joblub"], "hydra/launcher=joblub: no such hydra/launcher; did you mean"),
    ],
)
def test_mistakes_are_answered_in_one_line(lrbench: Run, words: list[str], line: str) -> None:
    said = lrbench(*words, code=1)
    assert said.startswith(f"lrbench.study: {line}")
    assert "\n" not in said


def test_help_names_every_key(lrbench: Run) -> None:
    said = lrbench("--help")
    for key in ("study=NAME", "tuner=grid|optuna", "dry_run=true", "num_trials", "margin"):
        assert key in said
