"""The command as a whole: plans, real studies on digits, what a repeated command does, mistakes."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from lrbench.files import run_folder
from lrbench.run.job import job
from lrbench.study import __main__ as command
from lrbench.study import arguments, probe
from lrbench.study.composed import StudyConfig, compose_study
from lrbench.study.records import Point, Setting

QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
TINY = [
    "model=mlp", "trainer.length=1 epoch", "study.strategies=[cosine,plateau]", "study.lrs=[0.1]",
    "study.max_extensions=0", "study.tuning_seeds=[1000]", "study.final_seeds=[0,1]",
    "study.noise_seeds=[]",
    "study.guide=null", "hydra.sweep.dir=study",
]  # fmt: skip

Run = Callable[..., str]


@pytest.fixture(autouse=True, scope="module")
def _own_handlers() -> Iterator[None]:
    """Take back the handlers that Hydra, asked to log, gives the root logger; keep pytest's open.

    Configuring the logging closes every handler that there is, the test runner's included.
    """
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("logging.config._clearExistingHandlers", lambda: None)
        yield
    root.handlers[:] = handlers
    root.setLevel(level)


def started(words: Sequence[str], folder: Path, *, code: int = 0, logged: bool = False) -> str:
    """Run ``python -m lrbench.study`` in this process and in `folder`; what it says."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.chdir(folder)
        try:
            command.main([*words, *([] if logged else QUIET)])
            left: object = 0
        except SystemExit as stop:
            left = stop.code
    text = said.getvalue() + (left if isinstance(left, str) else "")
    assert (1 if isinstance(left, str) else left) == code, text
    return text


