"""A loop of one's own has the numbers of lrbench's own on the same problem, so the same verdict."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lrbench.__main__ import main
from lrbench.files.result import read_result

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_a_function_trains_as_lrbenchs_own_loop_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python scripts/same_verdict.py FOLDER`` shows the verdicts of whole sweeps."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(sys, "argv", ["lrbench"])
    monkeypatch.chdir(tmp_path)
    script: Any = importlib.import_module("same_verdict")
    length, lr = script.SWEEP[-1], script.SWEEP[-2]
    for strategy in ("cosine", "plateau"):
        for kind in ("own", "function"):
            words = [f"scheduler={strategy}", "seed=1", lr, length, *script.KINDS[kind]]
            main([*words, f"hydra.run.dir={kind}/{strategy}"])
        own, function = (tmp_path / kind / strategy for kind in ("own", "function"))
        a, b = (pd.read_csv(path / "history.csv", index_col="step") for path in (own, function))
        both = ["lr", "train_loss", "val_loss", "val_accuracy"]
        assert len(a) == len(b) == 60
        pd.testing.assert_frame_equal(a[both], b[both], rtol=1e-3, atol=1e-3)
        results = [read_result(path / "result.json")[0] for path in (own, function)]
        assert results[0].values["test_loss"] == pytest.approx(results[1].values["test_loss"], 1e-3)
        assert [result.paired for result in results] == [True, True]
