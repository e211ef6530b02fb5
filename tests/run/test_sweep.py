"""Sweeps: what is told, what is done again, and that every launcher trains the same."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig
from processes import run_module, start_module

from lrbench.files import run_folder
from lrbench.run import sweep

REPOSITORY = Path(__file__).parents[2]
QUICK = ["model=mlp", "trainer.length=2 epochs", "hydra.sweep.dir=sweep"]
FOUR = ["-m", "scheduler=cosine,onecycle", "seed=0,1", *QUICK]


def lrbench(*arguments: str, cwd: Path, code: int = 0, **env: str) -> str:
    done = run_module("lrbench", *arguments, cwd=cwd, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout + done.stderr


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def names(folder: Path) -> list[str]:
    return sorted(str(p.parent.relative_to(folder)) for p in folder.rglob("result.json"))


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of four quick runs by Hydra's own launcher: its folder, and what it printed."""
    cwd = tmp_path_factory.mktemp("basic")
    return cwd / "sweep", lrbench(*FOUR, cwd=cwd)


def test_a_sweep_tells_each_run_and_ends_in_a_comparison(basic: tuple[Path, str]) -> None:
    folder, said = basic
    for name in names(folder):
        assert f"{name}  completed  test accuracy" in said
    assert len(names(folder)) == 4
    assert "updates of 64 images" not in said  # the runs' own words are in their logs
    assert "updates of 64 images" in (folder / "cosine" / "seed=0" / "lrbench.log").read_text()
    assert said.rstrip().splitlines()[-1] == "curves  tensorboard --logdir sweep"
    assert "strategy" in said
    for made in ("report.html", "report.md", "runs.csv", "summary.csv", "summary.tex"):
        assert (folder / made).stat().st_size > 0
    assert list((folder / "plots").glob("*.png"))


TWO = ["-m", "scheduler=cosine,onecycle", "seed=0", *QUICK]  # of FOUR: each costs a process


def same_two_runs(folder: Path, four: Path) -> None:
    assert names(folder) == ["cosine/seed=0", "onecycle/seed=0"]
    for name in names(folder):
        assert history(folder / name) == history(four / name), name


