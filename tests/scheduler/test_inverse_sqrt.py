"""InverseSqrt against transformers, Noam against the paper's formula."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, factors, make, torch_groups


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 99), st.one_of(st.none(), st.integers(1, 1000)))
def test_inverse_sqrt_equals_transformers(warmup: int, timescale: int | None) -> None:
    from transformers import get_inverse_sqrt_schedule

    theirs = torch_groups(lambda o: get_inverse_sqrt_schedule(o, warmup, timescale), 150)
    ours = make(
        "inverse_sqrt",
        warmup=f"{warmup} steps",
        timescale=f"{timescale or warmup} steps",
        warmup_start_factor=0.0,
    )
    assert_equal(factors(ours, 150), theirs, "transformers inverse_sqrt")


def test_inverse_sqrt_keeps_to_its_floor() -> None:
    ours = make("inverse_sqrt", warmup="0 steps", timescale="1 steps", min_factor=0.5)
    assert factors(ours, 6) == pytest.approx([1, 0.70710678, 0.57735027, 0.5, 0.5, 0.5])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 99), st.integers(1, 2048))
def test_noam_equals_the_formula(warmup: int, width: int) -> None:
    paper = [width**-0.5 * min(count**-0.5, count * warmup**-1.5) for count in range(1, 151)]
    base_lr = (width * warmup) ** -0.5
    ours = [base_lr * factor for factor in factors(make("noam", warmup=f"{warmup} steps"), 150)]
    assert_equal(ours, paper, "the formula of Noam")


def test_noam_peaks_at_the_last_update_of_its_warmup() -> None:
    values = factors(make("noam", warmup="10 steps"), 50)
    assert values[0] == pytest.approx(0.1)
    assert max(values) == values[9] == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup_shape": "cosine"}, "warmup_shape=cosine must be linear"),
        ({"warmup_start_factor": 0.1}, "warmup_start_factor=0.1 must be 0"),
    ],
)
def test_noam_refuses_another_warmup(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("noam", **changes)


def test_refuses_a_timescale_of_no_updates() -> None:
    with pytest.raises(ValueError, match="timescale=0 steps must be longer than 0 steps"):
        factors(make("inverse_sqrt", timescale="0 steps"), 10)
