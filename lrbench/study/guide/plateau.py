"""The claim "plateau helps when training stalls": each cut against the same run without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lrbench.compare.read import FinishedRun
from lrbench.compare.statistics import MeanTest, p_value
from lrbench.compare.tables import NOTHING, Table
from lrbench.study.accuracy import points, span
from lrbench.study.guide import claim
from lrbench.study.guide.claim import ClaimVerdict, by_seed, override
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs

CLAIM = "Plateau helps when training stalls"
PLATEAU = "plateau"
SAME_LR = 1e-6  # relative: history.csv holds float32


@dataclass(frozen=True, kw_only=True)
class ObservedCut:
    """One cut of a run.

    Attributes:
        number: 1 for the run's first.
        step: updates taken when it was made; an evaluation's.
        until: updates at the next cut, or at the run's end.
        factor_before: of the base lr, until then.
    """

    number: int
    step: int
    until: int
    factor_before: float


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A cut and what it brought, against the same run continued without it."""

    cut: ObservedCut
    seed: int
    accuracy_gain: float
    loss_gain: float


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:
    """The first cuts of the first runs that had any, each run again with the lr held there."""
    return [without for _, _, without in _trials(outcome, runs)]


def cuts(run: FinishedRun) -> list[ObservedCut]:
    """The cuts of a finished run, from the lr that its updates used."""
    history = run.history
    if history is None or len(history) < 2:
        return []
    lrs, steps = history["lr"].to_numpy(), history["step"].to_numpy()
    evaluations = steps[history["val_loss"].notna().to_numpy()]
    drops = np.flatnonzero(lrs[1:] < lrs[:-1] * (1 - SAME_LR)) + 1
    # A cut follows an evaluation at once; rows may be further apart.
    at = [int(evaluations[evaluations < steps[row]].max()) for row in drops]
    ratio, floor = (float(run.config[f"scheduler.{k}"]) for k in ("cut_factor", "min_factor"))
    found, factor = [], 1.0
    for number, step in enumerate(at, start=1):
        until = at[number] if number < len(at) else int(steps[-1])
        found.append(ObservedCut(number=number, step=step, until=until, factor_before=factor))
        factor = max(factor * ratio, floor)
    return found


def _trials(outcome: StudyOutcome, runs: Runs) -> Iterator[tuple[FinishedRun, ObservedCut, Point]]:
    """(run, cut, the run without that cut) of the cuts that are tried."""
    guide = outcome.study.guide
    assert guide is not None
    num_seeds = 0
    for point in _finals(outcome):
        run = runs.get(point.folder)
        found = cuts(run) if run is not None and run.completed else []
        if not found or run is None:
            continue
        num_seeds += 1
        if num_seeds > guide.cut_seeds:
            return
        for cut in found[: guide.max_cuts]:
            folder = outcome.folder / "guide" / "plateau" / f"seed={point.seed},cut={cut.number}"
            held = override(point, scheduler__min_factor=repr(cut.factor_before))
            yield run, cut, replace(point, folder=folder, overrides=held)


def _finals(outcome: StudyOutcome) -> Sequence[Point]:
    return outcome.full.final.get(PLATEAU, ()) if PLATEAU in outcome.study.strategies else ()


def judge(outcome: StudyOutcome, runs: Runs) -> ClaimVerdict:
    """The gain of each cut by its end, averaged per seed and held against 0."""
    guide = outcome.study.guide
    assert guide is not None
    if PLATEAU not in outcome.study.strategies:
        why = "plateau is not in the study"
        return claim.untold(CLAIM, why, "study.strategies with plateau among them")
    finals = [run for run in by_seed(_finals(outcome), runs).values() if run.history is not None]
    if not finals:
        return claim.untold(CLAIM, "plateau has no finished run with a history", "runs that finish")
    fired = {run.seed: cuts(run) for run in finals}
    counts = [len(found) for found in fired.values()]
    if not any(counts):
        return _never(finals)

    tried, unlike = [], 0
    for run, cut, point in _trials(outcome, runs):
        if (other := runs.get(point.folder)) is None or other.history is None:
            continue
        if not _same_until(run, other, cut.step):
            unlike += 1
            continue
        tried.append(_try(run, other, cut, outcome.chance))
    how_often = _how_often(fired)
    if not tried:
        why = (
            "the runs without a cut were not the same before it"
            if unlike
            else "no run without a cut is there to compare with"
        )
        found = claim.untold(CLAIM, why, "study.guide.cut_seeds above 0, on one kind of device")
        return replace(found, sentences=(how_often, *found.sentences))
    by_its_seed: dict[int, list[float]] = defaultdict(list)
    for one in tried:
        by_its_seed[one.seed].append(one.accuracy_gain)
    margin = outcome.study.margin / 100
    gains = np.array([np.mean(values) for values in by_its_seed.values()])
    (test,) = claim.tested({"gain": gains}, margin).values()
    finding = claim.finding({"gain": test})
    remedy = ""
    if finding == claim.CANNOT_TELL:
        size = f"{100 * margin:g} points"
        num_cut = sum(count > 0 for count in counts)
        key = (
            f"study.final_seeds, of which {num_cut} of {len(counts)} had a cut"
            if num_cut <= guide.cut_seeds
            else "study.guide.cut_seeds"
        )
        remedy = claim.more_seeds([test], key, size)
    return ClaimVerdict(
        claim=CLAIM,
        finding=finding,
        num_seeds=test.num,
        sentences=(how_often, _gain(test, len(tried), unlike)),
        remedy=remedy,
        tables=(_table(fired, tried, finals),),
    )


