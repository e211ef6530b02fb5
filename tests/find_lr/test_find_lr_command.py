"""``python -m lrbench.find_lr`` as a person runs it."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lrbench.config import CONF
from lrbench.find_lr import Ramp
from lrbench.find_lr.__main__ import main
from lrbench.find_lr.files import output_folder, write_points, write_settings

SHORT = ["model=mlp", "num_steps=60", "num_seeds=2", "lr_min=1e-4", "output=found"]


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "points.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.pictures
def test_from_overrides_to_a_line_to_paste(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*SHORT, "scheduler=onecycle", "optimizer.lr=5", "seed=4"])
    out = capsys.readouterr().out
    assert "mlp on digits with sgd" in out
    assert "seed 5: " in out
    for rule in ("steepest", "valley", "minimum / 10", "lowest loss"):
        assert re.search(rf"^{rule} +[\d.]+ +[\d.]+ +[\d.]+$", out, re.MULTILINE)
    for schedule in ("onecycle", "warmup_decay", "cosine", "plateau"):
        assert re.search(rf"\n{schedule}, \w+ +optimizer.lr=[\d.]+ +[\d.]+ to [\d.]+", out)
        assert f"\nscheduler={schedule}: " in out
    assert "Smith 2018" in out
    assert "factor of 3" in out

    paste = next(text for text in out.splitlines() if text.startswith("python -m lrbench model"))
    words = shlex.split(paste)[3:]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", words)
    lowest = re.search(r"^lowest loss +([\d.]+)", out, re.MULTILINE)
    assert lowest is not None
    assert cfg.optimizer.lr == pytest.approx(float(lowest[1]) / 10**0.5, rel=0.1)
    assert (cfg.seed, cfg.scheduler._target_) == (4, "lrbench.scheduler.OneCycle")

    sweep = next(text for text in out.splitlines() if text.startswith("python -m lrbench -m "))
    assert str(cfg.optimizer.lr) in shlex.split(sweep)[-1].partition("=")[2].split(",")

    folder = tmp_path / "found"
    points = rows(folder)
    assert list(points[0]) == ["seed", "step", "lr", "loss", "smoothed_loss"]
    assert {row["seed"] for row in points} == {"4", "5"}
    for name in ("loss_vs_lr.png", "loss_vs_lr.svg"):
        assert (folder / name).stat().st_size > 10_000
    drawn = (folder / "loss_vs_lr.svg").read_text()
    assert ">onecycle, peak: " in drawn
    assert ">learning rate (shaded: the range)<" in drawn
    assert sorted(p.name for p in folder.iterdir()) == [
        "loss_vs_lr.png", "loss_vs_lr.svg", "points.csv", "seed=4", "seed=5", "settings.json",
    ]  # fmt: skip
    for seed in ("4", "5"):
        mine = [row for row in points if row["seed"] == seed]
        assert [row["step"] for row in mine] == [str(i + 1) for i in range(len(mine))]
        assert len(list((folder / f"seed={seed}").iterdir())) == 1
        events = EventAccumulator(str(folder / f"seed={seed}"), size_guidance={"scalars": 0})
        events.Reload()
        for tag, column in (
            ("lr", "lr"),
            ("train/loss", "loss"),
            ("train/smoothed_loss", "smoothed_loss"),
        ):
            values = [event.value for event in events.Scalars(tag)]
            np.testing.assert_array_equal(
                values, np.array([row[column] for row in mine], np.float32)
            )


def test_a_test_of_other_settings_is_written_beside(tmp_path: Path) -> None:
    curve = Ramp(lr=np.ones(1), loss=np.ones(1), smoothed=np.ones(1), diverged=False, seed=0)
    asked, first = tmp_path / "found", {"lr_max": 1.0, "model": {"hidden": [8]}}
    for settings, name in ((first, "found"), ({**first, "lr_max": 3.0}, "found-2")):
        folder = output_folder(asked, settings)
        assert folder.name == name
        folder.mkdir()
        write_points(folder, [curve])
        write_settings(folder, settings)
        assert output_folder(asked, settings) == folder  # the same test takes its own place again
    record = tmp_path / "found" / "settings.json"
    record.write_text(record.read_text().replace("1.0", "2.0"))
    assert output_folder(asked, {**first, "lr_max": 2.0}).name == "found-3"  # not what was written


@pytest.mark.parametrize("group", ["model", "optimizer", "trainer", "dataset"])
def test_a_target_of_another_kind_is_a_mistake(group: str) -> None:
    with pytest.raises(SystemExit, match=rf"{group}\._target_=lrbench.scheduler.Cosine is not a "):
        main([*SHORT, f"{group}._target_=lrbench.scheduler.Cosine"])


def test_help_tells_the_keys_and_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    out = capsys.readouterr().out
    for key in ("lr_min: 1.0e-5", "num_steps: 200", "num_seeds: 3", "output: outputs/find_lr/"):
        assert f"\n  {key}" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr_mn=1"], "lr_mn: no such key; did you mean lr_min?"),
        (["lr_max=1e-9"], "lr_max=1e-09 must be above lr_min=0.0001, and finite"),
        (["num_steps=many"], "num_steps=many must be of type int"),
        (["optimizer=sdg"], "optimizer=sdg: no such optimizer; did you mean sgd?"),
        (["trainer.batch_size=0"], "trainer.batch_size=0 must be "),
        (["seed=0,1,2"], "seed=0,1,2: one value at a time; num_seeds=5 tests five seeds"),
        (["seed=-1"], "seed=-1 must be a whole number"),
        (["resume=some/run"], "resume=some/run is for python -m lrbench"),
        (["-m"], "-m is not an option of lrbench"),
        (["onecycle"], "onecycle is not an override: write key=value"),
        (["output=taken"], "output=taken holds something else than a range test"),
        (["lr_min=1e8", "lr_max=1e9"], "lr_min=1e+08: the loss diverged at lr "),
        (["dataset=imagefolder", "dataset.root=nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    words: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("precious")
    with pytest.raises(SystemExit) as stop:
        main([*SHORT, *words])
    text = str(stop.value.code)
    assert text.startswith("lrbench.find_lr: ")
    assert message in text
    assert "\n" not in text
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")] == [
        "taken",
        "taken/thesis.tex",
    ]


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit, match="start it without torchrun"):
        main(SHORT)


def test_what_was_found_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    main([*SHORT, "num_seeds=1", "output=null", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["seeds"] == [0]
    assert set(found["rules"]) == {"steepest", "valley", "minimum / 10", "lowest loss"}
    assert found["high"] == found["rules"]["lowest loss"][0]
    onecycle = found["schedules"][0]
    assert onecycle["high"] == found["high"]
    assert any(f"optimizer.lr={found['schedules'][2]['lr']:g}" in c for c in found["commands"])
