"""``python -m lrbench.search``: shapes by a law and by trials, and how they are written."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "compare"))
from comparison_runs import write_run

from lrbench.config import CONF
from lrbench.forecast.fit import CurveFit
from lrbench.forecast.laws import MULTI_POWER
from lrbench.preview.compose import compose
from lrbench.run.parts import build_part
from lrbench.scheduler import Piecewise
from lrbench.search import trials, written
from lrbench.search.__main__ import main
from lrbench.search.shape import best_shape, laid_out
from lrbench.task import Measure

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


LOSS = Measure(name="loss", higher_is_better=False)
BY_TRIALS = [
    "by=trials", "scheduler=constant,cosine,linear", "scheduler.warmup=5%", "dataset=digits",
    "optimizer.lr=0.001", "trainer.length=400 steps",
]  # fmt: skip


BEST = np.array([1.0, 0.7, 0.3, 0.1])


def farness(factors: np.ndarray) -> float:
    total = len(factors)
    best = laid_out(BEST, total=total, warmup=total // 20, peak=1.0)
    return float(1 + np.abs(factors - best).mean())


def trained(words: Sequence[str], log: Path | None = None) -> str:
    """Stand in for ``python -m lrbench -m``: a run's loss says how far its shape is from `BEST`."""
    assert words[0] == "-m"
    folder = Path(
        next(w for w in words if w.startswith("hydra.sweep.dir=")).split("=")[1].strip("'")
    )
    place = Path(words[words.index("--config-dir") + 1]) if "--config-dir" in words else None
    own = [w for w in words[1:] if "=" in w and not w.startswith("hydra.")]
    for number, choice in enumerate(compose(own, conf=CONF, config_dir=place)):
        total = int(choice.cfg.trainer.length.split()[0])
        factors = build_part(choice.cfg, "scheduler").factors(total, 10)
        final = farness(np.array(factors))
        values = list(choice.cfg.scheduler.get("values", []))
        lost = values[-1:] and values[-1] == 1
        write_run(
            folder / str(number),
            scheduler=choice.name,
            kinds=(LOSS,),
            choices={"scheduler": choice.name},
            changes={"scheduler.values": values},
            diverged_at=50 if lost else None,
            result={"val_loss": None if lost else final},
        )
    assert log is not None
    return "1 of them diverged"


def test_trials_tune_a_few_knots_and_find_the_rival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trials, "train", trained)
    words = [*BY_TRIALS, f"output={tmp_path / 'out'}", "trials=14", "knots=4"]
    main([*words, "--json"])
    found = json.loads(capsys.readouterr().out)
    done = np.linspace(0, 1, 4)

    def after(values: Any) -> float:  # 100 updates, a quarter
        return farness(laid_out(np.array(values), total=100, warmup=5, peak=1.0))

    assert found["values"][0] == 1
    assert (np.diff(found["values"]) <= 0).all()
    # the two shapes that it began with are no better
    assert after(found["values"]) < min(after(1 - done), after(np.minimum(1, (1 - done) / 0.2)))
    assert found["rival"] == "linear"
    # the command that is printed composes, at the full length, with both schedules
    words = shlex.split(found["command"])
    assert words[:6] == ["python", "-m", "lrbench", "-m", "--config-dir", str(tmp_path / "out")]
    asked = [w for w in words[6:] if not w.startswith("hydra.")]
    both = compose(asked, conf=CONF, config_dir=tmp_path / "out")
    assert [choice.name for choice in both] == ["searched", "linear"]
    assert {choice.cfg.trainer.length for choice in both} == {"400 steps"}
    assert {choice.cfg.dataset._target_ for choice in both} == {"lrbench.dataset.Digits"}
    factors = np.array(build_part(both[0].cfg, "scheduler").factors(400, 10))
    expected = laid_out(np.array(found["values"]), total=400, warmup=20, peak=1.0)
    np.testing.assert_allclose(factors[20:], expected[20:], atol=1e-5)


def test_train_true_ends_in_the_comparisons_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Sequence[str]] = []

    def judged(words: Sequence[str], log: Path | None = None) -> str:  # noqa: ARG001
        asked.append(words)
        (tmp_path / "out" / "fresh").mkdir()
        (tmp_path / "out" / "fresh" / "report.json").write_text('{"groups": []}')
        return ""

    monkeypatch.setattr(trials, "train", trained)
    monkeypatch.setattr(written, "train", judged)
    main([*BY_TRIALS, f"output={tmp_path / 'out'}", "trials=4", "train=true", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == {"groups": []}
    (words,) = asked
    assert words == shlex.split(found["command"])[3:]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["runs", "by=luck"], "by=luck is not one of law, trials"),
        (["by=trials", "runs"], "runs: by=trials makes its own runs: name no folders"),
        (["runs", "trials=8"], "trials=8 is for by=trials"),
        (["by=trials", "trials=3"], "trials=3 must be a whole number from 4 to 1000"),
        (["by=trials", "short=0%"], "short=0% must be a share from above 0% to 100%"),
        (["by=trials", "optimizer.lr=0.1,0.2"], "optimizer.lr=0.1,0.2: by=trials takes one: name"),
        (
            ["by=trials", "scheduler.warmup='9 steps'"],
            "scheduler.warmup='9 steps': short runs need",
        ),
        (
            ["by=trials", "scheduler=cosine", "scheduler.k=0.1"],
            "scheduler.k=0.1: a searched",
        ),
        (
            ["scheduler=cosine"],
            "no run folders are named: python -m lrbench.search outputs/MY_RUNS",
        ),
    ],
)
def test_mistakes(words: list[str], line: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert line in str(caught.value)
