"""The descents against Keras, torch, timm and transformers, and by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import FLOAT32, assert_equal, factors, keras, make, timm_lrs, torch_groups

from lrbench.scheduler import Progress


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


@pytest.mark.parametrize(
    ("steps", "floor", "warmup"), [(100, 0.0, 0), (90, 0.1, 10), (60, 0.5, 59), (1, 0.0, 0)]
)
def test_cosine_equals_keras(steps: int, floor: float, warmup: int) -> None:
    theirs = keras().optimizers.schedules.CosineDecay(
        0.0 if warmup else 0.01,
        steps,
        alpha=floor,
        warmup_target=0.01 if warmup else None,
        warmup_steps=warmup,
    )
    ours = make(
        "cosine",
        decay=f"{steps} steps",
        min_factor=floor,
        warmup=f"{warmup} steps",
        warmup_start_factor=0.0,
    )
    lrs = [0.01 * factor for factor in factors(ours, 150)]
    lrs_of_keras = [float(theirs(step)) for step in range(150)]
    assert_equal(lrs, lrs_of_keras, "keras CosineDecay", **FLOAT32)


@settings(max_examples=30, deadline=None)
@given(
    total=st.integers(2, 200),
    share=st.floats(0, 0.9),
    floor=st.floats(0, 1),
    k=st.floats(0.3, 3),
)
def test_cosine_with_k_decay_equals_timm(total: int, share: float, floor: float, k: float) -> None:
    from timm.scheduler.cosine_lr import CosineLRScheduler

    warmup = int(share * total)
    theirs = timm_lrs(
        lambda optimizer: CosineLRScheduler(
            optimizer,
            t_initial=total - warmup,
            lr_min=floor,
            k_decay=k,
            warmup_t=warmup,
            warmup_lr_init=0.1,
            warmup_prefix=True,
            t_in_epochs=False,
        ),
        total + 5,
    )
    ours = make("cosine", min_factor=floor, k=k, warmup=f"{warmup} steps", warmup_start_factor=0.1)
    assert_equal(factors(ours, total, extra=5), theirs, "timm CosineLRScheduler", absolute=1e-12)


def test_reaches_its_peak_after_the_warmup_where_timm_does_not() -> None:
    from timm.scheduler.cosine_lr import CosineLRScheduler

    theirs = timm_lrs(
        lambda o: CosineLRScheduler(o, t_initial=100, warmup_t=30, t_in_epochs=False), 100
    )
    assert max(theirs) < 0.97
    ours = make("cosine", warmup="30 steps", warmup_start_factor=0.0)
    assert factors(ours, 100)[30] == 1.0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.floats(0.01, 1), st.floats(0, 1), st.integers(1, 150))
def test_linear_equals_torch(duration: int, first: float, last: float, total: int) -> None:
    theirs = torch_groups(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, first, last, duration), total
    )
    ours = make("linear", duration=f"{duration} steps", start_factor=first, end_factor=last)
    assert_equal(factors(ours, total), theirs, "torch LinearLR", absolute=1e-12)


def test_linear_to_zero_by_hand() -> None:
    ours = make("linear_to_zero", warmup="2 steps", warmup_start_factor=0.5)
    assert factors(ours, 6, extra=1) == pytest.approx([0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 150), st.floats(0.2, 4))
def test_polynomial_equals_torch(total: int, power: float) -> None:
    theirs = torch_groups(
        lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=total, power=power), total
    )
    ours = make("polynomial", power=power)
    assert_equal(factors(ours, total), theirs, "torch PolynomialLR", absolute=1e-12)


@pytest.mark.parametrize(("power", "floor"), [(1.0, 0.01), (2.0, 0.0), (0.5, 0.3)])
def test_polynomial_equals_keras(power: float, floor: float) -> None:
    theirs = keras().optimizers.schedules.PolynomialDecay(0.01, 100, 0.01 * floor, power)
    ours = make("polynomial", decay="100 steps", power=power, min_factor=floor)
    lrs = [0.01 * factor for factor in factors(ours, 150)]
    lrs_of_keras = [float(theirs(step)) for step in range(150)]
    assert_equal(lrs, lrs_of_keras, "keras PolynomialDecay", **FLOAT32)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 150), st.floats(0.2, 4), st.floats(0, 1))
def test_polynomial_equals_timm(total: int, power: float, floor: float) -> None:
    from timm.scheduler.poly_lr import PolyLRScheduler

    theirs = timm_lrs(
        lambda o: PolyLRScheduler(o, t_initial=total, power=power, lr_min=floor, t_in_epochs=False),
        total + 5,
    )
    ours = make("polynomial", power=power, min_factor=floor)
    assert_equal(factors(ours, total, extra=5), theirs, "timm PolyLRScheduler", absolute=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 150), st.floats(-8, -1), st.floats(0, 5), st.floats(0, 1))
def test_tanh_equals_timm(total: int, lower: float, upper: float, floor: float) -> None:
    from timm.scheduler.tanh_lr import TanhLRScheduler

    theirs = timm_lrs(
        lambda o: TanhLRScheduler(
            o, t_initial=total, lb=lower, ub=upper, lr_min=floor, t_in_epochs=False
        ),
        total + 5,
    )
    ours = make("tanh", lower=lower, upper=upper, min_factor=floor)
    assert_equal(factors(ours, total, extra=5), theirs, "timm TanhLRScheduler", absolute=1e-12)


def test_rex_by_hand() -> None:
    assert factors(make("rex"), 4, extra=2) == pytest.approx([1, 6 / 7, 2 / 3, 2 / 5, 0, 0])
    assert factors(make("rex", min_factor=0.1), 4)[2] == pytest.approx(0.7)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 150), st.floats(0.5, 1))
def test_exponential_equals_torch(total: int, rate: float) -> None:
    theirs = torch_groups(lambda o: torch.optim.lr_scheduler.ExponentialLR(o, rate), total)
    ours = make("exponential", decay_rate=rate, every="1 steps")
    assert_equal(factors(ours, total), theirs, "torch ExponentialLR")


def test_exponential_equals_keras() -> None:
    theirs = keras().optimizers.schedules.ExponentialDecay(0.01, 7, 0.8)
    ours = make("exponential", decay_rate=0.8, every="7 steps")
    lrs = [0.01 * factor for factor in factors(ours, 100)]
    lrs_of_keras = [float(theirs(step)) for step in range(100)]
    assert_equal(lrs, lrs_of_keras, "keras ExponentialDecay", **FLOAT32)


def test_exponential_keeps_to_its_floor() -> None:
    ours = make("exponential", min_factor=0.05)
    assert factors(ours, 100, extra=2)[-3:] == [0.05] * 3


def test_says_when_the_phase_changes() -> None:
    ours = make("cosine", warmup="5 steps", decay="10 steps", min_factor=0.1)
    changes = [(c.step, c.reason) for c in ours.changes(Progress(18, 20, 10))]
    assert changes == [
        (5, "linear warmup ends, cosine decay begins"),
        (15, "cosine decay ends, hold at 0.1 begins"),
    ]
    assert [len(ours.changes(Progress(step, 20, 10))) for step in (4, 5, 14, 15)] == [0, 1, 1, 2]


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