@pytest.fixture
def lrbench(tmp_path: Path) -> Run:
    """Runs the command in a folder of the test's own."""
    return lambda *words, **how: started(words, tmp_path, **how)


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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study that was interrupted at its fourth run and continued, and what it said then."""
    folder = tmp_path_factory.mktemp("finished")
    real, count = job, 0

    def interrupted(cfg: DictConfig) -> float | None:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return real(cfg)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lrbench.study.launcher.job", interrupted)
        said = started(TINY, folder, code=130)
    assert "interrupted: the same command continues with what is missing" in said
    before = results(folder / "study")
    assert len(before) == 3
    said = started(TINY, folder)
    after = results(folder / "study")
    assert all(after[name] == made for name, made in before.items())
    return folder, said


def test_an_interrupted_study_of_digits_ends_in_a_report(finished: tuple[Path, str]) -> None:
    folder, said = finished
    assert results(folder / "study").keys() == RUNS  # the default was chosen: nothing is untuned
    assert "1 epoch, tuning: 2 runs, 2 of them done already\n" in said
    assert "of 1 trial\n  plateau  best at lr=0.1: validation accuracy " in said
    assert "1 epoch, fresh seeds: 4 runs, 1 of them done already\n" in said
    assert said.rstrip().endswith("curves  tensorboard --logdir study")
    for name in ("report.html", "report.md"):
        assert (folder / "study" / name).stat().st_size > 0
    tuned = folder / "study" / "1_epoch" / "tune" / "plateau" / "lr=0.1,seed=1000"
    shared = json.loads((tuned / "result.json").read_text())["shared"]  # the first at the peak
    assert (shared["updates"], shared["from"]) == (1, "1_epoch/tune/cosine/lr=0.1,seed=1000")
    assert not (folder / "study" / ".shared").exists()


def test_a_failed_run_is_told_and_a_repeated_study_trains_only_what_is_missing(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = shutil.copytree(finished[0] / "study", tmp_path / "study")
    made, real = results(study), job
    lost = "1_epoch/final/plateau/lr=0.1,seed=1"
    shutil.rmtree(study / lost)

    def failing(cfg: DictConfig) -> float | None:
        if cfg.seed == 1 and "plateau" in str(cfg.scheduler._target_).lower():
            cfg.trainer.batch_size = 5000
        return real(cfg)

    monkeypatch.setattr("lrbench.study.launcher.job", failing)
    said = started(TINY, tmp_path, code=1, logged=True)
    assert f"{lost}  failed  trainer.batch_size=5000 must be" in said
    assert said.endswith("lrbench.study: 1 of the study's runs failed")
    assert results(study).keys() == RUNS - {lost}
    report = (study / "report.md").read_text()
    assert lost in report.replace("\\", "")
    assert "must be" in report

    monkeypatch.setattr("lrbench.study.launcher.job", real)
    shutil.rmtree(study / lost)
    said = started(TINY, tmp_path)
    again = results(study)
    assert {name for name in RUNS if again[name] != made[name]} == {lost}
    assert "1 epoch, tuning: 2 runs, 2 of them done already" in said
    assert "1 epoch, fresh seeds: 4 runs, 3 of them done already" in said


def test_a_finished_study_is_planned_and_its_results_are_checked(
    finished: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = shutil.copytree(finished[0] / "study", tmp_path / "study")
    monkeypatch.setattr(probe, "SECONDS", 0.05)
    more = [*TINY, "study.final_seeds=range(3)"]  # continues in the same folder
    rows = plan(started([*more, "dry_run=true"], tmp_path))
    assert rows["1 epoch, tuning"] == ["2", "2", "0"]
    assert rows["1 epoch, fresh seeds"] == ["6", "4", "40"]
    said = started([*TINY, "trainer.batch_size=32"], tmp_path, code=1)
    assert "holds a run of another config (trainer.batch_size: 64 → 32)" in said

    path = study / "1_epoch/tune/cosine/lr=0.1,seed=1000/result.json"
    text = path.read_text()
    flipped = re.sub(r'("val_accuracy": 0\.)(\d)', lambda m: m[1] + str(9 - int(m[2])), text)
    for content, why in (
        (flipped, "it is damaged: its checksum is of other content"),
        ("{}", "status=missing must be a text"),
    ):
        path.write_text(content)
        said = started(TINY, tmp_path, code=1)
        assert said.startswith("lrbench.study: ")
        assert "seed=1000/result.json cannot be used: " in said
        assert why in said


def test_programs_read_a_study(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = shutil.copytree(finished[0] / "study", tmp_path / "study")
    claim = "require='cosine beats plateau'"
    printed = started([*TINY, "--json", claim], tmp_path, code=2)
    errors = capsys.readouterr().err
    assert printed == (study / "report.json").read_text()
    assert "1 epoch, fresh seeds: 4 runs, 4 of them done already" in errors
    assert errors.splitlines()[-1].startswith(
        "lrbench.study: require='cosine beats plateau' does not hold: exploratory: cosine and "
        "plateau are not distinguishable: "
    )
    found = json.loads(printed)
    assert found["recommended"].startswith("python -m lrbench model=mlp ")
    assert found["ended"] == "all 2 seeds are used"
    assert [row["seeds"] for row in found["tuned"]] == [2, 2]
    said = started([*TINY, "require=loss(wsd) <= 1"], tmp_path, code=1)
    assert said.endswith("the study has no wsd; study.strategies=[cosine,plateau]")


def test_a_study_that_ends_at_its_noise_floor_shows_nothing(
    finished: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = shutil.copytree(finished[0] / "study", tmp_path / "study")
    noise = study / "1_epoch/noise/cosine"
    (study / "1_epoch/tune").rename(tmp_path / "away")
    words = ["study.noise_seeds=[0,1,3]", "study.stop_at_noise=true", "study.margin=0.001"]
    printed = started(
        [*TINY, *words, "--json", "--require", "cosine beats plateau"], tmp_path, code=2
    )
    assert len(list(noise.iterdir())) == 3
    found = json.loads(printed)
    assert found["groups"] == []
    assert found["noise"]["needed"] > found["noise"]["seeds"] == 2
    assert capsys.readouterr().err.endswith("does not hold: nothing was compared\n")


def test_a_command_without_a_job_has_one_with_something_to_find() -> None:
    with open_study() as found:
        assert found.choices["experiment"] == "python_docs_gpt_tiny"
        assert found.length == "500 steps"
        assert len(found.study.final_seeds) == 10
    with open_study("experiment=python_docs_gpt_tiny") as found:
        assert (found.length, len(found.study.final_seeds)) == ("2000 steps", 20)
    with open_study("trainer.length=9 steps") as found:
        assert (found.choices["dataset"], found.length) == ("python_docs", "9 steps")
    with open_study("study.workloads=['model=mlp','model=lenet']") as found:
        assert found.choices["dataset"] == "digits"


def test_where_all_runs_fail_the_study_stops(lrbench: Run) -> None:
    said = lrbench(*TINY, "trainer.batch_size=5000", code=1, logged=True)
    last = said.splitlines()[-1]
    assert last.startswith("lrbench.study: 1 epoch, tuning: every run failed, the first one with: ")
    assert "trainer.batch_size=5000 must be" in last


def test_a_plan_counts_every_phase_and_leaves_nothing(
    lrbench: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 0.05)
    said = lrbench("dataset=digits", "model=mlp", "study.budgets=[50%,100%]", "dry_run=true")
    rows = plan(said)
    # 7 schedulers × 5 lrs × 2 seeds; 7 × 20 seeds and 4 × 20 untuned; 20 updates an epoch
    assert rows["15 epochs, noise floor"] == ["5", "0", "1,500"]
    assert rows["7.5 epochs, tuning"] == ["70", "0", "10,500"]
    assert rows["15 epochs, tuning"] == ["70", "0", "21,000"]
    assert rows["15 epochs, fresh seeds"] == ["220", "0", "66,000"]
    assert re.search(r"at most 4 × 20 runs at tuned lrs: on average \d\d if all strategies", said)
    assert "the grid may grow by up to 3 lrs for each budget, by 14 runs each time" in said
    assert "for 300 updates of " in said
    assert "15 evaluations of " in said
    # of 7 schedules at each of 10 lrs and seeds
    assert re.search(r"their schedule share at least [\d,]+ updates", said)
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
        (["resume=x"], "resume=x: the same command continues a study that was stopped"),
        (["model=mlp,lenet"], "model=mlp,lenet: a study takes one value"),
        (["tuner=gird"], "tuner=gird is not one of grid, optuna; did you mean grid?"),
        (["tunr=grid"], "tunr=grid: no such key; did you mean tuner?"),
        (["--json", "dry_run=true"], "--json prints what a study found, and dry_run=true conducts"),
        (["require=cosine bests wsd"], "require='cosine bests wsd' is not understood: write 'wsd"),
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
