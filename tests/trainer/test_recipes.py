"""Averages of weights, early stopping and the weights of the best evaluation."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from runs import Saved, each_update, history, new_loop, numbers, run
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lrbench import __main__ as program
from lrbench.task.measure import WELL_KNOWN
from lrbench.trainer import EarlyStopping
from lrbench.trainer.evaluate import evaluate
from lrbench.trainer.loop import Interrupted, Loop

NORMED = ["model=resnet8", "model.width=4", "trainer.batch_size=16", "trainer.eval_batch_size=200"]


def scores(loop: Loop, model: torch.nn.Module) -> Any:
    batches = loop.data.test.batches(loop.settings.eval_batch_size)
    return evaluate(model, batches, loop.task, autocast=nullcontext)


def test_the_average_is_torchs_and_is_evaluated_beside_the_weights(tmp_path: Path) -> None:
    loop = new_loop(*NORMED, "trainer.ema_decay=0.9")
    oracle = AveragedModel(loop.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    oracle.n_averaged += 1  # the initial weights are in it
    each_update(loop, lambda loop: oracle.update_parameters(loop.model))
    found = run(loop, tmp_path, Saved())
    expected = oracle.module.state_dict()
    for name, tensor in loop.others.average.items():
        assert torch.equal(tensor, expected[name]), name
    raw, averaged = scores(loop, loop.model), scores(loop, oracle.module)
    assert found == raw | {f"ema_{name}": value for name, value in averaged.items()}
    assert averaged != raw
    last = history(tmp_path)[-1]
    assert last["train_ema_loss"] == ""
    assert float(last["val_ema_loss"]) == pytest.approx(loop.state.validations["ema_loss"][-1])
    plain = new_loop(*NORMED)
    (tmp_path / "plain").mkdir()
    assert run(plain, tmp_path / "plain", Saved()) == raw, "the average changed the training"


def test_the_best_evaluations_weights_are_tested(tmp_path: Path) -> None:
    """Oracle: a checkpoint at every evaluation. From update 22 on the last layer is spoilt."""

    def spoil(loop: Loop) -> None:
        with torch.no_grad():
            for parameter in [*loop.model.parameters()][-2:]:
                parameter.mul_(loop.state.step < 21)

    every = ["trainer.checkpoint_interval_seconds=0", "trainer.log_interval=7 steps"]
    loop, saved = new_loop(*every, "trainer.keep_best=true"), Saved()
    each_update(loop, spoil)
    found = run(loop, tmp_path, saved)
    kept = loop.others.best
    assert kept is not None
    assert kept[0] == loop.state.val_steps[loop.state.best_evaluation(loop.measures) or 0]
    assert kept[0] <= 21
    final = saved.checkpoints[-1]["model"]
    assert all(torch.equal(final[name], t) for name, t in loop.model.state_dict().items())
    assert not final["5.bias"].any()
    loop.model.load_state_dict(
        next(c["model"] for c in saved.checkpoints if c["state"]["step"] == kept[0])
    )
    assert scores(loop, loop.model) == found


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "ends"),
    [
        ([0.5, 0.6, 0.6, 0.59], 2, 0, True),
        ([0.5, 0.6, 0.6, 0.61], 2, 0, False),
        ([0.5, 0.7, 0.75, 0.79], 2, 0.1, True),  # none is 0.1 better than 0.7
        ([0.5, 0.7, 0.75, 0.81], 2, 0.1, False),
        ([0.5], 1, 0, False),
        ([0.5, 0.5], 1, 0, True),
        ([0.5] * 99, None, 0, False),
        ([], 1, 0, False),
    ],
)
def test_when_patience_ends(
    values: list[float], patience: int | None, min_delta: float, ends: bool
) -> None:
    stopping = EarlyStopping(patience=patience, min_delta=min_delta)
    assert stopping.ends(values, WELL_KNOWN["accuracy"]) is ends
    assert stopping.ends([1 - value for value in values], WELL_KNOWN["loss"]) is ends


def test_a_cut_run_with_all_of_it_is_bit_identical(tmp_path: Path) -> None:
    overrides = [*NORMED, "trainer.ema_decay=0.9", "trainer.keep_best=true", "optimizer.lr=1"]
    overrides += ["trainer.early_stopping.patience=1", "scheduler=plateau", "scheduler.patience=0"]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole, counted = new_loop(*overrides), Saved()
    expected = run(whole, tmp_path / "whole", counted)
    assert whole.state.step < 36, "not stopped early: nothing tested"
    for before_end in (11, 5, 1):  # in an update, in an evaluation of the average, in the test
        saved = Saved(stop_after=counted.asked - before_end)
        with pytest.raises(Interrupted):
            run(new_loop(*overrides), tmp_path / "cut", saved)
        resumed = new_loop(*overrides)
        resumed.restore(saved.checkpoints[-1])
        assert run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"]) == expected
        assert history(tmp_path / "cut") == history(tmp_path / "whole")
        assert resumed.state.step == whole.state.step
        for a, b in (
            (whole.model.state_dict(), resumed.model.state_dict()),
            (whole.others.average, resumed.others.average),
            (whole.others.best[1][""], resumed.others.best[1][""]),  # type: ignore[index]
        ):
            assert all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_a_run_by_the_clock_is_as_far_as_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a second an update and 100 an evaluation, by a clock of the test's: 10 s are 20."""
    now = [0.0]
    monkeypatch.setattr("lrbench.trainer.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))
    words = ["trainer.length=10 s", "scheduler.warmup=20%", "scheduler=cosine"]
    words += ["trainer.checkpoint_interval_seconds=1e9"]

    def timed() -> Loop:
        def tick(_: Loop) -> None:
            now[0] += 0.5

        def slow_scores(*arguments: Any) -> Any:
            now[0] += 100
            return scores(*arguments)

        loop = new_loop(*words)
        scores = loop.evaluator._scores
        loop.evaluator._scores = slow_scores  # type: ignore[method-assign, assignment]
        each_update(loop, tick)
        return loop

    for name in ("steps", "clock", "cut"):
        (tmp_path / name).mkdir()
    steps = ["trainer.length=20 steps", "trainer.log_interval=1 step"]
    expected = run(new_loop(*words, *steps), tmp_path / "steps", Saved())
    assert run(timed(), tmp_path / "clock", Saved()) == expected
    lrs = [numbers(history(tmp_path / name), "lr") for name in ("steps", "clock")]
    assert lrs[0] == lrs[1]
    saved = Saved(stop_after=12)
    with pytest.raises(Interrupted):
        run(timed(), tmp_path / "cut", saved)
    now[0] += 1e6  # between a run and its end
    resumed = timed()
    resumed.restore(saved.checkpoints[-1])
    assert run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"]) == expected
    assert history(tmp_path / "cut") == history(tmp_path / "clock")
    assert resumed.state.train_seconds == 10


def test_what_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["model=mlp", "trainer.length=2560 images", "trainer.eval_interval=5 steps"]
    words += ["trainer.ema_decay=0.5", "trainer.keep_best=true", "hydra.run.dir=run"]
    words += ["trainer.early_stopping.patience=1", "trainer.early_stopping.min_delta=0.9"]
    monkeypatch.setattr(sys, "argv", ["lrbench", *words])
    program.main()
    result = json.loads(Path("run/result.json").read_text())
    assert (result["status"], result["steps"]) == ("completed", 10)
    assert (result["stopped_early_at"], result["tested_step"]) == (10, result["best_val_step"])
    assert set(result["measures"]) == {"accuracy", "loss", "ema_accuracy", "ema_loss"}
    assert 0 <= result["test_ema_accuracy"] <= 1
    best = torch.load("run/best.pt", weights_only=True)
    assert best["step"] == result["tested_step"]
    assert "1.weight" in best["model"]
