"""What a schedule costs: python scripts/bench/schedules.py

The factor and momentum of one update, as the training loop asks its plan for them, laying the
plan out, and the preview of a million updates, for every choice of conf/scheduler and for a
plateau after many evaluations.
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable

from common import heading, table

from lrbench.config import CONF, load
from lrbench.scheduler import Plateau, Scheduler

STEPS, EPOCH = 1_000_000, 1000
REPEATS = 7


def best(function: Callable[[], object], number: int) -> float:
    """Median seconds of a call, of `REPEATS` rounds of `number` calls."""
    rounds = timeit.repeat(function, number=number, repeat=REPEATS)
    return statistics.median(rounds) / number


def row(name: str, schedule: Scheduler, evaluations: int) -> list[str]:
    """One schedule's costs after `evaluations` validation losses."""
    losses = [1 + 1 / (i + 1) for i in range(evaluations)]
    steps = range(EPOCH, EPOCH * (evaluations + 1), EPOCH)
    plan = schedule.plan(STEPS, EPOCH, losses, steps)
    at = EPOCH * evaluations + EPOCH // 2

    def update() -> None:
        plan.factor(at)
        plan.momentum(at)

    def lay_out() -> None:
        schedule.plan(STEPS, EPOCH, losses, steps)

    return [
        name + (f", {evaluations} evaluations" if evaluations else ""),
        f"{1e6 * best(lambda: plan.factor(at), 10_000):.2f}",
        f"{1e6 * best(update, 10_000):.2f}",
        f"{1e6 * best(lay_out, 20):.0f}",
        f"{statistics.median(timeit.repeat(plan.factors, number=1, repeat=3)):.2f}",
    ]


def main() -> None:
    """Print a line per schedule."""
    heading(f"Medians of {REPEATS} (previews: of 3); a run of {STEPS:,} updates")
    names = sorted(p.stem for p in (CONF / "scheduler").glob("[!_]*.yaml"))
    rows = [row(name, load("scheduler", name), 0) for name in names]
    plateau = load("scheduler", "plateau")
    assert isinstance(plateau, Plateau)
    rows += [row("plateau", plateau, n) for n in (100, 999)]
    table(["schedule", "factor, µs", "factor and momentum, µs", "plan, µs", "preview, s"], rows)


if __name__ == "__main__":
    main()
