"""The claim "plateau helps when training stalls": each cut against the same run without it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lrbench.cli.wording import counted
from lrbench.compare.inference import Difference
from lrbench.compare.read import FinishedRun
from lrbench.compare.settings import Margin
from lrbench.compare.tables import NOTHING, Table
from lrbench.study.guide import claim
from lrbench.study.guide.claim import Evidence, Unmeasured, by_seed, override
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs
from lrbench.task import Measure

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
    """A cut and what it gained on validation, against the same run continued without it."""

    cut: ObservedCut
    seed: int
    gain: float


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:
    """The first cuts of the first runs that had any, each run again with the lr held there."""
    return [without for _, _, without in _trials(outcome, runs)]


def cuts(run: FinishedRun) -> list[ObservedCut]:
    """The cuts of a finished run, from the lr that its updates used."""
    history = run.history
    if history is None or len(history) < 2:
        return []
    lrs, steps = history["lr"].to_numpy(), history["step"].to_numpy()
    evaluations = steps[history.filter(like="val_").notna().any(axis=1).to_numpy()]
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
    guide, num_seeds = outcome.guide, 0
    for point in _finals(outcome):
        run = runs.get(point.folder)
        if run is None or not run.completed or not (found := cuts(run)):
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


def evidence(outcome: StudyOutcome, runs: Runs, margin: Margin) -> Evidence:
    """The gain of each cut by its end, averaged per seed."""
    guide, measure = outcome.guide, outcome.measure
    if PLATEAU not in outcome.study.strategies:
        raise Unmeasured(
            "study.strategies with plateau among them", "Not measured: plateau is not in the study."
        )
    finals = [run for run in by_seed(_finals(outcome), runs).values() if run.history is not None]
    if not finals:
        raise Unmeasured(
            "runs that finish", "Not measured: plateau has no finished run with a history."
        )
    fired = {run.seed: cuts(run) for run in finals}
    num_cut = sum(len(found) > 0 for found in fired.values())
    if not num_cut:
        patience = finals[0].config.get("scheduler.patience")
        raise Unmeasured(
            "a smaller scheduler.patience or a longer trainer.length",
            f"It never fired: plateau made no cut in {counted(len(finals), 'run')} (patience "
            f"{patience} evaluations), so here it was a constant lr.",
            num_seeds=len(finals),
        )
    tried, unlike = [], 0
    for run, cut, point in _trials(outcome, runs):
        if (other := runs.get(point.folder)) is None or other.history is None:
            continue
        if _same_until(run, other, cut.step):
            gain = measure.sign * (_at(run, cut.until, measure) - _at(other, cut.until, measure))
            tried.append(Tried(cut=cut, seed=run.seed, gain=gain))
        else:
            unlike += 1
    if not tried:
        why = (
            "the runs without a cut were not the same before it"
            if unlike
            else "no run without a cut is there to compare with"
        )
        raise Unmeasured(
            "study.guide.cut_seeds above 0, on one kind of device",
            _how_often(fired),
            f"Not measured: {why}.",
        )
    by_its_seed: dict[int, list[float]] = defaultdict(list)
    for one in tried:
        by_its_seed[one.seed].append(one.gain)
    gains = np.array([np.mean(values) for values in by_its_seed.values()])
    tests = claim.compared({"gain": gains}, margin.size)
    key = "study.guide.cut_seeds"
    if num_cut <= guide.cut_seeds:
        key = f"study.final_seeds, of which {num_cut} of {len(finals)} had a cut"
    lengths = {run.seed: run.result.steps for run in finals}
    return Evidence(
        tests=tests,
        sentences=(_how_often(fired), _gain(tests["gain"], len(tried), unlike, measure)),
        table=_table(fired, tried, lengths, measure),
        seeds_key=key,
        effect=margin.text,
    )


def _same_until(run: FinishedRun, other: FinishedRun, step: int) -> bool:
    """Whether the two are the same run, bit for bit, up to update `step`."""
    assert run.history is not None
    assert other.history is not None
    columns = [column for column in run.history if column != "seconds"]
    if set(columns) - set(other.history):
        return False
    histories = (run.history, other.history)
    before, also = (h[h["step"] <= step][columns].to_numpy() for h in histories)
    return len(before) > 0 and np.array_equal(before, also, equal_nan=True)


def _at(run: FinishedRun, step: int, measure: Measure) -> float:
    """The validation's score at the evaluation after `step` updates; without one it diverged."""
    assert run.history is not None
    column = f"val_{measure.name}"
    rows = run.history[(run.history["step"] == step) & run.history[column].notna()]
    value = None if rows.empty else float(rows[column].iloc[0])
    return measure.score(value, completed=value is not None)


def _how_often(fired: Mapping[int, Sequence[ObservedCut]]) -> str:
    counts = [len(found) for found in fired.values()]
    some, mean = sum(count > 0 for count in counts), np.mean(counts)
    runs = counted(len(counts), "run")
    if some < len(counts):
        often = f"{mean:.1f} times a run on average (0 to {max(counts)})"
        return f"plateau cut the lr in {some} of {runs}, {often}."
    often = f"{mean:.1f} times on average ({min(counts)} to {max(counts)})"
    return f"plateau cut the lr in each of {runs}, {often}."


def _gain(test: Difference, num_tried: int, unlike: int, measure: Measure) -> str:
    interval = ""
    if test.num > 1:
        interval = f"interval {claim.span(test, measure)}, "
    left_out = ""
    if unlike:
        runs = counted(unlike, "run")
        left_out = f"; {runs} without a cut left out, as they were not the same before it"
    return (
        f"By the next cut or the run's end a cut has gained {measure.difference(test.mean)} of "
        f"validation {measure.label} over the same run without it ({interval}"
        f"{counted(test.num, 'seed')}, {counted(num_tried, 'cut')} tried){left_out}."
    )


def _table(
    fired: Mapping[int, Sequence[ObservedCut]],
    tried: Sequence[Tried],
    lengths: Mapping[int, int],
    measure: Measure,
) -> Table:
    rows = []
    for number in range(1, max(len(found) for found in fired.values()) + 1):
        at = [
            100 * cut.step / lengths[seed]
            for seed, found in fired.items()
            for cut in found
            if cut.number == number
        ]
        own = [one.gain for one in tried if one.cut.number == number]
        rows.append(
            (
                f"cut {number}",
                f"{len(at)} of {len(fired)}",
                f"{np.median(at):.0f} % ({min(at):.0f} to {max(at):.0f})",
                str(len(own)),
                measure.number(float(np.mean(own))) if own else NOTHING,
            )
        )
    headers = ("cut", "runs", "at", "tried without it", "gain")
    caption = (
        f"At: median (and range) share of the updates. Gain: by how much the validation "
        f"{measure.label} is better{measure.in_unit}, at the next cut or the end, than that of the "
        "same seed continued at the lr before the cut (scheduler.min_factor), which is the same "
        "run up to there."
    )
    return Table(f"{CLAIM}: cuts", headers, tuple(rows), frozenset(), caption)
