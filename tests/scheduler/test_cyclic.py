"""Cyclic against torch's CyclicLR."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, factors, make, torch_groups


@settings(max_examples=60, deadline=None)
@given(
    rise=st.integers(1, 40),
    fall=st.integers(1, 40),
    mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    rate=st.floats(0.9, 1),
    floor=st.floats(0, 1),
)
def test_equals_torch(rise: int, fall: int, mode: Any, rate: float, floor: float) -> None:
    theirs = torch_groups(
        lambda optimizer: torch.optim.lr_scheduler.CyclicLR(
            optimizer,
            base_lr=floor,
            max_lr=1.0,
            step_size_up=rise,
            step_size_down=fall,
            mode=mode,
            gamma=rate,
        ),
        150,
    )
    ours = make(
        "cyclic",
        rise=f"{rise} steps",
        fall=f"{fall} steps",
        mode=mode,
        decay_rate=rate,
        min_factor=floor,
    )
    # torch finds the place in the cycle by a difference of numbers near 1, good to 1e-14.
    assert_equal(factors(ours, 150), theirs, f"torch CyclicLR {mode}", absolute=1e-12)


def test_default_cycles_end_with_the_run() -> None:
    values = factors(make("cyclic"), 285, extra=3)
    assert len(make("cyclic").phases(285, 10)) == 10
    assert values[-1] == pytest.approx(0.25)
    assert min(values) == pytest.approx(0.25)


def test_refuses_bad_values() -> None:
    with pytest.raises(ValueError, match=r"mode=triangle is not one of.*did you mean triangular"):
        make("cyclic", mode="triangle")
    with pytest.raises(ValueError, match="fall=0 steps must be longer than 0 steps"):
        factors(make("cyclic", fall="0 steps"), 10)
