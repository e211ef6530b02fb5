"""How many updates two runs have in common: lrs, evaluations, and losses that are not known yet."""

from __future__ import annotations

from typing import Any

import pytest

from lrbench.config import load
from lrbench.scheduler import Scheduler
from lrbench.trainer.course import Course, shared_updates, surely_shared
from lrbench.trainer.forks import Forks, promised


def course(schedule: Scheduler, total_steps: int = 40, eval_every: int = 5) -> Course:
    return Course(
        schedules=(schedule,), total_steps=total_steps, steps_per_epoch=10, eval_every=eval_every
    )


def make(name: str, **changes: Any) -> Scheduler:
    schedule: Scheduler = load("scheduler", name, **changes)
    return schedule


CONSTANT = make("constant")
PLATEAU = make("plateau", patience=1, cut_factor=0.5)
DEEPER = make("plateau", patience=1, cut_factor=0.1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (course(CONSTANT), course(CONSTANT, 60), 40),
        (course(CONSTANT, 38), course(CONSTANT, 60), 37),  # only one is evaluated after 38
        (course(CONSTANT), course(CONSTANT, eval_every=10), 4),
        (course(CONSTANT), course(make("step", every="12 steps")), 12),
        # the longer one is evaluated after 40 and 48 alone
        (course(CONSTANT, 40, 8), course(CONSTANT, 48, 8), 40),
    ],
)
def test_runs_share_updates_and_their_evaluations(
    one: Course, other: Course, expected: int
) -> None:
    assert shared_updates(one, other) == shared_updates(other, one) == expected


def test_a_plateau_surely_shares_up_to_its_first_possible_cut() -> None:
    # the first evaluation is the best, the next two are not: a cut after update 15
    assert surely_shared(course(CONSTANT), course(PLATEAU)) == 15
    assert surely_shared(course(PLATEAU), course(CONSTANT)) == 15
    assert surely_shared(course(PLATEAU), course(DEEPER)) == 15
    assert shared_updates(course(CONSTANT), course(PLATEAU), [3, 2, 1], [5, 10, 15]) == 40
    assert shared_updates(course(CONSTANT), course(PLATEAU), [1, 2, 3], [5, 10, 15]) == 15


def due(forks: Forks, losses: dict[int, float], start: int = 0) -> dict[int, list[str]]:
    """Which runs a run in training leaves its state, by update; `losses` are those it has."""
    found = {}
    for step in range(start, forks.own.total_steps + 1):
        heard = {at: loss for at, loss in losses.items() if at <= step}
        ended = step == forks.own.total_steps
        if names := forks.due(step, list(heard.values()), list(heard), ended=ended):
            found[step] = names
    return found


def forks(own: Course, **others: Course) -> tuple[Forks, list[str]]:
    given_up: list[str] = []
    return Forks(own, others, lambda *_: None, given_up.extend), given_up


def test_states_are_left_where_a_run_becomes_another() -> None:
    others = {
        "step": course(make("step", every="12 steps")),
        "longer": course(CONSTANT, 60),
        "wsd": course(make("wsd", warmup="0 steps", cooldown_shape="linear")),
        "at once": course(make("constant", warmup="5 steps")),
    }
    own, given_up = forks(course(CONSTANT), **others)
    assert due(own, {}) == {12: ["step"], 33: ["wsd"], 40: ["longer"]}
    assert given_up == ["at once"]


def test_a_plateau_parts_as_soon_as_it_is_cut() -> None:
    losses = {5: 3.0, 10: 2.0, 15: 2.0, 20: 2.0, 25: 1.0}
    for own, other in ((CONSTANT, PLATEAU), (PLATEAU, CONSTANT)):
        assert due(forks(course(own), other=course(other))[0], losses) == {20: ["other"]}
    better = {step: 1 / step for step in losses}
    assert due(forks(course(CONSTANT), other=course(PLATEAU))[0], better) == {40: ["other"]}


def test_a_run_that_goes_on_beyond_the_parting_leaves_nothing() -> None:
    own, given_up = forks(course(CONSTANT), step=course(make("step", every="12 steps")))
    assert due(own, {}, start=13) == {}
    assert given_up == ["step"]


def test_only_what_goes_further_than_others_is_promised() -> None:
    others = {"step": course(make("step", every="12 steps")), "longer": course(CONSTANT, 60)}
    assert promised(course(CONSTANT), others, {}) == {"step": 12, "longer": 40}
    assert promised(course(CONSTANT), others, {"step": 12, "longer": 39}) == {"longer": 40}
    assert promised(course(CONSTANT, 1000), {"cosine": course(make("cosine"), 1000)}, {}) == {}
