"""Warnings before training about what looks unintended in a schedule, with its numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from lrbench.scheduler.base import Plan, Run, Scheduler
from lrbench.scheduler.chain import Chain
from lrbench.scheduler.plateau import Plateau

NEAR = 0.01  # of the way from floor to peak: closer than this counts as there
LEAP = 0.5  # of the peak: a fall by more from one update to the next is sudden
LEAP_UP, LEAP_RATIO = 0.2, 3.0  # a rise by more than both is sudden
EXAMINED = 20_000  # updates looked at one by one; longer runs are sampled


def lint(
    scheduler: Scheduler,
    total_steps: int,
    steps_per_epoch: int,
    eval_every: int | None = None,
) -> list[str]:
    """Warnings about `scheduler` on a run, each one line with its numbers; empty if all is well.

    They are about an lr of zero at the start, a peak or a floor that is never reached, a warmup of
    more than a third of the run, a decay or a cycle that the run's end cuts off, sudden leaps, a
    plateau that cannot cut within the run, and more than half of the run at the floor. The time
    taken grows with the number of the schedule's segments, not with the run's length.

    Args:
        scheduler: any schedule. A plateau is examined as if it never cut.
        total_steps: the length of the run, in updates.
        steps_per_epoch: updates in an epoch.
        eval_every: updates from one validation to the next, the first after as many, and one
            more at the run's end; an epoch if None.

    Raises:
        ValueError: the schedule does not fit the run.
    """
    plan = scheduler.plan(total_steps, steps_per_epoch)
    evaluations = range(0, total_steps, eval_every or steps_per_epoch)[1:]  # the end's cuts nothing
    steps = _examined(plan)
    values = [plan.factor(step) for step in steps]
    return [
        *_zero_start(plan),
        *_long_warmup(scheduler, Run(total_steps, steps_per_epoch)),
        *_peak(steps, values),
        *_floor(scheduler, plan, steps_per_epoch),
        *_leaps(plan, steps, values),
        *_parts(scheduler, plan, steps_per_epoch, evaluations),
    ]


def _zero_start(plan: Plan) -> Iterator[str]:
    zeros = 0
    for segment in plan.segments:  # a segment that begins with zeros has no others
        factor, steps = segment.factor, range(segment.start, segment.stop)
        nonzero = 0 if factor(steps[0]) else len(steps)
        if nonzero and factor(steps[-1]):
            nonzero = bisect_left(steps, True, key=lambda step: factor(step) != 0)
        zeros += nonzero
        if nonzero < len(steps):
            break
    if zeros:
        updates = "update has" if zeros == 1 else f"{zeros} updates have"
        yield f"the first {updates} an lr of 0, which changes no weight"


def _long_warmup(scheduler: Scheduler, run: Run) -> Iterator[str]:
    warmup = run.whole(scheduler.warmup)
    if 3 * warmup > run.total_steps:
        yield (
            f"warmup={scheduler.warmup} takes {warmup} of {run.total_steps} updates "
            f"({warmup / run.total_steps:.0%}), more than a third of the run"
        )


def _peak(steps: list[int], values: list[float]) -> Iterator[str]:
    highest = max(values)
    if highest < 1 - NEAR:
        step = steps[values.index(highest)]
        yield f"the peak is never reached: the highest factor is {highest:.3g}, at update {step}"


def _floor(scheduler: Scheduler, plan: Plan, steps_per_epoch: int) -> Iterator[str]:
    warmup = Run(plan.total_steps, steps_per_epoch).whole(scheduler.warmup)
    evenly = range(warmup, plan.total_steps, max(plan.total_steps // EXAMINED, 1))
    values = [plan.factor(step) for step in evenly]
    floor = scheduler.floor
    near = floor + NEAR * (1 - floor)
    lowest = min(*values, plan.factor(plan.total_steps))
    if floor > 0 and near < lowest and not scheduler.reads_losses:
        yield f"the floor is never reached: it is {floor:.3g}, the lowest factor is {lowest:.3g}"
    share = sum(value <= near for value in values) / len(values)
    share *= (plan.total_steps - warmup) / plan.total_steps
    if share > 0.5 and max(values) > near:
        yield f"{share:.0%} of the run's {plan.total_steps} updates are at the floor ({floor:.3g})"


def _leaps(plan: Plan, steps: list[int], values: list[float]) -> Iterator[str]:
    leaps = []
    for i in range(1, len(steps)):
        before, after = values[i - 1], values[i]
        sudden = before - after > LEAP or (after - before > LEAP_UP and after > LEAP_RATIO * before)
        if not sudden or steps[i] != steps[i - 1] + 1:
            continue
        segment = plan.at(steps[i])
        if not (segment.jumps and segment.start == steps[i]):
            leaps.append((steps[i], before, after))
    if leaps:
        step, before, after = leaps[0]
        more = f" (and {len(leaps) - 1} more such leaps)" if len(leaps) > 1 else ""
        yield f"the factor leaps from {before:.3g} to {after:.3g} at update {step}{more}"


def _parts(
    scheduler: Scheduler, plan: Plan, steps_per_epoch: int, evaluations: range
) -> Iterator[str]:
    """What each schedule of a chain, or the one there is, cannot do in its stretch of the run.

    `evaluations` are counted from the start of the stretch; those outside it do not count.
    """
    total_steps = plan.total_steps
    last, end = plan.segments[-1], plan.factor(total_steps)
    if plan.planned_stop > total_steps:
        yield (
            f"{last.name} is cut off at a factor of {end:.3g}: it would end at update "
            f"{plan.planned_stop}, the run has {total_steps}"
        )
    if isinstance(scheduler, Plateau):
        start = plan.segments[-1].start
        made = bisect_left(evaluations, total_steps) - bisect_left(evaluations, start)
        needed = scheduler.evaluations_to_cut
        if made < needed:
            yield (
                f"the plateau cannot cut: with patience={scheduler.patience} a cut takes {needed} "
                f"evaluations before the last update, and there are {made}"
            )
    if isinstance(scheduler, Chain):
        start = Run(total_steps, steps_per_epoch).whole(scheduler.warmup)
        spans = scheduler.spans(total_steps, steps_per_epoch, start)
        for name, (first, stop) in spans.items():
            if first < stop:
                part = scheduler.parts[name].scheduler
                own = range(evaluations.start - first, evaluations.stop - first, evaluations.step)
                plan = part.plan(stop - first, steps_per_epoch)
                for warning in _parts(part, plan, steps_per_epoch, own):
                    yield f"parts.{name}: {warning}"


def _examined(plan: Plan) -> list[int]:
    """Every update of a short run; of a long one a sample, and all where something may change."""
    total = plan.total_steps
    if total <= EXAMINED:
        return list(range(total))
    around = {step for start in plan.starts for step in (start - 1, start, start + 1)}
    begin = range(EXAMINED // 20)
    sample = range(0, total, total // EXAMINED + 1)
    return sorted({*begin, *sample, total - 1} | {s for s in around if 0 <= s < total})
