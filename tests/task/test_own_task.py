"""A task and a data set of one's own, in files outside the package: trained, swept, compared."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lrbench import __main__ as program
from lrbench.config import trust

PYTHON = """
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F

from lrbench.dataset import Arrays, Dataset
from lrbench.task import TaskConfig
from lrbench.task.regression import RegressionTask


@dataclass(frozen=True, kw_only=True)
class Waves(Dataset):
    num_rows: int

    def read(self):
        random = np.random.default_rng(0)
        inputs = random.uniform(-1, 1, (self.num_rows, 5))
        targets = np.sin(3 * inputs[:, 0]) + inputs[:, 1] * inputs[:, 2]
        test = self.num_rows // 5
        return Arrays(
            train=(inputs[test:], targets[test:]), test=(inputs[:test], targets[:test])
        )


@dataclass(frozen=True, kw_only=True)
class Huber(TaskConfig):
    delta: float

    def build(self, examples):
        return HuberTask(self.delta, examples)


class HuberTask(RegressionTask):
    def __init__(self, delta, examples):
        super().__init__(examples)
        self.delta = delta

    def loss(self, outputs, targets):
        return F.huber_loss(outputs.view_as(targets), targets, delta=self.delta)
"""
DATASET = """
defaults:
  - override /task@_global_.task: huber
_target_: waves.Waves
num_rows: 1000
val_fraction: 0.1
split_seed: 0
"""
TASK = """
_target_: waves.Huber
delta: 0.5
"""


def test_a_regression_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(PYTHON.strip().splitlines()) <= 40
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(trust.VARIABLE, "waves")
    Path("waves.py").write_text(PYTHON)
    for group, name, text in (("dataset", "waves", DATASET), ("task", "huber", TASK)):
        folder = Path("conf", group)
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(text)
    words = ["--config-dir", "conf", "-m", "dataset=waves", "model=mlp", "model.hidden=[16]"]
    words += ["scheduler=cosine,constant", "seed=0,1", "trainer.length=20 epochs"]
    words += ["optimizer.lr=0.1", "hydra.sweep.dir=sweep"]
    monkeypatch.setattr(sys, "argv", ["lrbench", *words])
    program.main()

    run = Path("sweep/cosine/seed=0")
    result = json.loads((run / "result.json").read_text())
    assert list(result["measures"]) == ["rmse", "mae", "r2", "loss"]
    assert (result["unit"], result["status"]) == ("rows", "completed")
    assert result["test_rmse"] < 0.6 * result["measures"]["rmse"]["guess"]
    # The test's measures are those of the checkpoint's network on the very rows.
    rows = np.random.default_rng(0).uniform(-1, 1, (1000, 5))[:200]
    targets = np.sin(3 * rows[:, 0]) + rows[:, 1] * rows[:, 2]
    state = torch.load(run / "checkpoint.pt", weights_only=True)["model"]
    hidden = np.maximum(rows @ state["1.weight"].numpy().T + state["1.bias"].numpy(), 0)
    errors = (hidden @ state["3.weight"].numpy().T + state["3.bias"].numpy())[:, 0] - targets
    assert result["test_rmse"] == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
    assert result["test_r2"] == pytest.approx(1 - np.mean(errors**2) / targets.var(), rel=1e-4)
    with (run / "history.csv").open() as file:
        header, *_ = csv.reader(file)
    assert header[5:9] == ["train_rmse", "train_mae", "train_r2", "train_loss"]

    text = Path("sweep/report.md").read_text()  # which the sweep ends with
    assert "rmse" in text.lower()
    for ending in ("md", "html", "csv", "tex"):
        for path in Path("sweep").glob(f"*.{ending}"):
            assert "accuracy" not in path.read_text().lower(), path
    best = {
        name: np.mean([json.loads(p.read_text())["test_rmse"] for p in paths])
        for name in ("cosine", "constant")
        if (paths := list(Path("sweep", name).glob("*/result.json")))
    }
    leader = min(best, key=best.__getitem__)
    assert f"{leader} has the lowest mean test rmse" in text