def test_the_tasks_of_a_submitit_job_train_one_run_together(
    basic: tuple[Path, str], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    launcher = ["hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2"]
    lrbench("-m", "scheduler=cosine", "seed=0", *QUICK, *launcher, cwd=tmp_path)
    run, alone = tmp_path / "sweep" / "cosine" / "seed=0", basic[0] / "cosine" / "seed=0"
    result = json.loads((run / "result.json").read_text())
    assert result["environment"]["num_processes"] == 2
    losses = [[float(row["train_loss"]) for row in history(folder)] for folder in (run, alone)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_ray_trains_the_same(basic: tuple[Path, str], tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    lrbench(*TWO, "hydra/launcher=ray", cwd=tmp_path)
    same_two_runs(tmp_path / "sweep", basic[0])


def test_slurm_gets_one_array_of_all_jobs(tmp_path: Path) -> None:
    """No cluster here: an `sbatch` of our own keeps the script that it is handed."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool, line in (("sbatch", f'cp "$1" {tmp_path}/script; exit 3'), ("srun", "true")):
        (tools / tool).write_text(f"#!/bin/sh\n{line}\n")
        (tools / tool).chmod(0o755)
    words = [*FOUR, "hydra/launcher=submitit_slurm"]
    words += ["hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=90"]
    words += ["hydra.launcher.gpus_per_node=4", "hydra.launcher.tasks_per_node=4"]
    env = {"PATH": f"{tools}:{os.environ['PATH']}"}
    done = run_module("lrbench", *words, cwd=tmp_path, env=env)
    assert done.returncode != 0
    script = (tmp_path / "script").read_text()
    assert "#SBATCH --array=0-3%" in script
    assert "#SBATCH --partition=gpu" in script
    assert "#SBATCH --time=90" in script
    assert "#SBATCH --job-name=lrbench" in script
    assert "#SBATCH --gpus-per-node=4" in script
    assert "#SBATCH --ntasks-per-node=4" in script


FAILING = ["-m", "scheduler=cosine", "optimizer.lr=0.1,1e30", "trainer.batch_size=64,5000", *QUICK]
GOOD = "cosine/lr=0.1,batch_size=64,seed=0"
DIVERGED = "cosine/lr=1e+30,batch_size=64,seed=0"
FAILED = "cosine/lr=0.1,batch_size=5000,seed=0"


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep of which one run completes: its folder, and what it printed."""
    cwd = tmp_path_factory.mktemp("failing")
    return cwd / "sweep", lrbench(*FAILING, cwd=cwd, code=1)


def test_failures_are_told_and_stop_nothing(failing: tuple[Path, str]) -> None:
    folder, said = failing
    assert "lrbench: 3 of the sweep's runs did not complete" in said
    assert re.search(rf"^{re.escape(DIVERGED)}  diverged: at update \d, lr ", said, re.MULTILINE)
    assert f"{FAILED}  failed: trainer.batch_size=5000 must be between 1 and the number" in said
    assert f"{GOOD}  completed" in said
    report = (folder / "report.md").read_text()
    assert "batch_size=5000" in report
    assert "must be between 1 and the number of training images" in report


def test_a_sweep_that_is_cut_and_repeated_equals_one_that_was_not(tmp_path: Path) -> None:
    long = ["model=mlp", "trainer.length=20 epochs"]  # a run outlasts the watch's interval by far
    lrbench(*long, "scheduler=cosine", "seed=1", "hydra.run.dir=whole", cwd=tmp_path)
    sweep = ["-m", "scheduler=cosine", "seed=0,1", *long, "hydra.sweep.dir=sweep"]
    process = start_module("lrbench", *sweep, cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("cosine/seed=0  completed"):
            process.send_signal(signal.SIGINT)
            break
    said = process.stdout.read()
    assert process.wait() == 130
    assert "interrupted: run the same command again to train what is missing" in said
    assert names(tmp_path / "sweep") == ["cosine/seed=0"]
    done, cut = (tmp_path / "sweep" / "cosine" / f"seed={seed}" for seed in (0, 1))
    modified = (done / "result.json").stat().st_mtime_ns
    said = lrbench(*sweep, cwd=tmp_path)
    assert "1 runs are done already in sweep" in said
    assert (done / "result.json").stat().st_mtime_ns == modified
    assert history(cut) == history(tmp_path / "whole")


@pytest.mark.parametrize(
    ("overrides", "jobs"),
    [
        (["scheduler=cosine,onecycle", "seed=range(5)"], 10),
        (["seed=0", "optimizer.lr=0.1,0.2,0.3"], 3),
        (["experiment=four_way"], 20),
        (["experiment=four_way", "seed=1,2"], 8),
        (["seed=3"], 1),
    ],
)
def test_number_of_jobs(overrides: list[str], jobs: int) -> None:
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        fixed = [o for o in overrides if o.startswith("experiment=")]
        cfg = compose("config", fixed, return_hydra_config=True)
    cfg.hydra.overrides.task = overrides
    assert sweep.number_of_jobs(cfg) == jobs


@pytest.mark.parametrize(
    ("overrides", "jobs", "told"),
    [
        ([], 20, "one run after another: hydra/launcher=joblib trains 3 at once"),
        ([], 2, "one run after another: hydra/launcher=joblib trains 2 at once"),
        ([], 1, None),
        (["trainer.device=cuda"], 20, None),
        (["hydra/launcher=joblib"], 20, None),
    ],
)
def test_several_runs_at_once_are_advised_where_they_can_be_had(
    overrides: list[str], jobs: int, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        cfg = compose("config", ["trainer.device=cpu", *overrides], return_hydra_config=True)
    assert sweep.at_once(cfg, jobs) == told
    monkeypatch.setattr(sweep, "find_spec", lambda _: None)
    assert sweep.at_once(cfg, jobs) is None


def test_a_damaged_run_does_not_stop_the_watch(tmp_path: Path) -> None:
    for name, text in (("a", "{"), ("b", json.dumps({"status": "completed"}))):
        (tmp_path / name).mkdir()
        (tmp_path / name / run_folder.RESULT).write_text(text)
    watched = sweep.Sweep(tmp_path, 2)
    assert watched.outcomes == {}


def test_a_job_that_left_nothing_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its folder was deleted, or whoever trained it was killed before its log began."""
    (tmp_path / "cosine" / "seed=0").mkdir(parents=True)  # a sweep that was refused leaves none
    watched = sweep.Sweep(tmp_path, 2)
    monkeypatch.setenv(sweep.LAUNCHER, "")  # so that what it sets does not outlast the test
    watched.start()
    monkeypatch.setattr("lrbench.run.sweep.current", watched)
    assert sweep.conclude(lambda _: None) == 2
    assert "2 of 2 runs left neither a result nor a reason" in capsys.readouterr().out


def test_a_sweep_keeps_no_configs_of_jobs_that_are_done() -> None:
    done = JobReturn(cfg=DictConfig({"seed": 0}), hydra_cfg=DictConfig({}), overrides=["seed=0"])
    done.return_value, done.status = 0.5, JobStatus.COMPLETED
    sweep.Watch().on_job_end(DictConfig({}), done)
    assert done.cfg is None
    assert done.hydra_cfg is None
    assert (done.return_value, done.overrides) == (0.5, ["seed=0"])


def test_a_worker_ends_with_its_launcher() -> None:
    """As joblib's do not when it is killed: they would train on unseen."""
    worker = (
        "import time; from lrbench.run import sweep\n"
        "sweep.follow_launcher(); print('follows', flush=True); time.sleep(60)"
    )
    launcher = (
        "import os, subprocess, sys, time; from lrbench.run import sweep\n"
        "os.environ[sweep.LAUNCHER] = str(os.getpid())\n"
        f"worker = subprocess.Popen([sys.executable, '-c', {worker!r}])\n"
        "print(worker.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", launcher], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert process.stdout.readline() == "follows\n"
    os.kill(pid, 0)
    process.kill()
    assert process.stdout.read() == ""  # both ends of the pipe that the worker held are closed
    process.wait()
