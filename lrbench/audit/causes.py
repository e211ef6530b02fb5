"""What went wrong with a run's lr, each cause with its evidence; nothing is claimed without."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from lrbench.audit.asked import Asked, LrLog, asked
from lrbench.audit.fit import (
    CHANGE,
    LEAP,
    MAX_POINTS,
    Array,
    Fit,
    describe,
    fit,
    shape_of,
    with_warmup,
)

SAME = 1e-4  # of the peak: an lr this close is the one asked for
NEAR = 0.02  # two lengths that differ by a smaller share are the same
WHOLE = 0.03  # a ratio this close to a whole number is one
FACTORS = (2, 3, 4, 6, 8, 16, 32, 64)  # processes, or batches accumulated, tried for a speed
PATIENCE = 10  # evaluations: torch's and Keras's default


@dataclass(frozen=True)
class Finding:
    """One cause, by name, and the numbers that show it, in a sentence."""

    cause: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.cause}: {self.evidence}"


@dataclass(frozen=True)
class Audit:
    """What a run's lr was, in words, and what is wrong with it."""

    description: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Case:
    """A run's lr, with what its config asks for and the form that it has.

    Attributes:
        length: of the run, in the log's unit.
        gap: between two logged points, the usual one.
        steps, lrs: as logged, (N,).
    """

    log: LrLog
    wanted: Asked
    form: Fit
    length: float
    gap: float
    steps: Array
    lrs: Array

    @property
    def winding(self) -> bool:
        """Whether its schedule may rise and fall as it likes, so that its form tells little."""
        return self.wanted.kind in ("own", "other", "restarts")


def audit(log: LrLog) -> Audit:
    """Hold the lr that a run logged against what its schedule would have given.

    The lr may be that of the update just taken or of the next one. Where the config names none of
    the schedule's settings, its form alone is judged, and less can be said.
    """
    steps, lrs = log.points()
    if len(steps) < 3:
        return Audit("its lr was not logged", ())
    wanted = asked(log)
    always = [*_first_update(steps, lrs), *_groups(log)]
    if wanted.exact is not None and _follows(wanted, steps, lrs, float(lrs.max())):
        return Audit("as its config says", tuple(always))
    form = fit(steps, lrs)
    gap = float(np.median(np.diff(steps)))
    wanted, length = _length(log, wanted, steps, gap)
    causes = list(_causes(Case(log, wanted, form, length, gap, steps, lrs)))
    if wanted.exact is not None and not causes and log.completed:
        causes = [_unexplained(wanted, steps, lrs, form.peak)]
    return Audit(describe(form, length), (*always, *causes))


def audit_each(logs: Iterable[LrLog]) -> Iterator[Audit]:
    """`audit` of each of `logs`; equal ones, such as a strategy's on its seeds, are judged once."""
    known: dict[bytes, Audit] = {}
    for log in logs:
        key = log.key
        if key not in known:
            known[key] = audit(log)
        yield known[key]


def _length(log: LrLog, wanted: Asked, steps: Array, gap: float) -> tuple[Asked, float]:
    """The run's length: as planned where the log ends within two intervals of it."""
    length = float(max(log.steps, steps[-1]))
    if wanted.total is not None and length <= wanted.total <= length + 2 * gap + 1:
        length = wanted.total
    if wanted.total is None and wanted.kind and wanted.exact is None:
        wanted = replace(wanted, total=length)
    return wanted, length


def _errors(wanted: Asked, steps: Array, lrs: Array, speed: float = 1.0) -> Array:
    """How far each lr is from the one asked for, stepped `speed` times an update, (3, N): one
    update before, then, and one after."""
    assert wanted.exact is not None
    at = speed * (steps + np.array([[-1.0], [0.0], [1.0]]))
    at = np.floor(at) if speed < 1 else at
    return np.array([np.abs(wanted.exact(each) - lrs) for each in at])


def _follows(wanted: Asked, steps: Array, lrs: Array, peak: float, speed: float = 1.0) -> bool:
    """Whether the lr is the one asked for, stepped `speed` times an update."""
    some = np.unique(np.linspace(0, len(steps) - 1, MAX_POINTS).astype(int))
    worst = _errors(wanted, steps[some], lrs[some], speed).max(axis=1)
    return bool((worst <= SAME * max(peak, 1e-30)).any())


