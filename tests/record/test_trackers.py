"""Trackers that follow a run: what the real packages are told, and that none can stop a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lrbench
from lrbench.record import trackers

WORDS = ("model=mlp", "model.hidden=[4]", "trainer.length='2 epochs'", "seed=1")


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "run"
    lrbench.train(*WORDS, folder=folder)
    return folder


def _history(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "history.csv").drop(columns="seconds")


def test_mlflow_is_told_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untracked: Path
) -> None:
    tracking: Any = pytest.importorskip("mlflow.tracking")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes seconds to set up
    uri = f"file:{tmp_path}/mlruns"
    result = lrbench.train(*WORDS, "tracker=mlflow", f"tracker.uri='{uri}'", folder="run")
    client = tracking.MlflowClient(uri)
    experiment = client.get_experiment_by_name("lrbench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["scheduler"] == "cosine"
    assert run.data.params["optimizer.lr"] == "0.1"
    assert run.data.metrics["test/accuracy"] == pytest.approx(result.values["test_accuracy"])
    points = client.get_metric_history(run.info.run_id, "train/loss")
    pd.testing.assert_frame_equal(_history(tmp_path / "run"), _history(untracked))
    assert [point.step for point in points] == _history(untracked)["step"].tolist()
    assert "tracker" not in (tmp_path / "run" / ".hydra" / "config.yaml").read_text()


def test_wandb_writes_into_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    lrbench.train(*WORDS, "tracker=wandb", folder="run")
    (file,) = (tmp_path / "run").glob("wandb/offline-run-*/*.wandb")
    assert b"train/loss" in file.read_bytes()


class Broken:
    """A tracker's sink that fails when it is told of a number."""

    def log(self, *_: object) -> None:
        raise ConnectionError("the server has gone")

    def close(self, _: str) -> None:
        raise AssertionError("it was told again")


def test_a_tracker_that_fails_is_left_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    untracked: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setattr(trackers.MLflow, "open", lambda *_: Broken())
    lrbench.train(*WORDS, "tracker=mlflow", folder=tmp_path / "run")
    pd.testing.assert_frame_equal(_history(tmp_path / "run"), _history(untracked))
    told = [r.message for r in caplog.records if "goes on without it" in r.message]
    assert told == ["the tracker failed, and the run goes on without it: the server has gone"]
    caplog.clear()
    monkeypatch.setattr(trackers.MLflow, "open", lambda *_: 1 / 0)
    lrbench.train(*WORDS, "tracker=mlflow", folder=tmp_path / "other")
    assert "the tracker cannot be opened" in caplog.text


def test_a_package_that_is_missing_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers.MLflow, "package", "no_such_package")
    with pytest.raises(ValueError, match="needs the package no_such_package: pip install"):
        lrbench.train(*WORDS, "tracker=mlflow", folder=tmp_path / "run")
