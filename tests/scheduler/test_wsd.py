"""WSD against transformers, the trapezoid by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, factors, make, torch_groups


@settings(max_examples=60, deadline=None)
@given(
    warmup=st.integers(0, 40),
    stable=st.integers(0, 60),
    cooldown=st.integers(1, 60),
    rise=st.sampled_from(["linear", "cosine"]),
    shape=st.sampled_from(["linear", "cosine", "1-sqrt"]),
    floor=st.floats(0, 1),
)
def test_equals_transformers(
    warmup: int, stable: int, cooldown: int, rise: str, shape: str, floor: float
) -> None:
    from transformers import get_wsd_schedule

    total = warmup + stable + cooldown
    theirs = torch_groups(
        lambda optimizer: get_wsd_schedule(
            optimizer,
            num_warmup_steps=warmup,
            num_decay_steps=cooldown,
            num_stable_steps=stable,
            warmup_type=rise,
            decay_type=shape,
            min_lr_ratio=floor,
        ),
        total + 5,
    )
    ours = make(
        "wsd",
        warmup=f"{warmup} steps",
        warmup_shape=rise,
        warmup_start_factor=floor,
        cooldown=f"{cooldown} steps",
        cooldown_shape=shape,
        min_factor=floor,
    )
    assert_equal(factors(ours, total, extra=5), theirs, f"transformers wsd {shape}")


def test_trapezoid_by_hand() -> None:
    ours = make("trapezoid", warmup="2 steps", warmup_start_factor=0.5, cooldown="4 steps")
    assert factors(ours, 9, extra=2) == pytest.approx(
        [0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    )
    phases = [(phase.name, phase.start, phase.stop) for phase in ours.phases(9, 3)]
    assert phases == [("linear warmup", 0, 2), ("stable", 2, 5), ("linear cooldown", 5, 9)]


def test_cooldown_of_no_updates_stays_at_the_peak() -> None:
    assert factors(make("wsd"), 1, extra=2) == [1.0] * 3


def test_refuses_a_cooldown_that_does_not_fit() -> None:
    ours = make("wsd", warmup="60 steps", cooldown="50 steps")
    message = r"cooldown=50 steps must fit between the warmup \(60 steps\) and the run's end"
    with pytest.raises(ValueError, match=message):
        factors(ours, 100)
    with pytest.raises(ValueError, match="cooldown_shape=sqrt is not one of"):
        make("wsd", cooldown_shape="sqrt")