def _unexplained(wanted: Asked, steps: Array, lrs: Array, peak: float) -> Finding:
    assert wanted.exact is not None
    at = int(np.argmax(_errors(wanted, steps, lrs).min(axis=0) > SAME * peak))
    return Finding(
        "not the lr of its schedule",
        f"from update {steps[at]:,.0f} on it differs: {lrs[at]:.4g} was logged, and "
        f"{wanted.exact(steps[at : at + 1])[0]:.4g} would follow from the config",
    )


def _first_update(steps: Array, lrs: Array) -> Iterator[Finding]:
    zeros = int(np.argmax(lrs > 0)) if (lrs > 0).any() else 0
    if zeros and steps[0] <= 1:
        yield Finding(
            "a first update at lr 0",
            f"the lr logged at update {steps[0]:,.0f} is 0, which changes no weight "
            f"({steps[zeros]:,.0f}: {lrs[zeros]:.3g})",
        )


def _groups(log: LrLog) -> Iterator[Finding]:
    columns = [str(c) for c in log.history if str(c).startswith("lr/")]
    spans = {c: v for c in columns if len(v := log.points(c)[1]) > 2 and v.max() > 0}
    still = [c for c, v in spans.items() if np.ptp(v) <= CHANGE * v.max()]
    moved = [c for c, v in spans.items() if np.ptp(v) > LEAP / 2 * v.max()]
    for column in still if moved else ():
        yield Finding(
            "one parameter group that never moved",
            f"{column} stayed at {spans[column][0]:.3g} while {moved[0]} went from "
            f"{spans[moved[0]].max():.3g} to {spans[moved[0]].min():.3g}",
        )


def _causes(case: Case) -> Iterator[Finding]:
    """The causes that the form of the lr shows; the first that explains it is enough."""
    for judge in (_constant, _exactly, _held, _rising, _restarted, _speed, _end):
        found = list(judge(case))
        if found:
            yield from found
            return
    if case.wanted.exact is None or not case.winding:
        yield from _warmup_and_floor(case)


def _constant(case: Case) -> Iterator[Finding]:
    """An lr that never moves, under a schedule that would have moved it."""
    log, wanted, form = case.log, case.wanted, case.form
    if form.shape != "constant":
        return
    if wanted.kind == "plateau":
        at, losses = log.points("val_loss")
        patience = PATIENCE if wanted.patience is None else wanted.patience
        best, since, longest = math.inf, 0, 0
        for loss in losses:
            since = 0 if loss < best * (1 - 1e-4) else since + 1
            best, longest = min(best, loss), max(longest, since)
        if longest > patience + 1:
            yield Finding(
                "a plateau that was never told a loss",
                f"the validation loss did not improve for {longest} of {len(at)} evaluations in a "
                f"row, more than its patience of {patience}, and the lr stayed at {form.peak:.4g}",
            )
        return
    moves = wanted.kind not in ("", "constant", "own", "other")
    if wanted.exact is not None:
        moves = bool(np.ptp(wanted.exact(case.steps)) > LEAP * form.peak)
    if moves:
        yield Finding(
            "an lr that never moved",
            f"{form.peak:.4g} throughout, though the schedule is {log.strategy or wanted.kind}: it "
            "was never stepped, or once an epoch in place of once an update",
        )


def _exactly(case: Case) -> Iterator[Finding]:
    """A schedule that is known exactly, at another speed, or from its beginning again."""
    wanted, steps, lrs = case.wanted, case.steps, case.lrs
    if wanted.exact is None:
        return
    peak, epoch = case.form.peak, case.log.steps_per_epoch or 0
    for factor in (factor for factor in dict.fromkeys((*FACTORS, epoch)) if factor > 1):
        if _follows(wanted, steps, lrs, peak, factor):
            yield _too_fast(factor, epoch, f"its lr at update n is that of {factor:,} n")
            return
        if _follows(wanted, steps, lrs, peak, 1 / factor):
            yield _too_seldom(factor, epoch, f"its lr at update n is that of n / {factor:,}")
            return
    at = int(np.argmax(_errors(wanted, steps, lrs).min(axis=0) > SAME * peak))
    if not at or len(steps) - at < 4 or np.ptp(lrs[at:]) < LEAP * peak:
        return
    for first in range(int(steps[at - 1]), int(steps[at]) + 1):
        if _follows(wanted, steps[at:] - first, lrs[at:], peak):
            yield _restart(first, lrs[at - 1], lrs[at])
            return


