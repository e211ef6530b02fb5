"""The descents against Keras, torch, timm and transformers, and by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, factors, make, torch_groups


def test_constant() -> None:
    assert factors(make("constant"), 3, extra=2) == [1.0] * 5


def test_cosine_equals_the_recorded_keras_values() -> None:
    ours = make("cosine", decay="1000 steps")
    recorded = {0: 0.009999999776, 1: 0.009999974631, 250: 0.008535534143, 500: 0.004999999423}
    recorded |= {999: 2.473592708e-08, 1000: 0.0, 1500: 0.0}
    values = factors(ours, 2000)
    for step, lr in recorded.items():
        assert 0.01 * values[step] == pytest.approx(lr, rel=1e-6, abs=1e-9)


def test_cosine_with_warmup_equals_the_recorded_keras_values() -> None:
    ours = make(
        "cosine", decay="900 steps", min_factor=0.1, warmup="100 steps", warmup_start_factor=0.0
    )
    recorded = {0: 0.0, 1: 9.999999747e-05, 250: 0.009397114627, 500: 0.006281416398}
    recorded |= {999: 0.001000027289, 1000: 0.001000000047, 1500: 0.001000000047}
    values = factors(ours, 2000)
    for step, lr in recorded.items():
        assert 0.01 * values[step] == pytest.approx(lr, rel=1e-6, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.floats(0, 1))
def test_cosine_equals_torch(total: int, floor: float) -> None:
    theirs = torch_groups(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=total, eta_min=floor), total
    )
    ours = factors(make("cosine", min_factor=floor), total)
    assert_equal(ours, theirs, "torch CosineAnnealingLR", absolute=1e-12)


def test_cosine_holds_its_floor_where_torch_climbs() -> None:
    theirs = torch_groups(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=4), 8)
    assert theirs[6] == pytest.approx(0.5)
    ours = factors(make("cosine", decay="4 steps"), 8, extra=2)
    assert ours == pytest.approx([1, 0.853553390593, 0.5, 0.146446609407] + [0] * 6, abs=1e-12)


def test_decay_longer_than_the_run_is_cut_off_and_one_of_no_updates_is_the_floor() -> None:
    assert factors(make("cosine", decay="20 steps"), 10, extra=2)[9:] == pytest.approx(
        [0.578217232520, 0.5, 0.5]
    )
    assert factors(make("cosine", decay="0 steps", min_factor=0.2), 3) == [0.2] * 3


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential", "constant"])
def test_warmup_shapes(shape: str) -> None:
    ours = make("constant", warmup="4 steps", warmup_shape=shape, warmup_start_factor=0.0625)
    expected = {
        "linear": [0.0625, 0.296875, 0.53125, 0.765625],
        "cosine": [0.0625, 0.199793696, 0.53125, 0.862706304],
        "exponential": [0.0625, 0.125, 0.25, 0.5],
        "constant": [0.0625] * 4,
    }[shape]
    assert factors(ours, 6) == pytest.approx([*expected, 1.0, 1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0.0}, "k=0.0 must be above 0"),
        ({"min_factor": -0.1}, "min_factor=-0.1 must"),
        ({"decay": "all"}, "decay='all' is not a duration.*or 'rest'"),
        ({"warmup": "5"}, "warmup='5' is not a duration"),
        ({"warmup_shape": "line"}, "warmup_shape=line is not one of.*did you mean linear"),
        ({"warmup_start_factor": 1.5}, "warmup_start_factor=1.5 must be between 0 and 1"),
        (
            {"warmup_shape": "exponential", "warmup_start_factor": 0.0},
            "warmup_start_factor=0.0 must be above 0",
        ),
    ],
)
def test_refuses_bad_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("cosine", **changes)


@pytest.mark.parametrize("warmup", ["600 steps", "500 steps", "100%", "50 epochs"])
def test_refuses_a_warmup_as_long_as_the_run(warmup: str) -> None:
    message = rf"warmup={warmup} must be shorter than the run \(500 steps\)"
    with pytest.raises(ValueError, match=message):
        factors(make("cosine", warmup=warmup), 500)
    with pytest.raises(ValueError, match=message):
        make("cosine", warmup=warmup).phases(500, 10)
