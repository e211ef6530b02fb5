"""Where two schedules that are laid out on a run part."""

from __future__ import annotations

from bisect import bisect_right

from lrbench.scheduler.base import Plan


def first_difference(one: Plan, other: Plan, start: int, stop: int) -> int:
    """The first update from `start` on at which the factor or the momentum differs, else `stop`.

    Factors are equal only to the last bit. The momentum of a schedule that sets none (None) equals
    that of another one that sets none.
    """
    step = start
    while step < stop:
        mine, theirs = one.at(step), other.at(step)
        end = min([stop, *(_next_start(plan, step, stop) for plan in (one, other))])
        for update in range(step, end):
            if mine.factor(update) != theirs.factor(update):
                return update
            if mine.momentum is None and theirs.momentum is None:
                continue
            if mine.momentum is None or theirs.momentum is None:
                return update
            if mine.momentum(update) != theirs.momentum(update):
                return update
        step = end
    return stop


def _next_start(plan: Plan, step: int, stop: int) -> int:
    """Where the segment after the one of update `step` begins."""
    following = plan.starts[bisect_right(plan.starts, step) :]
    return following[0] if following else stop
