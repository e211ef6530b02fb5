"""The recorded gradient norm is the plain one of every update, before clipping and unscaled."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from runs import Saved, new_loop, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lrbench.run.report import outcome
from lrbench.trainer.loop import Diverged, Interrupted, Loop

RECORD = ["trainer.record_grad_norm=true", "scheduler=constant", "trainer.log_interval=5 steps"]


def curve(folder: Path) -> dict[int, float]:
    """The points of train/grad_norm: update to value."""
    events = EventAccumulator(str(folder))
    events.Reload()
    if "train/grad_norm" not in events.Tags()["scalars"]:
        return {}
    return {point.step: point.value for point in events.Scalars("train/grad_norm")}


def plain_norms(loop: Loop) -> list[float]:
    """Oracle: the gradients of each update of a plain loop, squared and summed in float64."""
    norms = []
    for step in range(36):
        images, labels = loop.data.train.batch(step, seed=0, batch_size=64)
        loop.optimizer.zero_grad()
        F.cross_entropy(loop.model(images), labels).backward()
        squares = [p.grad.double().square().sum() for p in loop.model.parameters()]  # type: ignore
        norms.append(math.sqrt(sum(float(s) for s in squares)))
        if loop.settings.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(loop.model.parameters(), loop.settings.max_grad_norm)
        loop.optimizer.step()
    return norms


@pytest.mark.parametrize("clip", ["null", "0.3"])
def test_it_is_the_largest_since_the_last_record_before_clipping(tmp_path: Path, clip: str) -> None:
    overrides = [*RECORD, f"trainer.max_grad_norm={clip}"]
    norms = plain_norms(new_loop(*overrides))
    loop = new_loop(*overrides)
    run(loop, tmp_path, Saved())
    records = [0, 5, 7, 10, 14, 15, 20, 21, 25, 28, 30, 35, 36]
    largest = {b: max(norms[a:b]) for a, b in pairwise(records)}
    assert curve(tmp_path) == pytest.approx(largest, rel=1e-4)
    result = outcome(loop, None)
    assert result["largest_grad_norm"] == pytest.approx(max(norms), rel=1e-4)
    assert result["largest_grad_norm_step"] == 1 + norms.index(max(norms))


def test_recording_changes_nothing_and_off_is_off(tmp_path: Path) -> None:
    on, off = new_loop(*RECORD), new_loop(*RECORD, "trainer.record_grad_norm=false")
    for loop, name in ((on, "on"), (off, "off")):
        (tmp_path / name).mkdir()
        run(loop, tmp_path / name, Saved())
    weights = off.model.state_dict()
    assert all(torch.equal(v, weights[name]) for name, v in on.model.state_dict().items())
    assert curve(tmp_path / "off") == {}
    result = outcome(off, None)
    assert result["largest_grad_norm"] is result["largest_grad_norm_step"] is None


def test_a_resumed_run_keeps_it(tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole, saved = new_loop(*RECORD), Saved(stop_after=18)  # between records
    run(whole, tmp_path / "whole", Saved())
    with pytest.raises(Interrupted):
        run(new_loop(*RECORD), tmp_path / "cut", saved)
    resumed = new_loop(*RECORD)
    resumed.restore(saved.checkpoints[-1])
    assert resumed.state.pending_grad_norm is not None, "cut at a record: less tested"
    run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"])
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")
    assert resumed.state.largest_grad_norm == whole.state.largest_grad_norm
    assert resumed.state.largest_grad_norm_step == whole.state.largest_grad_norm_step


def test_fp16_is_unscaled_and_leaves_out_refused_updates(tmp_path: Path) -> None:
    overrides = [*RECORD, "trainer.precision=fp16"]
    loop = new_loop(*overrides)
    loop.updater.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)  # overflows at first
    run(loop, tmp_path, Saved())
    assert loop.updater.scaler.get_scale() < 2.0**24, "nothing overflowed: nothing tested"
    expected = max(plain_norms(new_loop(*RECORD)))
    assert loop.state.largest_grad_norm == pytest.approx(expected, rel=0.05)


def test_one_that_is_not_finite_is_null_in_the_result(tmp_path: Path) -> None:
    loop = new_loop(*RECORD, "optimizer.lr=1e30")
    with pytest.raises(Diverged) as error:
        run(loop, tmp_path, Saved())
    result = outcome(loop, None)
    assert result["largest_grad_norm"] is None
    assert 1 < result["largest_grad_norm_step"] <= error.value.step
    assert curve(tmp_path)[error.value.step] == math.inf
