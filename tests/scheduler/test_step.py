"""Step, MultiStep and Piecewise against torch, timm and Keras, and by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import FLOAT32, assert_equal, factors, keras, make, timm_lrs, torch_groups

from lrbench.scheduler import Progress


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.floats(0.05, 0.95), st.integers(1, 150))
def test_step_equals_torch(every: int, cut: float, total: int) -> None:
    theirs = torch_groups(lambda o: torch.optim.lr_scheduler.StepLR(o, every, cut), total)
    ours = make("step", every=f"{every} steps", cut_factor=cut)
    assert_equal(factors(ours, total), theirs, "torch StepLR", absolute=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.floats(0.05, 0.95), st.integers(0, 20))
def test_step_equals_timm(every: int, cut: float, warmup: int) -> None:
    from timm.scheduler.step_lr import StepLRScheduler

    theirs = timm_lrs(
        lambda o: StepLRScheduler(
            o, decay_t=every, decay_rate=cut, warmup_t=warmup, t_in_epochs=False
        ),
        100,
    )
    ours = make(
        "step",
        every=f"{every} steps",
        cut_factor=cut,
        warmup=f"{warmup} steps",
        warmup_start_factor=0.0,
    )
    assert_equal(factors(ours, 100), theirs, "timm StepLRScheduler")


def test_step_equals_the_exponential_stairs_of_keras() -> None:
    theirs = keras().optimizers.schedules.ExponentialDecay(0.01, 7, 0.8, staircase=True)
    ours = make("step", every="7 steps", cut_factor=0.8)
    lrs = [0.01 * factor for factor in factors(ours, 100)]
    lrs_of_keras = [float(theirs(step)) for step in range(100)]
    assert_equal(
        lrs, lrs_of_keras, "keras ExponentialDecay", **FLOAT32, apart_from=range(0, 100, 7)
    )
    assert factors(ours, 100)[::7] == pytest.approx([0.8**i for i in range(15)])


def test_step_keeps_to_its_floor_and_says_what_it_did() -> None:
    ours = make("step", every="10 steps", min_factor=0.05)
    assert factors(ours, 40, extra=10)[::10] == [1.0, 0.1, 0.05, 0.05, 0.05]
    assert [(c.step, c.reason) for c in ours.changes(Progress(39, 40, 10))] == [
        (10, "cut 1: to 0.1 of the base lr"),
        (20, "cut 2: to 0.05 of the base lr"),
    ]


def test_step_does_not_cut_at_the_end_of_the_run() -> None:
    assert factors(make("step", every="10 steps"), 20, extra=5)[19:] == [0.1] * 6


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=6).map(sorted), st.floats(0.05, 0.95))
def test_multistep_equals_torch(milestones: list[int], cut: float) -> None:
    theirs = torch_groups(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones, cut), 150)
    ours = make("multistep", milestones=tuple(f"{m} steps" for m in milestones), cut_factor=cut)
    # torch does not cut for a milestone at step 0: nothing has stepped there yet.
    if 0 not in milestones:
        assert_equal(factors(ours, 150), theirs, "torch MultiStepLR")
    else:
        assert factors(ours, 150)[0] == pytest.approx(cut ** milestones.count(0))


def test_multistep_equals_timm_one_step_later() -> None:
    from timm.scheduler.multistep_lr import MultiStepLRScheduler

    theirs = timm_lrs(
        lambda o: MultiStepLRScheduler(o, decay_t=[10, 30], decay_rate=0.1, t_in_epochs=False),
        50,
    )
    ours = make("multistep", milestones=("9 steps", "29 steps"))
    assert_equal(factors(ours, 50), theirs, "timm MultiStepLRScheduler")


def test_milestones_count_from_the_start_of_the_run() -> None:
    ours = make("multistep", warmup="20 steps", warmup_start_factor=0.5)
    assert [factors(ours, 100)[step] for step in (0, 20, 49, 50, 74, 75)] == pytest.approx(
        [0.5, 1, 1, 0.1, 0.1, 0.01]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"milestones": ("50%", "200 steps")}, "milestones=200 steps must not lie past the run"),
        ({"milestones": ("50%", "40%")}, "milestones=40% must come after 50%"),
        ({"warmup": "60 steps"}, "milestones=50% must come after the warmup"),
    ],
)
def test_multistep_refuses_what_does_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factors(make("multistep", **changes), 100)


def test_piecewise_by_hand() -> None:
    ours = make("piecewise", positions=("2 steps", "6 steps", "8 steps"), values=(0.2, 1.0, 0.0))
    assert factors(ours, 10, extra=2) == pytest.approx(
        [0.2, 0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 0.5, 0, 0, 0, 0]
    )
    wave = make("piecewise", positions=("0%", "50%"), values=(1.0, 0.0), interpolation="cosine")
    assert factors(wave, 8)[:5] == pytest.approx([1, 0.853553390593, 0.5, 0.146446609407, 0])


def test_piecewise_with_a_warmup_goes_up_to_the_line() -> None:
    ours = make(
        "piecewise",
        positions=("0%", "100%"),
        values=(1.0, 0.0),
        warmup="2 steps",
        warmup_start_factor=0.0,
    )
    assert factors(ours, 10) == pytest.approx([0, 0.4, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_piecewise_constant_equals_keras_one_step_later() -> None:
    theirs = keras().optimizers.schedules.PiecewiseConstantDecay([10, 30], [1.0, 0.5, 0.1])
    ours = make(
        "piecewise",
        positions=("0 steps", "11 steps", "31 steps"),
        values=(1.0, 0.5, 0.1),
        interpolation="constant",
    )
    oracle = "keras PiecewiseConstantDecay"
    lrs = [float(theirs(step)) for step in range(50)]
    assert_equal(factors(ours, 50), lrs, oracle, **FLOAT32)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("step", {"every": "x"}, "every='x' is not a duration"),
        ("step", {"cut_factor": 0.0}, "cut_factor=0.0 must be in"),
        ("multistep", {"milestones": ("1",)}, "milestones='1' is not a duration"),
        ("piecewise", {"values": (0.1, 1.0)}, r"values=\[0.1, 1.0\] must be as many as positions"),
        ("piecewise", {"values": (0.1, 1.5, 0.0)}, "values=1.5 must be between 0 and 1"),
        ("piecewise", {"interpolation": "spline"}, "interpolation=spline is not one of"),
        ("piecewise", {"positions": (), "values": ()}, "values=.* must hold at least one"),
    ],
)
def test_refuses_bad_values(name: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name, **changes)


def test_refuses_an_interval_of_no_updates() -> None:
    with pytest.raises(ValueError, match="every=0 steps must be longer than 0 steps"):
        factors(make("step", every="0 steps"), 10)