def _never(finals: Sequence[FinishedRun]) -> ClaimVerdict:
    patience = finals[0].config.get("scheduler.patience")
    return ClaimVerdict(
        claim=CLAIM,
        finding=claim.CANNOT_TELL,
        num_seeds=len(finals),
        sentences=(
            f"It never fired: plateau made no cut in {claim.runs(len(finals))} (patience "
            f"{patience} evaluations), so here it was a constant lr.",
        ),
        remedy="a smaller scheduler.patience or a longer trainer.length",
        tables=(),
    )


def _same_until(run: FinishedRun, other: FinishedRun, step: int) -> bool:
    """Whether the two are the same run, bit for bit, up to update `step`."""
    assert run.history is not None
    assert other.history is not None
    columns = ["step", "lr", "train_loss", "val_loss", "val_accuracy"]
    histories = (run.history, other.history)
    before, also = (h[h["step"] <= step][columns].to_numpy() for h in histories)
    return len(before) > 0 and np.array_equal(before, also, equal_nan=True)


def _try(run: FinishedRun, other: FinishedRun, cut: ObservedCut, chance: float) -> Tried:
    accuracy, loss = _at(run, cut.until)
    accuracy_without, loss_without = _at(other, cut.until)
    if np.isnan(accuracy_without):  # it diverged on the way
        accuracy_without = chance
    return Tried(
        cut=cut,
        seed=run.seed,
        accuracy_gain=accuracy - accuracy_without,
        loss_gain=loss_without - loss,
    )


def _at(run: FinishedRun, step: int) -> tuple[float, float]:
    """Validation accuracy and loss at the evaluation after `step` updates; NaN: there is none."""
    assert run.history is not None
    rows = run.history[(run.history["step"] == step) & run.history["val_loss"].notna()]
    if rows.empty:
        return float("nan"), float("nan")
    return float(rows["val_accuracy"].iloc[0]), float(rows["val_loss"].iloc[0])


def _how_often(fired: Mapping[int, Sequence[ObservedCut]]) -> str:
    counts = [len(found) for found in fired.values()]
    some = sum(count > 0 for count in counts)
    return (
        f"plateau cut the lr in {some} of {claim.runs(len(counts))}, "
        f"{np.mean(counts):.1f} times a run on average (0 to {max(counts)})."
        if some < len(counts)
        else f"plateau cut the lr in each of {claim.runs(len(counts))}, "
        f"{np.mean(counts):.1f} times on average ({min(counts)} to {max(counts)})."
    )


def _gain(test: MeanTest, num_tried: int, unlike: int) -> str:
    interval = (
        f"95 % interval {span(test.low, test.high)}, p = {p_value(test.holm_p)}, "
        if test.num > 1
        else ""
    )
    left_out = (
        f"; {claim.runs(unlike)} without a cut left out, not being the same before it"
        if unlike
        else ""
    )
    return (
        f"By the next cut or the run's end a cut has gained {points(test.mean)} points of "
        f"validation accuracy over the same run without it ({interval}"
        f"{claim.seeds(test.num)}, {num_tried} cuts tried){left_out}."
    )


def _table(
    fired: Mapping[int, Sequence[ObservedCut]],
    tried: Sequence[Tried],
    finals: Sequence[FinishedRun],
) -> Table:
    lengths = {run.seed: run.result.steps for run in finals}
    rows = []
    for number in range(1, max(len(found) for found in fired.values()) + 1):
        at = [
            100 * cut.step / lengths[seed]
            for seed, found in fired.items()
            for cut in found
            if cut.number == number
        ]
        own = [one for one in tried if one.cut.number == number]
        rows.append(
            (
                f"cut {number}",
                f"{len(at)} of {len(fired)}",
                f"{np.median(at):.0f} % ({min(at):.0f} to {max(at):.0f})",
                str(len(own)),
                points(float(np.mean([o.accuracy_gain for o in own]))) if own else NOTHING,
                f"{np.mean([o.loss_gain for o in own]):.3g}".replace("-", "−") if own else NOTHING,
            )
        )
    headers = ("cut", "runs", "at", "tried without it", "accuracy gain", "loss gain")
    caption = (
        "At: median (and range) share of the updates. Gain: validation accuracy in points, and "
        "fall of validation loss, at the next cut or the end, against the same seed continued at "
        "the lr before the cut (scheduler.min_factor), which is the same run up to there."
    )
    return Table(f"{CLAIM}: cuts", headers, tuple(rows), frozenset(), caption)
