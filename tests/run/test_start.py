"""Runs of anybody's training loop: the schedule they get, and the folder they leave."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import lrbench
from lrbench.run.started_run import Diverged, StartedRun


def _begin(folder: Path, strategy: str = "linear_to_zero", **more: object) -> StartedRun:
    settings = {"seed": 3, "lr": 0.5, "total_steps": 10, **more}
    return lrbench.start(folder, strategy=strategy, **settings)  # type: ignore[arg-type]


def _train(run: StartedRun, stop: int, weight: torch.Tensor | None = None) -> torch.Tensor:
    """Gradient descent on half the square of one weight; a loss is recorded at every update."""
    weight = torch.nn.Parameter(torch.tensor([8.0]) if weight is None else weight)
    optimizer = torch.optim.SGD([weight], lr=0.5)
    scheduler = run.scheduler(optimizer)
    for step in range(run.start_step + 1, stop + 1):
        loss = 0.5 * weight.square().sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
        run.log(step, train_loss=loss.item())
        if step % 5 == 0:
            run.evaluate(step, val_loss=loss.item() / 2)
    return weight.detach()


def test_a_loop_leaves_the_folder_that_comparisons_read(tmp_path: Path) -> None:
    with _begin(tmp_path / "run", config={"width": 4}) as run:
        _train(run, 10)
        run.finish(test_loss=1.5)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["strategy"], result["seed"]) == (
        "completed",
        "linear_to_zero",
        3,
    )
    assert (result["steps"], result["test_loss"], result["paired"]) == (10, 1.5, None)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["step"].tolist() == list(range(1, 11))
    factors = lrbench.load("scheduler", "linear_to_zero").factors(10, 10)
    assert history["lr"].tolist() == pytest.approx([0.5 * f for f in factors], rel=1e-6)
    assert history["val_loss"].dropna().tolist() == pytest.approx(
        [history["train_loss"][4] / 2, history["train_loss"][9] / 2], rel=1e-6
    )
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {"lr", "train/loss", "val/loss", "test/loss"} <= set(events.Tags()["scalars"])
    from lrbench.compare.read import collect

    (read,) = collect([(tmp_path / "run", "run")]).runs
    assert read.config == {"loop.config.width": 4, "optimizer.lr": 0.5, "seed": 3}


def test_a_killed_run_goes_on_and_drops_what_lies_beyond(tmp_path: Path) -> None:
    with _begin(tmp_path / "whole") as whole:
        end = _train(whole, 10)
        whole.finish()
    with _begin(tmp_path / "cut") as cut:
        _train(cut, 8)  # the loop's own checkpoint is of update 5
    with _begin(tmp_path / "other") as other:
        at_five = _train(other, 5)
    with _begin(tmp_path / "cut") as again:
        again.resume_from(5)
        assert torch.equal(_train(again, 10, at_five), end)
        again.finish()
    columns = ["step", "lr", "train_loss", "val_loss"]
    rows = [pd.read_csv(tmp_path / name / "history.csv")[columns] for name in ("whole", "cut")]
    pd.testing.assert_frame_equal(*rows)


def test_a_plateau_is_told_and_resumed(tmp_path: Path) -> None:
    changes = {"patience": 0, "cut_factor": 0.1, "warmup": "0 steps", "cooldown": 0}
    with _begin(tmp_path / "run", "plateau", scheduler=changes) as run:
        assert run.factor(0) == 1
        run.evaluate(2, val_loss=1.0)
        run.evaluate(4, val_loss=1.0)
        assert run.factor(4) == pytest.approx(0.1)
    with _begin(tmp_path / "run", "plateau", scheduler=changes) as run:
        run.resume_from(4)
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
        assert run.scheduler(optimizer).get_last_lr() == pytest.approx([0.05])


def test_a_plateau_that_is_told_of_no_loss_cannot_finish(tmp_path: Path) -> None:
    with _begin(tmp_path / "run", "plateau", measure=["accuracy", "loss"]) as run:
        with pytest.raises(ValueError, match=r"reads validation losses: give run.evaluate"):
            run.evaluate(1, val_accuracy=0.5)
        with pytest.raises(ValueError, match="told of none, so the lr never changed"):
            run.finish(test_accuracy=0.5)


def test_a_loss_that_is_not_finite_is_a_result(tmp_path: Path) -> None:
    with _begin(tmp_path / "run") as run:
        run.factor(0)
        run.log(1, train_loss=1.0)
        with pytest.raises(Diverged, match=r"train_loss is nan at update 2, lr 0\.5"):
            run.log(2, train_loss=math.nan)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["steps"]) == ("diverged", 2)


def test_a_schedule_that_is_stepped_twice_an_update_is_refused(tmp_path: Path) -> None:
    with _begin(tmp_path / "run") as run:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.5)
        scheduler = run.scheduler(optimizer)
        optimizer.step()
        scheduler.step()
        scheduler.step()
        with pytest.raises(ValueError, match=r"has counted 2 updates at step 1: call scheduler"):
            run.log(1, train_loss=1.0)


def test_only_the_first_of_several_processes_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with _begin(tmp_path / "run") as run:
        _train(run, 10)
        assert run.finish(test_loss=1.0)["steps"] == 10
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": "niceness"}, "measure=niceness is no well-known name: give lrbench.Measure"),
        ({"seed": -1}, "seed=-1 must be from 0"),
        ({"total_steps": 0}, "total_steps=0 must be a whole number"),
        ({"strategy": None}, "needs folder=... and strategy=..."),
        ({"scheduler": {"min_factor": 2}}, "min_factor=2"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        _begin(tmp_path / "run", **{"strategy": "cosine", **change})
    assert "\n" not in str(error.value)


def test_mistakes_in_a_loop_are_told(tmp_path: Path) -> None:
    with _begin(tmp_path / "run") as run:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        with pytest.raises(ValueError, match=r"lr is 0.1 and the run's peak lr is 0.5: make"):
            run.scheduler(optimizer)
        with pytest.raises(ValueError, match="total_steps=11, and the run was begun with 10"):
            run.factor(0, total_steps=11)
        with pytest.raises(ValueError, match="val_accuracy is not recorded here"):
            run.evaluate(1, val_accuracy=0.5)
        with pytest.raises(ValueError, match="the run has no measure"):
            run.finish()
        run.log(5, train_loss=1.0)
        with pytest.raises(ValueError, match="step=4 comes after 5"):
            run.log(4, train_loss=1.0)
        run.finish(test_loss=1.0)
    with pytest.raises(ValueError, match="holds a finished run: choose another folder"):
        _begin(tmp_path / "run")
    with _begin(tmp_path / "run", overwrite=True) as run:
        with pytest.raises(ValueError, match="has no record up to update 4: begin anew"):
            run.resume_from(4)
        with pytest.raises(ValueError, match="is in use by another process"):
            _begin(tmp_path / "run")


@pytest.mark.parametrize("name", ["history.csv", "events.out.tfevents.1.host", "result.json"])
def test_files_of_others_are_refused_and_left_as_they_are(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("a,b\n")
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=rf"holds {name}, which no run of lrbench has written"):
            lrbench.start(tmp_path, strategy="cosine", overwrite=overwrite)
    assert (tmp_path / name).read_text() == "a,b\n"
    (tmp_path / name).unlink()
    for _ in range(2):  # a run that was killed is begun again
        with lrbench.start(tmp_path, strategy="cosine") as run:
            run.log(1, train_loss=1.0)
    assert (tmp_path / "notes.txt").read_text() == "mine"