def _restart(at: float, before: float, after: float) -> Finding:
    return Finding(
        "restarted on resume",
        f"at update {at:,.0f} the lr leaps from {before:.4g} to {after:.4g}, in the middle of its "
        "descent, and goes through its schedule again from the beginning",
    )


def _held(case: Case) -> Iterator[Finding]:
    """An lr that is held for long, and hardly falls, under a schedule that falls to its end."""
    wanted, form = case.wanted, case.form
    lowest = float(case.lrs[-1]) / form.peak
    held = form.interval > 1.5 * case.gap and lowest > 1 - LEAP and not form.rising
    if held and wanted.kind in ("cosine", "linear", "polynomial") and case.log.completed:
        yield Finding(
            "stepped per epoch, not per update",
            f"the lr changes only every {form.interval:,.0f} updates, and at the end of the run is "
            f"still at {lowest:.5g} of its peak",
        )


def _rising(case: Case) -> Iterator[Finding]:
    """An lr that rises to the end: too long a warmup, or one that is stepped too seldom."""
    wanted, form, length = case.wanted, case.form, case.length
    if not form.rising or not case.log.completed or case.winding:
        return
    warmup = wanted.warmup
    if form.interval > 1.5 * case.gap and (warmup is None or warmup < length):
        yield Finding("stepped per epoch, not per update", f"the lr changes only every "
                      f"{form.interval:,.0f} updates, and still rises at the end")  # fmt: skip
        return
    told = "" if not warmup else f", and {warmup:,.0f} updates of warmup were asked for"
    if warmup and warmup < 0.98 * length:
        told += f": stepped once every {form.warmup / warmup:.3g} updates"
        yield Finding("stepped too seldom", f"at the end, update {length:,.0f}, the lr still "
                      f"rises, to its peak at {form.warmup:,.0f}{told}")  # fmt: skip
        return
    yield Finding("warmup longer than the run", f"at the end, update {length:,.0f}, the lr still "
                  f"rises (highest: {form.peak:.4g}){told}")  # fmt: skip


def _restarted(case: Case) -> Iterator[Finding]:
    """A leap back up, before the descent was over, to a descent that begins anew."""
    form = case.form
    if not form.leaps or case.winding:
        return
    later = case.steps > form.again
    cut = not form.end <= form.again + 1.5 * case.gap
    if later.sum() < 4 or form.shape in ("steps", "constant", ""):
        return
    anew = fit(case.steps[later] - form.again, case.lrs[later])
    shaped = anew.shape not in ("steps", "constant", "") or anew.rising
    if cut and shaped and anew.peak > 0.5 * form.peak:
        yield _restart(form.again, form.before * form.peak, form.after * form.peak)


def _ratio(value: float, whole: float) -> int | None:
    """The whole number from 2 on that `value` / `whole` is, or None."""
    if not whole or math.isnan(value) or math.isnan(whole):
        return None
    ratio = value / whole
    near = round(ratio)
    return near if near >= 2 and abs(ratio / near - 1) <= WHOLE else None


def _speed(case: Case) -> Iterator[Finding]:
    """A schedule that was stepped too often or too seldom, from its end and its warmup."""
    log, wanted, form = case.log, case.wanted, case.form
    total, end = wanted.total, form.end
    if math.isnan(end) or total is None or case.winding:
        return
    epochs = wanted.epochs or (total / log.steps_per_epoch if log.steps_per_epoch else None)
    if epochs and case.length > 4 * epochs and abs(end - epochs) <= max(2.0, 0.1 * epochs):
        yield Finding(
            "stepped per update, not per epoch",
            f"its descent ends at update {end:,.0f}, and the run has {epochs:,.0f} epochs",
        )
    elif _explained(wanted, form):
        return
    elif end < 0.75 * total and (speed := _ratio(total, end)) is not None:
        yield _too_fast(
            speed, 0, f"its descent ends at update {end:,.0f} of {total:,.0f}"
            + _warmup_told(wanted, form)
        )  # fmt: skip
    elif (speed := _ratio(end, total)) is not None and speed in (
        _ratio(form.warmup, wanted.warmup or math.nan), round(form.interval)
    ):  # fmt: skip
        yield _too_seldom(
            speed, 0, f"its descent would end at update {end:,.0f}, not {total:,.0f}"
            + _warmup_told(wanted, form)
        )  # fmt: skip


