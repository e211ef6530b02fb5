"""The claim "cosine refines late", against schedules that are tuned alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrbench.compare.evaluations import Evaluations
from lrbench.compare.read import FinishedRun
from lrbench.compare.statistics import MeanTest, p_value, t_interval
from lrbench.compare.tables import NOTHING, Table
from lrbench.study.accuracy import ACCURACY, points, span
from lrbench.study.guide import claim
from lrbench.study.guide.claim import ClaimVerdict, Words, by_seed, paired
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs

CLAIM = "Cosine refines late"
COSINE = "cosine"
KEYS = ("late_gain", "late_loss_gain")

Gains = Mapping[str, Mapping[int, float]]  # measure to seed to value


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:  # noqa: ARG001
    """No runs of its own: the references are tuned and run as the strategies are."""
    return []


def judge(outcome: StudyOutcome, runs: Runs) -> ClaimVerdict:
    """Hold cosine's gain in the last fifth against that of every reference, paired by seed."""
    guide, stage = outcome.study.guide, outcome.full
    assert guide is not None
    gains = {name: _gains(by_seed(own, runs)) for name, own in stage.final.items()}
    if COSINE not in gains:
        return claim.untold(
            CLAIM, "cosine is not in the study", "study.strategies with cosine among them"
        )
    references = [name for name in guide.references if name != COSINE and name in gains]
    if not references:
        what = "study.guide.references=[constant,linear,step]"
        return claim.untold(CLAIM, "there is no reference to hold it against", what)
    margin = outcome.study.margin / 100
    own = gains[COSINE]["late_gain"]
    differences = {name: paired(own, gains[name]["late_gain"]) for name in references}
    tests = claim.tested(differences, margin)
    if all(test.num == 0 for test in tests.values()):
        return claim.untold(
            CLAIM, "no two runs share a seed and reach the end", "runs that do not diverge"
        )
    finding = claim.finding(tests)
    least = min(test.num for test in tests.values())
    remedy = ""
    if finding == claim.CANNOT_TELL:
        size = f"{100 * margin:g} points"
        remedy = claim.more_seeds(tests.values(), "study.final_seeds", size)
    return ClaimVerdict(
        claim=CLAIM,
        finding=finding,
        num_seeds=least,
        sentences=(_gain_sentence(own), f"That is {claim.told(tests, _words(margin))}."),
        remedy=remedy,
        tables=(_table(gains, tests, least),),
    )


def _gains(runs: Mapping[int, FinishedRun]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {key: {} for key in (*KEYS, "final")}
    for seed, run in runs.items():
        if not run.completed:
            continue
        evaluations = Evaluations.of(run.history, ACCURACY)
        if evaluations is None:
            continue
        measured = evaluations.phases(run.result.steps)
        for key in KEYS:
            found[key][seed] = measured[key]
        found["final"][seed] = run.result.values["val_accuracy"]
    return found


def _words(margin: float) -> Words:
    return Words(
        above="more than",
        below="less than",
        negligible=f"the same within ± {100 * margin:g} points as",
        open="not distinguishable from",
    )


def _gain_sentence(own: Mapping[int, float]) -> str:
    values = np.array([value for value in own.values() if not math.isnan(value)])
    spread = f", varying by {points(values.std(ddof=1))} from seed to seed" * (len(values) > 1)
    return (
        f"In the last fifth of the updates cosine's validation accuracy rises by "
        f"{points(values.mean())} points{spread} (n = {len(values)})."
    )


def _table(gains: Mapping[str, Gains], tests: Mapping[str, MeanTest], least: int) -> Table:
    order = [COSINE, *tests, *(name for name in gains if name != COSINE and name not in tests)]
    rows = []
    for name in order:
        late = _known(gains[name]["late_gain"])
        test = tests.get(name)
        rows.append(
            (
                name,
                str(len(late)),
                _with_half(late),
                points(late.std(ddof=1)) if len(late) > 1 else NOTHING,
                _decimals(_known(gains[name]["late_loss_gain"])),
                points(_known(gains[name]["final"]).std(ddof=1)) if len(late) > 1 else NOTHING,
                NOTHING if test is None else f"{points(test.mean)} ({span(test.low, test.high)})",
                NOTHING if test is None else p_value(test.holm_p),
            )
        )
    headers = (
        "schedule", "seeds", "gain in the last fifth", "its sd", "loss gain", "sd of final acc.",
        "cosine − it (95 %)", "Holm p",
    )  # fmt: skip
    caption = (
        "Rise of the validation accuracy over the last fifth of the updates, in points: mean ± "
        "95 % t-interval and standard deviation over seeds; fall of the validation loss beside it. "
        f"cosine − it: paired by seed (n = {least} or more), permutation p Holm-corrected over the "
        "references; strategies without one are shown for context. Diverged runs are left out."
    )
    return Table(f"{CLAIM}: gains at the end", headers, tuple(rows), frozenset({0}), caption)


def _known(values: Mapping[int, float]) -> Any:
    array = np.array(list(values.values()), dtype=float)
    return array[~np.isnan(array)]


def _with_half(values: Any) -> str:
    if not len(values):
        return NOTHING
    _, high = t_interval(values)
    half = "" if math.isnan(high) else f" ± {points(high - values.mean())}"
    return points(values.mean()) + half


def _decimals(values: Any) -> str:
    return f"{values.mean():.3g}".replace("-", "−") if len(values) else NOTHING
