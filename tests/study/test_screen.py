"""Screening by forecasts: planted truths, a study that leaves out what it may, what cannot be."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts" / "bench"))
from screen import LAWS, study

from lrbench.config import ConfigError
from lrbench.study.__main__ import main
from lrbench.study.arguments import parse
from lrbench.study.composed import compose_study
from lrbench.study.records import Foretold, Screened
from lrbench.study.screen import sentences, short_points

PROGRAM = """
import lrbench, numpy as np

def train():
    with lrbench.start(measure="loss") as run:
        steps = np.arange(1, run.total_steps + 1)
        lr = run.lr * np.array([run.factor(int(step) - 1) for step in steps])
        heat = np.zeros(len(lr) + 1)  # the lr of late, which costs
        for step, value in enumerate(lr):
            heat[step + 1] = 0.95 * heat[step] + 0.05 * value
        loss = 1.5 + 0.3 * np.cumsum(lr) ** -0.4 + 2 * heat[1:]
        loss *= np.exp(0.002 * np.random.default_rng(run.seed).normal())
        for step in steps:
            run.log(int(step), train_loss=float(loss[step - 1]))
            if step % (len(steps) // 20) == 0:
                run.evaluate(int(step), val_loss=float(loss[step - 1]))
        run.finish(test_loss=float(loss[-1]))
"""
WORDS = [
    "loop=function", "loop.target=planted.train", "trust=planted", "optimizer.lr=0.1",
    "trainer.length=160 steps", "study.strategies=[constant,linear,cosine]", "study.num_trials=3",
    "study.tuning_seeds=[1000]", "study.final_seeds=range(3)", "study.looks=[]",
    "study.noise_seeds=[]", "study.untuned=false", "study.max_extensions=0",
    "study.screen_lengths=[25%,50%]", "hydra.sweep.dir=study", "study.screen=true",
]  # fmt: skip


@pytest.mark.parametrize("law", LAWS)
def test_a_planted_best_is_not_left_out_and_much_else_is(law: str) -> None:
    found = study(law, np.random.default_rng(5), misfit=0.003, noise=0.003)
    assert not found.missed
    assert found.regret == 0
    assert found.share > 0.3


def test_a_screened_study_trains_what_may_win_and_says_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "planted.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["lrbench"])
    main([*WORDS, "--json"])
    found = json.loads(capsys.readouterr().out)
    told = found["screened"]
    assert (told["runs"], told["risk"]) == (6, 0.05)
    assert told["updates"] == pytest.approx(3 * 0.75)
    left = {(f["strategy"], f["lr"]) for f in told["forecasts"] if f["left_out"]}
    trained = {(p.parent.name, p.name) for p in (tmp_path / "study/160_steps/tune").glob("*/*")}
    # by the law that was planted, the constant lr ends far behind at every peak lr
    assert {("constant", 0.1), ("constant", 0.2)} <= left
    for name, lr in left:
        assert (name, f"lr={lr:g},seed=1000") not in trained
    assert len(trained) == 9 - len(left)
    page = (tmp_path / "study/report.html").read_text()
    assert "What was left out by forecasts" in page
    assert f"{len(left)} of 9 pairs of schedule and peak lr" in page
    main([*WORDS, "dry_run=true"])
    plan = capsys.readouterr().out
    assert "160 steps, short runs" in plan


def test_the_short_runs_take_lrs_in_turn() -> None:
    words = ["experiment=python_docs_gpt_tiny", "study.strategies=[cosine,plateau,linear]"]
    with compose_study(parse([*words, "study.guide=null", "study.num_trials=3"])) as found:
        points = short_points(found, "800 steps")
    told = [p.folder.relative_to(found.folder).as_posix() for p in points]
    assert told[:4] == [
        "100_steps/short/cosine/lr=0.004,seed=1000",
        "100_steps/short/linear/lr=0.008,seed=1000",
        "100_steps/short/cosine/lr=0.016,seed=1000",
        "200_steps/short/linear/lr=0.004,seed=1000",
    ]
    assert len(points) == 9


def test_what_cannot_be_foretold_leaves_nothing_out() -> None:
    found = Screened(
        num_runs=3, updates=1.0, law="", behind=math.inf, risk=0.05, forecasts=(), unknown=("few",)
    )
    assert sentences(found, ["cosine"]) == ["nothing was left out by forecasts: few"]
    assert found.left_out == frozenset()
    one = Foretold(strategy="wsd", lr=0.1, loss=2.0, low=1.9, high=2.1, left_out=True)
    law = replace(found, law="annealing", behind=0.25, forecasts=(one,), unknown=())
    assert law.left_out == {("wsd", 0.1)}
    (told,) = sentences(law, ["cosine"])
    assert "1 of 1 pair of schedule and peak lr, with them all of wsd; the best is among" in told
    (told,) = sentences(replace(law, forecasts=(replace(one, left_out=False),)), ["wsd"])
    assert told.startswith("nothing was left out after 3 short runs (1 full lengths of updates): ")
    assert told.endswith("only what it forecasts more than 25 % behind could be")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("study.screen_lengths=[50%]", "screen_lengths=['50%'] must hold at least two shares that"),
        ("study.screen_lengths=[50%,100%]", "must hold at least two shares that rise, below 100%"),
        ("study.screen_risk=60%", "screen_risk=60% must be at most 50%"),
    ],
)
def test_what_is_no_screen_is_refused(word: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught, compose_study(parse([word])):
        pass
    assert line in str(caught.value)
