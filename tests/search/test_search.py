"""``python -m lrbench.search``: the best shape under a law, and the schedule it is written as."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lrbench.forecast.fit import CurveFit
from lrbench.forecast.laws import MULTI_POWER
from lrbench.scheduler import Piecewise
from lrbench.search.__main__ import main
from lrbench.search.shape import best_shape, laid_out

THETA = np.array([2.0, -1.0, -1.2, np.log(0.5), 3.0, 0.6, np.log(0.45)])
TRUTH = CurveFit(MULTI_POWER, THETA, unit=1e-3, updates=600.0)
TOTAL, WARMUP, PEAK = 300, 20, 1e-3


def loss(values: np.ndarray) -> float:
    lr = laid_out(values, total=TOTAL, warmup=WARMUP, peak=PEAK)
    return float(TRUTH.losses(lr, [TOTAL])[0])


def test_the_shape_beats_every_named_one_and_never_rises() -> None:
    found = best_shape(TRUTH, total=TOTAL, warmup=WARMUP, peak=PEAK, knots=8)
    assert found[0] == 1.0
    assert (np.diff(found) <= 0).all()
    done = np.linspace(0, 1, 8)
    for named in (np.ones(8), 1 - done, np.sqrt(1 - done), np.minimum(1, (1 - done) / 0.4)):
        assert loss(found) < loss(named)
    for k in range(1, 8):  # no single knot can be moved to win
        for factor in (0.97, 1.03):
            moved = found.copy()
            moved[k] = np.clip(moved[k] * factor, found[k + 1] if k < 7 else 0, found[k - 1])
            assert loss(moved) > loss(found) - 4e-4  # of what gathering drops changes


def test_the_schedule_that_is_written_is_the_one_that_was_forecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = np.arange(300) / 300
    shapes = {"constant": np.ones(300), "linear": 1 - done, "step": np.where(done < 0.5, 1, 0.3)}
    steps = np.arange(20, 301, 20)
    for name, shape in shapes.items():
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        losses = TRUTH.losses(PEAK * shape, steps)
        table = np.column_stack([steps, PEAK * shape[steps - 1], losses])
        header = "step,lr,val_loss"
        np.savetxt(folder / "history.csv", table, "%.17g", ",", header=header, comments="")
        result = {"strategy": name, "seed": 0, "status": "completed", "steps": 300, "val_loss": 1.0}
        (folder / "result.json").write_text(json.dumps(result))
    words = [
        str(tmp_path / "runs"),
        "scheduler=linear",
        "scheduler.warmup='20 steps'",
        "optimizer.lr=0.001",
        "trainer.length='400 steps'",
        f"output={tmp_path / 'out'}",
    ]
    main([*words, "knots=5"])
    told = capsys.readouterr().out
    assert "scheduler=searched,linear optimizer.lr=0.001 trainer.length='400 steps'" in told
    text = (tmp_path / "out" / "scheduler" / "searched.yaml").read_text()
    node = yaml.safe_load(text)
    assert node.pop("_target_") == "lrbench.scheduler.Piecewise"
    values = np.array(node["values"])
    node = {k: tuple(v) if isinstance(v, list) else v for k, v in node.items()}
    factors = np.array(Piecewise(**node).factors(400, 10))
    expected = laid_out(values, total=400, warmup=20, peak=1.0)
    np.testing.assert_allclose(factors[20:], expected[20:], atol=1e-5)
    np.testing.assert_allclose(factors[:20], expected[:20], atol=0.01)
    with pytest.raises(SystemExit, match="knots=2 must be a whole number from 3 to 50"):
        main([*words, "knots=2"])
