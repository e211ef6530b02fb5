"""A run from another program: trained, its result read, its model loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import lrbench

WORDS = ("model=mlp", "model.hidden=[8]", "trainer.length='2 epochs'", "scheduler=linear")


def test_a_run_is_trained_and_its_model_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = lrbench.train(*WORDS, "seed=3", folder=tmp_path / "run")
    assert (result.strategy, result.seed, result.status) == ("linear", 3, "completed")
    model = lrbench.load_model(tmp_path / "run")
    data = lrbench.load("dataset", "digits").load(torch.device("cpu"), channels_last=False)
    right = num = 0
    for inputs, targets in data.test.batches(64):
        right += int((model(inputs).argmax(1) == targets).sum())
        num += len(targets)
    assert right / num == pytest.approx(result.values["test_accuracy"])
    again = lrbench.train(*WORDS, "seed=3", folder=tmp_path / "run")
    assert again == result  # it was done already
    lrbench.train(*WORDS)
    (made,) = (tmp_path / "outputs").iterdir()
    assert made.name.endswith("_linear")


def test_mistakes_are_told_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trainer.batch_size=0 must be from 1"):
        lrbench.train(*WORDS, "trainer.batch_size=0", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with lrbench.start(tmp_path / "own", strategy="cosine", config={"a": 1}) as run:
        run.finish(test_loss=1.0)
    with pytest.raises(ValueError, match="it has no scheduler"):
        lrbench.load_model(tmp_path / "own")