def _warmup_told(wanted: Asked, form: Fit) -> str:
    if not wanted.warmup or not form.warmup:
        return ""
    return f", its warmup at {form.warmup:,.0f}, not {wanted.warmup:,.0f}"


def _too_fast(factor: int, epoch: int, evidence: str) -> Finding:
    if factor == epoch:
        return Finding("stepped per update, not per epoch", evidence)
    return Finding(
        "stepped too often", f"{evidence}: {factor:,} times an update, as once for each of "
        f"{factor:,} processes or accumulated batches"
    )  # fmt: skip


def _too_seldom(factor: int, epoch: int, evidence: str) -> Finding:
    if factor == epoch:
        return Finding("stepped per epoch, not per update", evidence)
    return Finding("stepped too seldom", f"{evidence}: once every {factor:,} updates")


def _explained(wanted: Asked, form: Fit) -> bool:
    """Whether a number of the schedule's own settings says where its descent ends."""
    return any(
        abs(number / place - 1) <= NEAR
        for number in wanted.numbers
        for place in (form.end, form.end - form.warmup)
        if place > 0
    )


def _end(case: Case) -> Iterator[Finding]:
    """A descent laid out on another length than the run's: cut off, or climbed again after."""
    wanted, form, length, gap = case.wanted, case.form, case.length, case.gap
    end, kind = form.end, wanted.kind
    if math.isnan(end) or not case.log.completed or case.winding:
        return
    if not form.leaps and form.again >= end - 2 * gap and form.shape == "cosine":
        yield Finding(
            "climbed again after its end",
            f"the descent ends at update {end:,.0f} of {length:,.0f}, and the lr rises again",
        )
        return
    # A straight line that is cut off may as well be one to a floor: only where a length is known.
    sure = form.shape != "linear" or (kind == "linear" and wanted.floor is not None)
    if end > length * (1 + NEAR) + 2 * gap and sure and math.isnan(form.again):
        last = case.lrs[-1]
        yield Finding(
            "never reached its floor",
            f"this is {shape_of(form)} over {end:,.0f} updates{with_warmup(form)}, and the run "
            f"took {length:,.0f}: it ended at {last:.4g}, {last / form.peak:.2g} of the peak",
        )
    elif (
        wanted.total is not None and kind in ("cosine", "linear") and not _explained(wanted, form)
        and end < wanted.total * (1 - NEAR) - 2 * gap and wanted.exact is None and wanted.numbers
    ):  # fmt: skip
        yield Finding(
            "a length that is not the run's",
            f"its descent ends at update {end:,.0f}, and {wanted.total:,.0f} were asked for",
        )


def _warmup_and_floor(case: Case) -> Iterator[Finding]:
    """A peak or a floor that is not where the config says."""
    wanted, form, length, gap = case.wanted, case.form, case.length, case.gap
    asked_for, seen = wanted.warmup, form.warmup
    if asked_for and seen and abs(seen - asked_for) > max(2 * gap, 0.1 * asked_for, 2.0):
        factor = asked_for / seen if seen < asked_for else seen / asked_for
        yield Finding(
            "another warmup than asked for",
            f"the peak is reached at update {seen:,.0f}, not {asked_for:,.0f} (a factor of "
            f"{factor:.3g})",
        )
    floor = wanted.floor
    if floor is None or math.isnan(form.floor) or form.end > length + 2 * gap:
        return
    if abs(form.floor - floor) > max(0.1 * floor, 0.005):
        side = "above" if form.floor > floor else "below"
        yield Finding(
            f"a floor {side} what was asked",
            f"the descent ends at {form.floor:.3g} of the peak ({form.floor * form.peak:.3g}), and "
            f"{floor:.3g} ({floor * form.peak:.3g}) was asked for",
        )
