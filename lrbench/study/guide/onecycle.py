"""The claim "OneCycle is best when time is short", with and without its momentum cycle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from lrbench.compare.inference import LEAST
from lrbench.compare.settings import Margin
from lrbench.compare.tables import NOTHING, Table
from lrbench.study import settings
from lrbench.study.guide import claim
from lrbench.study.guide.claim import Evidence, Unmeasured, by_seed, override, paired
from lrbench.study.records import Point, Stage, StudyOutcome
from lrbench.study.runs import Runs, mean, score
from lrbench.task import Measure

CLAIM = "OneCycle is best when time is short"
ONECYCLE = "onecycle"
STILL = "onecycle without momentum cycle"
KEY = "cycle_momentum"

Scores = Mapping[str, Mapping[int, float]]  # strategy to seed to score


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:  # noqa: ARG001
    """OneCycle without its momentum cycle at the short budgets, else as it was run there."""
    return [point for stage in _short(outcome) for point in _still_points(outcome, stage)]


def _short(outcome: StudyOutcome) -> list[Stage]:
    """The stages whose budget counts as short, shortest first."""
    if ONECYCLE not in outcome.study.strategies or len(outcome.study.strategies) < 2:
        return []
    limit = settings.share("short_budget", outcome.guide.short_budget)
    return [stage for stage in _ordered(outcome) if stage.share <= limit]


def _ordered(outcome: StudyOutcome) -> list[Stage]:
    return sorted(outcome.stages, key=lambda stage: stage.share)


def _still_points(outcome: StudyOutcome, stage: Stage) -> list[Point]:
    if KEY in stage.chosen[ONECYCLE].knobs:
        return []  # tuned, so that with and without have been weighed on validation
    folder = outcome.folder / "guide" / "onecycle" / stage.percent.replace(" ", "")
    return [
        replace(
            point,
            folder=folder / f"seed={point.seed}",
            overrides=override(point, scheduler__cycle_momentum="false"),
        )
        for point in stage.final[ONECYCLE]
    ]


def evidence(outcome: StudyOutcome, runs: Runs, margin: Margin) -> Evidence:
    """OneCycle against every other strategy at every short budget, paired by seed."""
    if ONECYCLE not in outcome.study.strategies:
        raise Unmeasured(
            "study.strategies with onecycle among them",
            "Not measured: onecycle is not in the study.",
        )
    others = [name for name in outcome.study.strategies if name != ONECYCLE]
    if not others:
        raise Unmeasured(
            "a second one in study.strategies", "Not measured: there is no other strategy."
        )
    short, measure = _short(outcome), outcome.measure
    if not short:
        budget = outcome.guide.short_budget
        raise Unmeasured(
            f"study.budgets=[{budget},100%]",
            f"Not measured: no budget of the study is short (up to {budget} of the full length).",
        )
    scores = {stage.share: _scores(outcome, stage, runs) for stage in outcome.stages}
    differences = {
        f"{name} at {stage.percent}": measure.sign
        * paired(scores[stage.share][ONECYCLE], scores[stage.share][name], measure)
        for stage in short
        for name in others
    }
    tests = claim.compared(differences, margin.size)
    wording = {
        "above": "it beats",
        "below": "it is beaten by",
        "negligible": f"it is equivalent within ± {margin.text} to",
        "open": "it is not distinguishable from",
    }
    ranks = ", ".join(_ranks(_ordered(outcome), scores, others, measure))
    return Evidence(
        tests=tests,
        sentences=(
            f"OneCycle's rank by mean test {measure.label} among {len(others) + 1}: {ranks}.",
            f"At the short budgets {claim.told(tests, wording, measure)}.",
        ),
        table=_table(_ordered(outcome), scores, margin, measure),
        seeds_key="study.final_seeds",
        effect=margin.text,
    )


def _scores(outcome: StudyOutcome, stage: Stage, runs: Runs) -> dict[str, dict[int, float]]:
    """The test's score by strategy and seed."""
    tracks = {name: stage.final.get(name, ()) for name in outcome.study.strategies}
    if stage in _short(outcome):
        tracks[STILL] = tuple(_still_points(outcome, stage))
    return {
        name: {s: score(run, "test", outcome.measure) for s, run in by_seed(own, runs).items()}
        for name, own in tracks.items()
    }


def _rank(scores: Scores, name: str, others: list[str], measure: Measure) -> int:
    """1 for the best mean; strategies without a run have none."""
    means = {n: measure.sign * mean(scores[n].values()) for n in (name, *others) if scores[n]}
    return int(pd.Series(means).rank(ascending=False, method="min")[name])


def _ranks(
    stages: Sequence[Stage], scores: Mapping[float, Scores], others: list[str], measure: Measure
) -> Iterator[str]:
    """OneCycle's rank at each budget: ``2 (3 without the momentum cycle) at 30 % …``."""
    for stage in stages:
        at = scores[stage.share]
        if not at[ONECYCLE]:
            continue
        still = ""
        if at.get(STILL):
            still = f" ({_rank(at, STILL, others, measure)} without the momentum cycle)"
        yield f"{_rank(at, ONECYCLE, others, measure)}{still} at {stage.percent} of the budget"


def _table(
    stages: Sequence[Stage], scores: Mapping[float, Scores], margin: Margin, measure: Measure
) -> Table:
    rows = []
    for stage in stages:
        at = {name: own for name, own in scores[stage.share].items() if own}
        means = {name: mean(own.values()) for name, own in at.items()}
        for name in sorted(at, key=lambda name: -measure.sign * means[name]):
            difference = interval = NOTHING
            if name != ONECYCLE and ONECYCLE in at:
                pairs = measure.sign * paired(at[ONECYCLE], at[name], measure)
                (test,) = claim.tested({name: pairs}, margin.size, 0.0).values()
                difference = measure.number(test.mean)
                interval = claim.span(test, measure) if test.num > 1 else NOTHING
            told = measure.value(means[name])
            rows.append(
                (f"{stage.percent}: {name}", str(len(at[name])), told, difference, interval)
            )
    headers = (
        "budget: schedule", "seeds", f"mean test {measure.label}", "onecycle − it",
        "95 % interval",
    )  # fmt: skip
    caption = (
        f"By mean test {measure.label} at each budget, {measure.divergence}; differences"
        f"{measure.in_unit}, paired by seed, above 0 where onecycle is better. Without momentum "
        "cycle: scheduler.cycle_momentum=false at the same peak lr. Fewer than "
        f"{LEAST} seeds carry no finding."
    )
    return Table(f"{CLAIM}: budgets", headers, tuple(rows), frozenset(), caption)
