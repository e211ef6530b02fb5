"""Other libraries' loops under lrbench's schedules: what they use, and what they leave."""

from __future__ import annotations

import importlib
import json
import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lrbench

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"
PLATEAU = {"patience": 0, "threshold": 10.0, "cooldown": 0, "warmup": "0 steps"}


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("plain_loop", "torch"),
        ("huggingface_trainer", "transformers"),
        ("lightning_module", "pytorch_lightning"),
    ],
)
def test_an_example_trains_under_the_schedule(name: str, package: str, tmp_path: Path) -> None:
    pytest.importorskip(package)
    script = EXAMPLES / f"{name}.py"
    added = [line for line in script.read_text().splitlines() if line.endswith("  # lrbench")]
    assert len(added) <= 10
    main: Any = runpy.run_path(str(script))["main"]
    main("linear", seed=1, steps=40, folder=str(tmp_path / "run"))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert (result["status"], result["steps"], result["strategy"]) == ("completed", 40, "linear")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    factors = lrbench.load("scheduler", "linear").factors(40, 40)
    expected = [0.01 * factors[step - 1] for step in history["step"]]
    assert history["lr"].tolist() == pytest.approx(expected, rel=1e-6)
    assert history["val_loss"].notna().any()
    assert history["train_loss"].notna().sum() >= 8


def test_a_plateau_is_told_by_the_trainer(tmp_path: Path) -> None:
    """Without the callback the Trainer calls step() without a loss, and the lr is constant."""
    pytest.importorskip("transformers")
    example: Any = runpy.run_path(str(EXAMPLES / "huggingface_trainer.py"))
    start = lrbench.start

    def begin(folder: str, **settings: Any) -> Any:
        return start(folder, **settings, scheduler=PLATEAU)

    example["main"].__globals__["lrbench"] = type("lrbench", (), {"start": staticmethod(begin)})
    example["main"]("plateau", steps=60, folder=str(tmp_path / "run"))
    history = pd.read_csv(tmp_path / "run" / "history.csv").set_index("step")
    assert history["lr"][20] == pytest.approx(0.01)
    assert history["lr"][60] < 0.01


def test_keras_trains_under_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    import numpy as np

    callback = importlib.import_module("lrbench.integrations.keras").LrbenchCallback
    x = np.linspace(-1, 1, 40, dtype="float32")[:, None]
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.2), "mse")
    with lrbench.start(tmp_path / "run", strategy="linear", lr=0.2) as run:
        how = {"epochs": 4, "batch_size": 8, "validation_split": 0.2, "verbose": 0}
        model.fit(x, 3 * x, callbacks=[callback(run)], **how)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["step"].tolist() == [4, 8, 12, 16]
    factors = lrbench.load("scheduler", "linear").factors(16, 4)
    assert history["lr"].tolist() == pytest.approx([0.2 * factors[i] for i in (3, 7, 11, 15)])
    assert history["val_loss"].notna().all()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "completed"
    model.compile(keras.optimizers.SGD(0.2), "mse")
    with lrbench.start(tmp_path / "cycle", strategy="onecycle", lr=0.2) as run:
        cycle = callback(run)
        with pytest.raises(ValueError, match="cycles momentum, which is not done in Keras"):
            model.fit(x, 3 * x, callbacks=[cycle], epochs=1, verbose=0)
