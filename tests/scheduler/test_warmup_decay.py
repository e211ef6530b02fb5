"""WarmupDecay against transformers, Keras's rule by epoch, and by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, factors, make, torch_groups

lengths = st.tuples(st.integers(2, 300), st.floats(0, 0.99)).map(
    lambda pair: (pair[0], math.floor(pair[0] * pair[1]))
)


@settings(max_examples=25, deadline=None)
@given(lengths)
def test_linear_equals_transformers(lengths: tuple[int, int]) -> None:
    from transformers import get_linear_schedule_with_warmup

    total, warmup = lengths
    theirs = torch_groups(lambda o: get_linear_schedule_with_warmup(o, warmup, total), total + 3)
    ours = make("warmup_decay", warmup=f"{warmup} steps", warmup_start_factor=0.0)
    assert_equal(factors(ours, total, extra=3), theirs, "transformers linear")


@settings(max_examples=25, deadline=None)
@given(lengths)
def test_cosine_equals_transformers(lengths: tuple[int, int]) -> None:
    from transformers import get_cosine_schedule_with_warmup

    total, warmup = lengths
    theirs = torch_groups(lambda o: get_cosine_schedule_with_warmup(o, warmup, total), total)
    ours = make(
        "warmup_decay",
        decay_shape="cosine",
        warmup=f"{warmup} steps",
        warmup_start_factor=0.0,
    )
    assert_equal(factors(ours, total), theirs, "transformers cosine")


def test_cosine_holds_its_floor_where_transformers_climbs() -> None:
    from transformers import get_cosine_schedule_with_warmup

    theirs = torch_groups(lambda o: get_cosine_schedule_with_warmup(o, 0, 10), 21)
    assert theirs[20] == pytest.approx(1.0)
    ours = make("warmup_decay", decay_shape="cosine", warmup="0 steps")
    assert factors(ours, 10, extra=11)[10:] == pytest.approx([0.0] * 11)


@settings(max_examples=25, deadline=None)
@given(lengths, st.floats(0.2, 4), st.sampled_from([1e-7, 0.01]))
def test_polynomial_equals_transformers(
    lengths: tuple[int, int], power: float, floor: float
) -> None:
    from transformers import get_polynomial_decay_schedule_with_warmup as polynomial

    total, warmup = lengths
    theirs = torch_groups(
        lambda o: polynomial(o, warmup, total, lr_end=floor, power=power), total + 3
    )
    ours = make(
        "warmup_decay",
        decay_shape="polynomial",
        power=power,
        min_factor=floor,
        warmup=f"{warmup} steps",
        warmup_start_factor=0.0,
    )
    assert_equal(factors(ours, total, extra=3), theirs, "transformers polynomial")


@settings(max_examples=25, deadline=None)
@given(lengths, st.integers(1, 500))
def test_inverse_sqrt_equals_transformers(lengths: tuple[int, int], timescale: int) -> None:
    from transformers import get_inverse_sqrt_schedule

    total, warmup = lengths
    theirs = torch_groups(lambda o: get_inverse_sqrt_schedule(o, warmup, timescale), total)
    ours = make(
        "warmup_decay",
        decay_shape="inverse_sqrt",
        decay=f"{timescale} steps",
        warmup=f"{warmup} steps",
        warmup_start_factor=0.0,
    )
    assert_equal(factors(ours, total), theirs, "transformers inverse_sqrt")


def test_exponential_falls_by_the_epoch() -> None:
    ours = make("warmup_decay", decay_shape="exponential", decay_rate=0.5, warmup="0 steps")
    values = factors(ours, 40)
    assert values[::10] == pytest.approx([1, 0.5, 0.25, 0.125])
    assert values[5] == pytest.approx(math.sqrt(0.5))
    floored = make(
        "warmup_decay", decay_shape="exponential", decay_rate=0.5, warmup="0 steps", min_factor=0.3
    )
    assert factors(floored, 40, extra=2)[-5:] == [0.3] * 5


def test_epoch_clock_goes_in_stairs() -> None:
    ours = make(
        "warmup_decay",
        decay_shape="exponential",
        decay_rate=0.5,
        warmup="2 epochs",
        warmup_start_factor=0.5,
        clock="epoch",
    )
    per_epoch = [0.5, 0.75, 1.0, 0.5, 0.25]
    assert factors(ours, 50) == pytest.approx([value for value in per_epoch for _ in range(10)])


def test_epoch_clock_refuses_a_warmup_of_part_of_an_epoch() -> None:
    ours = make("warmup_decay", warmup="15 steps", clock="epoch")
    with pytest.raises(ValueError, match="warmup=15 steps must be whole epochs"):
        factors(ours, 50)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decay_shape": "cosin"}, "decay_shape=cosin is not one of.*did you mean cosine"),
        ({"decay_rate": 1.5}, "decay_rate=1.5 must"),
        ({"power": 0.0}, "power=0.0 must"),
        ({"clock": "epochs"}, "clock=epochs is not one of step, epoch"),
    ],
)
def test_refuses_bad_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("warmup_decay", **changes)
