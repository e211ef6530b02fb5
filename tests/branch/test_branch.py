"""Cooldowns from a trunk: what they train, cost and say."""

from __future__ import annotations

import csv
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from omegaconf import OmegaConf

import lrbench
from lrbench.branch import __main__ as program
from lrbench.branch.cooldowns import plan, read_trunk
from lrbench.branch.findings import Findings, Point, show
from lrbench.compare.read import collect
from lrbench.files import run_folder
from lrbench.run.run import run
from lrbench.run.sweep import kept_points

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHORT = ["model=mlp", "trainer.length=40 steps", "trainer.eval_interval=12.5%"]


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk") / "constant" / "length=40 steps,seed=0"  # a sweep's
    lrbench.train(*SHORT, "scheduler=constant", "scheduler.warmup=4 steps", folder=folder)
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Runs ``lrbench.branch`` here; returns what it exits with, "" where it just ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lrbench.run.signals.unwind_on_sigterm", lambda: None)

    def run_(*words: str) -> str:
        try:
            program.main(words)
        except SystemExit as error:
            return str(error.code)
        return ""

    return run_


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_cooldowns_train_their_trunk_once_and_each_as_it_would_alone(
    trunk: Path,
    command: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = (str(trunk), "at='25%,20 steps'", "cooldown=20%", "output=b", "--json")
    assert command(*words) == ""
    found = json.loads(capsys.readouterr().out)
    # 10 / (1 - 20 %) = 12.5 → 13 updates, 20 / (1 - 20 %) = 25
    assert [(p["at"], p["length"]) for p in found["points"]] == [(10, 13), (20, 25)]
    assert (found["spent"], found["independent"]) == (20 + 3 + 5, 13 + 25)
    first, second = (Path(point["folder"]) for point in found["points"])
    shared = json.loads((second / "result.json").read_text())["shared"]
    # The first update of a cooldown still has the peak.
    assert (shared["updates"], shared["from"]) == (11, first.name)
    lrs = [float(row["lr"]) for row in rows(second)]
    assert lrs[4:21] == pytest.approx([0.1] * 17)
    assert lrs[20:] == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    evaluated = [int(row["step"]) for row in rows(second) if row["val_loss"]]
    assert evaluated == [5, 10, 15, 20, 25]  # as often as the trunk
    assert [r["val_loss"] for r in rows(second)[:20]] == [r["val_loss"] for r in rows(trunk)[:20]]
    assert found["points"][1]["trunk_val_loss"] == float(rows(trunk)[19]["val_loss"])
    last = float(rows(second)[-1]["val_loss"])
    assert found["points"][1]["val_loss"] == pytest.approx(last, rel=1e-6)  # of float32
    for name in ("branch.png", "branch.svg", "branch.json"):
        assert (Path("b") / name).stat().st_size > 0

    monkeypatch.syspath_prepend(str(SCRIPTS))
    cooldown = plan(read_trunk(trunk), ["20 steps"], "20%")[0]
    names = {**run_folder.read_choices(trunk), "scheduler": "constant+cooldown"}
    hydra: Any = OmegaConf.create({"runtime": {"choices": names}, "overrides": {"task": []}})
    Path("alone").mkdir()
    run(OmegaConf.create({**cooldown.config, "tracker": None}), Path("alone"), hydra)
    assert importlib.import_module("faults").same_run(Path("alone"), second) == []

    made = (second / "result.json").stat().st_mtime_ns
    assert command(*words[:-1]) == ""  # again: all is there
    assert "28 updates, trunk and cooldowns, where independent runs take 38: 74%" in (
        capsys.readouterr().out
    )
    assert (second / "result.json").stat().st_mtime_ns == made
    read = collect([(folder, folder.name) for folder in (first, second)])
    assert [each.strategy for each in read.runs] == ["constant+cooldown"] * 2


def test_a_trunk_that_kept_its_states_is_not_trained_again(
    trunk: Path, command: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SHORT, "scheduler=constant", "scheduler.warmup=4 steps", "keep_at=[25%,20 steps]"]
    with lrbench.config.search(None):
        cfg = compose("config", overrides=words, return_hydra_config=True)
    Path("kept").mkdir()
    run(cfg, Path("kept"), cfg.hydra, keep_at=kept_points(cfg.keep_at))
    assert rows(Path("kept"))[-1]["train_loss"] == rows(trunk)[-1]["train_loss"]
    assert command("kept", "at=[25%,20 steps]", "output=b") == ""
    for at, length in ((10, 13), (20, 25)):
        folder = Path("b", f"at={at},length={length}")
        shared = json.loads((folder / "result.json").read_text())["shared"]
        assert (shared["updates"], shared["from"]) == (at, "kept")
        assert [r["train_loss"] for r in rows(folder)[: at + 1]] == [
            r["train_loss"] for r in rows(trunk)[: at + 1]
        ]
    assert "trained again" not in capsys.readouterr().err
    assert command(str(trunk), "at=50%", "output=c") == ""
    assert "has not kept its states up to update 20: 20 of its updates" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["at=20%"], "0 run folders: name one"),
        (["RUN"], "at= needs points of the run, such as at='20%,40%,60%'"),
        (["RUN", "at=20"], "at='20' is not a duration"),
        (["RUN", "at=150%"], "at=150% is update 60, of 40"),
        (["RUN", "at=0%"], "at=0% is update 0, of 40"),
        (["RUN", "at=20%", "cooldown=100%"], "cooldown=100% must be above 0% and below 100% of a"),
        (["RUN", "at=20%", "cooldown=0 steps"], "cooldown=0 steps from update 8 is less than one"),
        (
            ["RUN", "at=20%", "seed=1"],
            "seed=1 would change the run: give at, cooldown, output alon",
        ),
        (["wsd/seed=7", "at=20%"], "wsd/seed=7 is not a run folder: it has no .hydra/config.yaml"),
        (["nowhere", "at=20%"], "nowhere is not a run folder: it has no .hydra/config.yaml"),
    ],
)
def test_mistakes_are_answered_in_one_line(
    trunk: Path, command: Callable[..., str], words: list[str], said: str, tmp_path: Path
) -> None:
    answer = command(*(str(trunk) if word == "RUN" else word for word in words))
    assert answer.startswith(f"lrbench.branch: {said}"), answer
    assert list(tmp_path.iterdir()) == []


