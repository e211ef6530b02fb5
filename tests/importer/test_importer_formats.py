"""Logs as the real tools write them become run folders with the numbers that were logged."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lrbench.files.result import parse_result
from lrbench.importer import Import, import_runs

STEPS = 12
LR = [0.1 * (1 - step / STEPS) for step in range(STEPS)]
LOSS = [1 / (1 + step) for step in range(STEPS)]
HALF = [0.5] * STEPS


def imported(source: Path, to: Path, **choices: Any) -> tuple[dict[str, Any], pd.DataFrame, Import]:
    """The only run in `source`: its result, which keeps to the contract, and its history."""
    found = import_runs(source, to, **choices)
    (name,) = found.runs
    result = json.loads((to / name / "result.json").read_text())
    parse_result(result)
    return result, pd.read_csv(to / name / "history.csv"), found


def column(history: pd.DataFrame, name: str) -> list[float]:
    return list(history[name].dropna())


def test_tensorboard(tmp_path: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    for seed in (0, 1):
        with tensorboard.SummaryWriter(str(tmp_path / f"logs/cosine/seed={seed}")) as writer:
            for step in range(STEPS):
                writer.add_scalar("train/loss", LOSS[step], step)
                writer.add_scalar("lr-AdamW", LR[step], step)
                writer.add_text("note", "no number", step)
                if step % 4 == 3:
                    writer.add_scalar("val/accuracy", step / STEPS, step, new_style=True)
    whole = next((tmp_path / "logs/cosine/seed=1").glob("events*"))
    whole.write_bytes(whole.read_bytes()[:-20])  # half-written: the last accuracy is lost
    found = import_runs(tmp_path / "logs", tmp_path / "to", pattern="{strategy}/seed={seed}")
    assert sorted(found.runs) == ["cosine/seed=0", "cosine/seed=1"]
    run = found.runs["cosine/seed=0"]
    np.testing.assert_allclose(column(run.history, "lr"), LR, rtol=1e-6)
    np.testing.assert_allclose(column(run.history, "train_loss"), LOSS, rtol=1e-6)
    assert list(run.history["step"]) == list(range(STEPS))
    assert (run.result["strategy"], run.result["seed"]) == ("cosine", 0)
    assert run.result["val_accuracy"] == pytest.approx(11 / 12)
    cut = found.runs["cosine/seed=1"]
    assert cut.result["val_accuracy"] == pytest.approx(7 / 12)
    assert "its last event was half-written: left out" in cut.notes


def test_lightning(tmp_path: Path) -> None:
    loggers = pytest.importorskip("pytorch_lightning.loggers")
    logger = loggers.CSVLogger(tmp_path / "logs", name="", version="a", flush_logs_every_n_steps=3)
    logger.log_hyperparams({"lr": 0.1, "seed": 5, "scheduler": "linear", "weight_decay": 0.01})
    for step in range(STEPS):
        logger.log_metrics({"train_loss_step": LOSS[step], "lr-SGD": LR[step]}, step)
        if step % 4 == 3:
            logger.log_metrics({"val_loss": LOSS[step], "epoch": step // 4}, step)
    logger.save()
    logger.finalize("success")
    result, history, _ = imported(tmp_path / "logs", tmp_path / "to")
    assert column(history, "train_loss") == pytest.approx(LOSS)
    assert column(history, "lr") == pytest.approx(LR)
    assert column(history, "val_loss") == pytest.approx(LOSS[3::4])
    assert (result["strategy"], result["seed"], result["val_loss"]) == ("linear", 5, LOSS[-1])
    config = (tmp_path / "to/a/.hydra/config.yaml").read_text()
    assert "lr: 0.1" in config
    assert "weight_decay: 0.01" in config


def test_hugging_face(tmp_path: Path) -> None:
    """The states that a Trainer leaves with two checkpoints, as they write themselves."""
    callback = pytest.importorskip("transformers.trainer_callback")
    for steps in (4, 8):
        logs: list[dict[str, float]] = []
        for step in range(1, steps + 1):
            logs.append({"loss": LOSS[step], "learning_rate": LR[step], "epoch": step / 4,
                         "step": step})  # fmt: skip
            if step % 4 == 0:
                logs.append({"eval_loss": math.nan if step == 8 else 1.0, "epoch": 1.0,
                             "eval_runtime": 0.1, "step": step})  # fmt: skip
        folder = tmp_path / f"out/a/checkpoint-{steps}"
        folder.mkdir(parents=True)
        state = callback.TrainerState(global_step=steps, max_steps=8, log_history=logs)
        state.save_to_json(str(folder / "trainer_state.json"))
    result, history, _ = imported(tmp_path / "out", tmp_path / "to", pattern="{strategy}")
    assert column(history, "lr") == LR[1:9]
    assert column(history, "val_loss") == [1.0]
    assert (result["strategy"], result["steps"]) == ("a", 8)
    assert result["status"] == "diverged"  # its last evaluation is NaN


def test_keras(tmp_path: Path) -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    x = np.ones((8, 1), dtype="float32")
    fitted = model.fit(
        x, 2 * x, validation_split=0.5, epochs=3, verbose=0,
        callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch)),
            keras.callbacks.CSVLogger(str(tmp_path / "step-1.log")),
        ],
    )  # fmt: skip
    result, history, found = imported(
        tmp_path / "step-1.log", tmp_path / "to", pattern="{strategy}-{seed}", steps_per_epoch=2
    )
    assert column(history, "val_loss") == pytest.approx(fitted.history["val_loss"])
    assert column(history, "lr") == pytest.approx([0.1, 0.05, 0.1 / 3])
    assert list(history["step"]) == [2, 4, 6]
    assert (result["strategy"], result["seed"], result["steps"]) == ("step", 1, 6)
    assert found.reading.measures[0].name == "loss"


def test_timm(tmp_path: Path) -> None:
    summary = pytest.importorskip("timm.utils.summary")
    (tmp_path / "runs/a").mkdir(parents=True)
    for epoch in range(3):
        summary.update_summary(
            epoch, {"loss": LOSS[epoch]}, {"loss": LOSS[epoch], "top1": 50.0 + epoch, "top5": 90.0},
            str(tmp_path / "runs/a/summary.csv"), lr=LR[epoch],
        )  # fmt: skip
    (tmp_path / "runs/a/args.yaml").write_text("sched: cosine\nseed: 42\nlr: 0.1\nepochs: 3\n")
    result, history, found = imported(tmp_path / "runs", tmp_path / "to")
    assert (result["strategy"], result["seed"]) == ("cosine", 42)
    assert (result["val_top1"], result["steps"]) == (52.0, 3)
    assert column(history, "lr") == LR[:3]
    assert found.reading.measures[0].scale == 1.0  # percent already: points as they are
    assert found.runs["a"].result["axis"] == "epochs"


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = {"optimizer": {"lr": 0.1}, "seed": 7, "lr_scheduler_type": "cosine"}
    with wandb.init(dir=tmp_path, mode="offline", name="mine", config=config) as run:
        for step in range(STEPS):
            run.log({"loss": LOSS[step], "learning_rate": LR[step], "trainer/global_step": step * 5,
                     "x" * 40_000: 1.0})  # fmt: skip
        run.log({"val_loss": float("nan"), "trainer/global_step": 55})
    result, history, _ = imported(tmp_path / "wandb", tmp_path / "to")
    assert column(history, "train_loss") == LOSS  # of records longer than the format's blocks
    assert column(history, "lr") == LR
    assert list(history["step"]) == [5 * step for step in range(STEPS)]
    assert (result["strategy"], result["seed"], result["status"]) == ("cosine", 7, "diverged")


def test_wandb_export(tmp_path: Path) -> None:
    """A chart's CSV, written by hand after W&B's documentation of exports."""
    (tmp_path / "chart.csv").write_text(
        '"Step","cosine-0 - val/loss","cosine-0 - val/loss__MIN","cosine-0 - val/loss__MAX",'
        '"wsd-0 - val/loss","wsd-0 - val/loss__MIN","wsd-0 - val/loss__MAX"\n'
        '"0","2.0","2.0","2.0","2.5","2.5","2.5"\n"10","1.0","1.0","1.0","","",""\n'
    )
    found = import_runs(tmp_path / "chart.csv", tmp_path / "to", pattern="{strategy}-{seed}")
    results = [run.result for run in found.runs.values()]
    assert [(r["strategy"], r["seed"], r["val_loss"], r["steps"]) for r in results] == [
        ("cosine", 0, 1.0, 10),
        ("wsd", 0, 2.5, 0),
    ]


MLFLOW_TABLES = """
CREATE TABLE runs (run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), status VARCHAR(9),
  lifecycle_stage VARCHAR(20));
