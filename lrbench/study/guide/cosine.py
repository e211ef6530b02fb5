"""The claim "cosine refines late", against schedules that are tuned alike."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from lrbench.compare.inference import Difference
from lrbench.compare.settings import Margin
from lrbench.compare.statistics import t_interval
from lrbench.compare.tables import NOTHING, Table
from lrbench.study.guide import claim
from lrbench.study.guide.claim import Array, Evidence, Unmeasured, by_seed, paired
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs, late_gain, score
from lrbench.task import Measure

CLAIM = "Cosine refines late"
COSINE = "cosine"

BySeed = Mapping[int, float]


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:  # noqa: ARG001
    """No runs of its own: the references are tuned and run as the strategies are."""
    return []


def evidence(outcome: StudyOutcome, runs: Runs, margin: Margin) -> Evidence:
    """Cosine's gain in the last fifth against that of every reference, paired by seed."""
    guide, measure = outcome.guide, outcome.measure
    finished = {name: by_seed(own, runs) for name, own in outcome.full.final.items()}
    gains = {
        name: {
            seed: gain
            for seed, run in own.items()
            if not math.isnan(gain := late_gain(run, measure))
        }
        for name, own in finished.items()
    }
    if COSINE not in gains:
        raise Unmeasured(
            "study.strategies with cosine among them", "Not measured: cosine is not in the study."
        )
    references = [name for name in guide.references if name != COSINE and name in gains]
    if not references:
        raise Unmeasured(
            "study.guide.references=[constant,linear,step]",
            "Not measured: there is no reference to hold it against.",
        )
    own = gains[COSINE]
    tests = claim.compared(
        {name: paired(own, gains[name], measure) for name in references}, margin.size
    )
    finals = {
        name: [score(run, "val", measure) for run in own.values() if run.completed]
        for name, own in finished.items()
    }
    wording = {
        "above": "more than",
        "below": "less than",
        "negligible": f"the same within ± {margin.text} as",
        "open": "not distinguishable from",
    }
    return Evidence(
        tests=tests,
        sentences=(
            _gain_sentence(own, measure),
            f"That is {claim.told(tests, wording, measure)}.",
        ),
        table=_table(gains, finals, tests, measure),
        seeds_key="study.final_seeds",
        effect=margin.text,
    )


def _gain_sentence(own: BySeed, measure: Measure) -> str:
    values = _array(own)
    spread = f", varying by {_spread(values, measure)} from seed to seed" * (len(values) > 1)
    return (
        f"In the last fifth of the updates cosine's validation {measure.label} {measure.improves} "
        f"by {measure.difference(float(values.mean()))}{spread} (n = {len(values)})."
    )


def _table(
    gains: Mapping[str, BySeed],
    finals: Mapping[str, list[float]],
    tests: Mapping[str, Difference],
    measure: Measure,
) -> Table:
    order = [COSINE, *tests, *(name for name in gains if name != COSINE and name not in tests)]
    rows = []
    for name in order:
        late, test = _array(gains[name]), tests.get(name)
        rows.append(
            (
                name,
                str(len(late)),
                _with_half(late, measure),
                _spread(late, measure),
                _spread(np.array(finals[name]), measure),
                NOTHING
                if test is None
                else f"{measure.number(test.mean)} ({claim.span(test, measure)})",
            )
        )
    headers = (
        "schedule", "seeds", "gain in the last fifth", "its sd", f"sd of final {measure.label}",
        "cosine − it",
    )  # fmt: skip
    least = min(test.num for test in tests.values())
    caption = (
        f"By how much the validation {measure.label} {measure.improves} over the last fifth of the "
        f"updates{measure.in_unit}: mean ± 95 % t-interval and standard deviation over seeds. "
        f"cosine − it: paired by seed (n = {least} or more), intervals that hold together for all "
        "references; strategies without one are shown for context. Diverged runs are left out."
    )
    return Table(f"{CLAIM}: gains at the end", headers, tuple(rows), frozenset({0}), caption)


def _array(values: BySeed) -> Array:
    return np.array(list(values.values()), dtype=float)


def _spread(values: Array, measure: Measure) -> str:
    return measure.number(float(values.std(ddof=1))) if len(values) > 1 else NOTHING


def _with_half(values: Array, measure: Measure) -> str:
    if not len(values):
        return NOTHING
    _, high = t_interval(values)
    half = "" if math.isnan(high) else f" ± {measure.number(high - float(values.mean()))}"
    return measure.number(float(values.mean())) + half
