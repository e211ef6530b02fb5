"""``python -m lrbench.forecast``: run folders in, table, files and JSON out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from lrbench.forecast.__main__ import main
from lrbench.forecast.arguments import parse
from lrbench.forecast.fit import CurveFit
from lrbench.forecast.laws import MULTI_POWER

THETA = np.array([2.0, -1.0, -1.2, np.log(0.5), 3.0, 0.6, np.log(0.45)])
TRUTH = CurveFit(MULTI_POWER, THETA, unit=1e-3, updates=600.0)


def schedules(total: int) -> dict[str, np.ndarray]:
    done = np.arange(total) / total
    return {
        "constant": np.ones(total),
        "linear": 1 - done,
        "step": np.where(done < 0.5, 1.0, 0.3),
        "wsd": np.minimum(1.0, (1 - done) / 0.2),
    }


SCHEDULES, LONG = schedules(300), schedules(600)


def write_runs(folder: Path, names: tuple[str, ...], *, column: str = "val_loss") -> Path:
    """Runs as another program would write them: history.csv and result.json, no config."""
    steps = np.arange(20, 301, 20)
    for seed, name in enumerate(names):
        lr = 1e-3 * SCHEDULES[name]
        noise = 1 + 1e-3 * np.random.default_rng(seed).standard_normal(len(steps))
        losses = TRUTH.losses(lr, steps) * noise
        run = folder / name
        run.mkdir(parents=True)
        table = np.column_stack([steps, lr[steps - 1], losses])
        header = f"step,lr,{column}"
        np.savetxt(run / "history.csv", table, "%.17g", ",", header=header, comments="")
        result = {"strategy": name, "seed": 0, "status": "completed", "steps": 300,
                  "val_loss": float(losses[-1])}  # fmt: skip
        (run / "result.json").write_text(json.dumps(result))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return write_runs(tmp_path / "runs", tuple(SCHEDULES))


TARGETS = (
    "scheduler=constant,linear", "scheduler.warmup='0 steps'", "optimizer.lr=0.001",
    "trainer.length='600 steps'",
)  # fmt: skip


@pytest.mark.pictures
def test_schedules_are_ranked_drawn_and_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    main([str(runs), *TARGETS, f"output={output}", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["law"] in found["held_out_errors"]
    assert found["runs"] == sorted(SCHEDULES)
    rows = list(csv.DictReader((output / "forecast.csv").open()))
    last = {row["schedule"]: row for row in rows if row["step"] == "600"}
    assert set(last) == {"constant", "linear"}
    assert (output / "forecast.png").stat().st_size > 10_000
    assert (output / "forecast.svg").is_file()
    for f in found["forecasts"]:
        true = TRUTH.losses(1e-3 * LONG[f["schedule"]], [600])[0]
        assert f["low"] < true < f["high"]
        assert [f["loss"], f["low"], f["high"]] == [
            float(last[f["schedule"]][key]) for key in ("loss", "low", "high")
        ]
    losses = [f["loss"] for f in found["forecasts"]]
    assert losses == sorted(losses)
    main([str(runs), *TARGETS, "output=null"])
    told = capsys.readouterr().out
    assert "val_loss of 4 runs" in told
    assert f"{losses[0]:.4f}" in told
    assert found["verdict"] in told


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "no run folders are named"),
        (("nowhere",), "nowhere does not exist"),
        (("{runs}", "outputs="), "outputs=: no such key; did you mean output?"),
        (("{runs}", "output="), "output= needs a value"),
        (("{runs}", "scheduler=plateau", "optimizer.lr=0.001"), "losses that are not known"),
        (("{runs}", "scheduler=linear", "optimizer.lr=0.1"), "peak lr 0.1 is far outside"),
        (("{runs}", "scheduler=linear", "optimizer.lr=0.001", "trainer.length='9000 steps'"),
         "longest run"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(words: tuple[str, ...], line: str, runs: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main([word.format(runs=runs) for word in words])
    told = str(stop.value)
    assert line in told
    assert told.startswith("lrbench.forecast: ")
    assert "\n" not in told


def test_runs_of_different_problems_are_not_mixed(runs: Path) -> None:
    for name, width in (("constant", 32), ("linear", 64)):
        (runs / name / ".hydra").mkdir()
        (runs / name / ".hydra" / "config.yaml").write_text(f"model: {{width: {width}}}\n")
    with pytest.raises(SystemExit, match=r"different problems .model.width: 64 and 32"):
        main([str(runs)])


def test_runs_without_a_common_loss_are_refused(tmp_path: Path) -> None:
    write_runs(tmp_path, ("constant", "step"))
    write_runs(tmp_path, ("linear",), column="val_accuracy")
    with pytest.raises(SystemExit, match="no loss that all of them record"):
        main([str(tmp_path)])


def test_a_run_folder_of_a_sweep_is_no_override() -> None:
    words = ["outputs/five/cosine/seed=0", "seed=0", "hydra/launcher=joblib"]
    found = parse(words)
    assert found.folders == (Path(words[0]),)
    assert list(found.overrides) == words[1:]