CREATE TABLE metrics (key VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL,
  run_uuid VARCHAR(32) NOT NULL, step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN);
CREATE TABLE params (key VARCHAR(250) NOT NULL, value VARCHAR(8000), run_uuid VARCHAR(32));
"""


def test_mlflow_database(tmp_path: Path) -> None:
    """Rows as MLflow 3.17 wrote them, in those of its tables' columns that are read.

    MLflow takes 15 s to make its tables, so that it does not do so here.
    """
    import sqlite3

    store = sqlite3.connect(tmp_path / "mlflow.db")
    store.executescript(MLFLOW_TABLES)
    store.execute("INSERT INTO runs VALUES ('b76d', 'r1', 'FINISHED', 'active')")
    store.execute("INSERT INTO runs VALUES ('c000', 'gone', 'FINISHED', 'deleted')")
    params = {"lr": "0.1", "seed": "1", "scheduler": "cosine"}
    store.executemany("INSERT INTO params VALUES (?, ?, 'b76d')", params.items())
    rows = [("val_loss", LOSS[step], 100 + step, step * 10, 0) for step in range(STEPS)]
    rows.append(("val_loss", 0.0, 900, 500, 1))
    store.executemany("INSERT INTO metrics VALUES (?, ?, ?, 'b76d', ?, ?)", rows)
    store.commit()
    store.close()
    result, history, _ = imported(tmp_path / "mlflow.db", tmp_path / "to")
    assert column(history, "val_loss") == LOSS
    assert (result["strategy"], result["seed"], result["status"]) == ("cosine", 1, "diverged")


def test_mlflow_file_store(tmp_path: Path) -> None:
    """The files that MLflow's documentation of its file store names."""
    run = tmp_path / "mlruns/0/b76d246832cc40b0"
    for folder in ("metrics/val", "params"):
        (run / folder).mkdir(parents=True)
    (run / "meta.yaml").write_text(
        "artifact_uri: file:///x\nrun_id: b76d246832cc40b0\nrun_name: r1\nstatus: 4\n"
    )
    (run / "metrics/val/loss").write_text("100 2.0 0\n101 1.5 10\n102 nan 20\n103 1.25 30\n")
    (run / "params/scheduler").write_text("linear")
    result, history, found = imported(tmp_path, tmp_path / "to")
    assert column(history, "val_loss") == [2.0, 1.5, 1.25]
    assert (result["strategy"], result["status"]) == ("linear", "stopped")  # it FAILED
    assert list(found.runs) == ["mlruns/0/r1"]


