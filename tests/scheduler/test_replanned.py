"""A schedule as it was first laid out, in a run of another length."""

from __future__ import annotations

from typing import Any

import pytest

from lrbench.scheduler import Continued, Linear, Plateau, Progress, Scheduler

WARMUP: dict[str, Any] = {"warmup": "0 steps", "warmup_shape": "linear", "warmup_start_factor": 0.0}


def continued(
    schedule: Scheduler, planned_steps: int, cooldown_start: int | None = None
) -> Continued:
    return Continued(
        **WARMUP, schedule=schedule, planned_steps=planned_steps, cooldown_start=cooldown_start
    )


def factors(schedule: Scheduler, total_steps: int) -> list[float]:
    return schedule.factors(total_steps, 1)


def to_half() -> Linear:
    """1 - t / 20 over ten updates, with a warmup of two before it."""
    return Linear(
        **{**WARMUP, "warmup": "2 steps"}, duration="rest", start_factor=1.0, end_factor=0.5
    )


def test_a_longer_run_holds_the_last_factor() -> None:
    expected = [*factors(to_half(), 12), 0.5, 0.5, 0.5]
    assert factors(continued(to_half(), 12), 15) == pytest.approx(expected)


def test_a_shorter_run_ends_where_it_ends() -> None:
    assert factors(continued(to_half(), 12), 6) == factors(to_half(), 12)[:6]


def test_a_cooldown_goes_to_zero_from_the_factor_it_meets() -> None:
    plain = factors(to_half(), 12)
    expected = [*plain[:7], *(plain[7] * (1 - i / 5) for i in range(5))]
    assert factors(continued(to_half(), 12, 7), 12) == pytest.approx(expected)
    assert continued(to_half(), 12, 7).factor(Progress(12, 12, 1)) == 0


def test_a_cooldown_forgets_the_losses_after_its_start() -> None:
    plateau = Plateau(
        **WARMUP,
        cut_factor=0.5,
        patience=0,
        cooldown=0,
        threshold=0.0,
        threshold_mode="abs",
        mode="min",
        counting="torch",
        min_factor=0.0,
    )
    schedule = continued(plateau, 20, 10)
    losses, steps = (1.0, 2.0, 3.0), (5, 10, 15)  # a cut at 10; the one at 15 comes too late
    progress = Progress(9, 20, 1, losses, steps)
    assert schedule.factor(progress) == 1.0
    assert [
        schedule.factor(Progress(step, 20, 1, losses, steps)) for step in (10, 15, 19)
    ] == pytest.approx([0.5, 0.25, 0.05])


@pytest.mark.parametrize(
    ("planned", "start", "message"),
    [(0, None, "planned_steps=0 must be at least 1"), (5, -1, "cooldown_start=-1 must be 0 or")],
)
def test_mistakes(planned: int, start: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        continued(to_half(), planned, start)
