"""The first update at which two schedules differ: by hand, and against a comparison of lists."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import loaded, make, schedule_names

from lrbench.scheduler import Scheduler
from lrbench.scheduler.difference import first_difference

NAMES = schedule_names()
EPOCH = 10


def between(one: Scheduler, other: Scheduler, totals: tuple[int, int]) -> int:
    plan = one.plan(totals[0], EPOCH)
    return first_difference(plan, other.plan(totals[1], EPOCH), 0, min(totals))


@pytest.mark.parametrize(
    ("one", "other", "totals", "expected"),
    [
        # no warmup, a cooldown over the last 20 of 100 updates: update 80 still has the peak
        (make("constant"), make("wsd", warmup="0%", cooldown_shape="linear"), (100, 100), 81),
        # two lengths: the shorter one's cooldown begins at 80, and its second update is lower
        (make("wsd", warmup="5 steps"), make("wsd", warmup="5 steps"), (100, 200), 81),
        (make("step", every="30 steps"), make("constant"), (100, 100), 30),
        (make("step", every="30 steps"), make("multistep", milestones=("30 steps",)), (90, 90), 60),
        (make("cosine"), make("linear"), (100, 100), 1),  # both begin at the peak
        (make("constant"), make("constant"), (40, 70), 40),  # to the end of the shorter one
        (make("constant", warmup="5 steps"), make("constant", warmup="6 steps"), (40, 40), 1),
        (make("onecycle"), make("onecycle", cycle_momentum=False), (100, 100), 0),  # the momentum
    ],
)
def test_by_hand(one: Scheduler, other: Scheduler, totals: tuple[int, int], expected: int) -> None:
    assert between(one, other, totals) == expected
    assert between(other, one, totals[::-1]) == expected


@settings(max_examples=100, deadline=None)
@given(
    names=st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)),
    totals=st.tuples(st.integers(30, 120), st.integers(30, 120)),
    start=st.integers(0, 9),
    warmup=st.sampled_from(["0 steps", "4 steps", "9 steps"]),
)
def test_equals_a_comparison_of_lists(
    names: tuple[str, str], totals: tuple[int, int], start: int, warmup: str
) -> None:
    both = [make(name, warmup=warmup) for name in names]
    plans = [schedule.plan(total, EPOCH) for schedule, total in zip(both, totals, strict=True)]
    columns = [
        [(schedule.factors(total, EPOCH)[u], plan.momentum(u)) for u in range(min(totals))]
        for schedule, plan, total in zip(both, plans, totals, strict=True)
    ]
    expected = next(
        (u for u in range(start, min(totals)) if columns[0][u] != columns[1][u]), min(totals)
    )
    assert first_difference(plans[0], plans[1], start, min(totals)) == expected


def test_a_schedule_never_differs_from_itself() -> None:
    for name, total in itertools.product(NAMES, (10, 73)):
        plan = loaded(name).plan(total, EPOCH)
        assert first_difference(plan, plan, 0, total) == total