def test_mlflow_file_store_of_its_own_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking: Any = pytest.importorskip("mlflow.tracking")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database takes seconds to set up
    client = tracking.MlflowClient(f"file:{tmp_path}/mlruns")
    run = client.create_run(client.create_experiment("own"), run_name="r1").info.run_id
    for key, value in {"scheduler": "cosine", "seed": 3, "lr": 0.1}.items():
        client.log_param(run, key, value)
    for step in range(STEPS):
        client.log_metric(run, "val/loss", LOSS[step], step=step * 10)
        client.log_metric(run, "lr", LR[step], step=step * 10)
    client.set_terminated(run)
    result, history, _ = imported(tmp_path / "mlruns", tmp_path / "to")
    assert column(history, "val_loss") == LOSS
    assert column(history, "lr") == LR
    assert list(history["step"]) == [step * 10 for step in range(STEPS)]
    assert (result["strategy"], result["seed"], result["status"]) == ("cosine", 3, "completed")


def test_json_of_records_lines_and_columns(tmp_path: Path) -> None:
    records = [{"iter": 5 * step, "val_loss": LOSS[step], "note": "a"} for step in range(STEPS)]
    columns = {"iter": [5 * step for step in range(STEPS)], "val_loss": LOSS}
    texts = {
        "records": json.dumps(records),
        "lines": "\n".join(map(json.dumps, records)) + '\n{"iter": 60, "val_lo',
        "columns": json.dumps(columns),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.json").write_text(text)
        _, history, _ = imported(tmp_path / f"{name}.json", tmp_path / name)
        assert column(history, "val_loss") == LOSS
        assert list(history["step"]) == columns["iter"]