def config_only(folder: Path, *words: str) -> Path:
    """A folder with the config of a run that was not trained."""
    with lrbench.config.search(None):
        cfg = compose("config", overrides=[*SHORT, *words], return_hydra_config=True)
    folder.mkdir()
    run_folder.write_config(folder, cfg, cfg.hydra)
    return folder


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scheduler=wsd"], "at=90% is update 36, where the lr of .* falls already: choose points"),
        (["scheduler=plateau"], "follows its losses and holds no lr: a trunk is scheduler=const"),
        (
            ["trainer.length=1 min", "trainer.eval_interval=5 steps"],
            "trainer.length=1 min is a tim",
        ),
    ],
)
def test_what_holds_no_lr_is_no_trunk(tmp_path: Path, words: list[str], said: str) -> None:
    folder = config_only(tmp_path / "run", *words)
    with pytest.raises(ValueError, match=said):
        plan(read_trunk(folder), ["90%"], "20%")


def test_a_cooldown_ends_at_the_floor_of_the_schedule(tmp_path: Path) -> None:
    folder = config_only(tmp_path / "run", "scheduler=wsd", "scheduler.min_factor=0.1")
    (found,) = plan(read_trunk(folder), ["50%"], "10 steps")
    scheduler: Any = lrbench.config.build(found.config["scheduler"], "scheduler")
    factors = scheduler.factors(found.length, 20)
    assert factors[20:] == pytest.approx([1 - 0.9 * k / 10 for k in range(10)])


def test_help_comes_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["--help"])
    assert "at=POINTS" in capsys.readouterr().out
    assert "lrbench.branch.arguments" in sys.modules


def test_the_table_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    point = Point(
        at=1000, length=1250, trunk_val_loss=0.5, val_loss=0.25, test=0.875, spent=1250,
        independent=1250, folder="f",
    )  # fmt: skip
    show(Findings(measure="accuracy", points=(point,), trunk={}, falls={}), [])
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "1 budget for 1,250 updates" in printed
