"""The claim "OneCycle is best when time is short", with and without its momentum cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from lrbench.compare.read import FinishedRun
from lrbench.compare.statistics import ENOUGH_SEEDS
from lrbench.compare.tables import NOTHING, Table
from lrbench.study import settings
from lrbench.study.accuracy import percent, points, span
from lrbench.study.guide import claim
from lrbench.study.guide.claim import ClaimVerdict, Words, by_seed, override, paired
from lrbench.study.records import Point, Stage, StudyOutcome
from lrbench.study.runs import Runs

CLAIM = "OneCycle is best when time is short"
ONECYCLE = "onecycle"
STILL = "onecycle without momentum cycle"
KEY = "cycle_momentum"


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:  # noqa: ARG001
    """OneCycle without its momentum cycle at the short budgets, else as it was run there."""
    return [point for stage in short(outcome) for point in _still_points(outcome, stage)]


def short(outcome: StudyOutcome) -> list[Stage]:
    """The stages whose budget counts as short, shortest first."""
    guide = outcome.study.guide
    assert guide is not None
    if ONECYCLE not in outcome.study.strategies or len(outcome.study.strategies) < 2:
        return []
    limit = settings.share("short_budget", guide.short_budget)
    found = [stage for stage in outcome.stages if stage.share <= limit]
    return sorted(found, key=lambda stage: stage.share)


def _still_points(outcome: StudyOutcome, stage: Stage) -> list[Point]:
    if KEY in stage.chosen[ONECYCLE].knobs:
        return []  # tuned, so that with and without have been weighed on validation
    folder = outcome.folder / "guide" / "onecycle" / f"{100 * stage.share:g}%"
    return [
        replace(
            point,
            folder=folder / f"seed={point.seed}",
            overrides=override(point, scheduler__cycle_momentum="false"),
        )
        for point in stage.final[ONECYCLE]
    ]


def judge(outcome: StudyOutcome, runs: Runs) -> ClaimVerdict:
    """Hold OneCycle against every other strategy at every short budget, paired by seed."""
    guide = outcome.study.guide
    assert guide is not None
    if ONECYCLE not in outcome.study.strategies:
        return claim.untold(
            CLAIM, "onecycle is not in the study", "study.strategies with onecycle among them"
        )
    others = [name for name in outcome.study.strategies if name != ONECYCLE]
    if not others:
        return claim.untold(CLAIM, "there is no other strategy", "a second one in study.strategies")
    stages = short(outcome)
    if not stages:
        why = f"no budget of the study is short (up to {guide.short_budget} of the full length)"
        return claim.untold(CLAIM, why, f"study.budgets=[{guide.short_budget},100%]")

    margin = outcome.study.margin / 100
    scores = {stage.share: _scores(outcome, stage, runs) for stage in outcome.stages}
    tests = claim.tested(
        {
            f"{name} at {100 * stage.share:g} %": paired(
                scores[stage.share][ONECYCLE], scores[stage.share][name]
            )
            for stage in stages
            for name in others
        },
        margin,
    )
    if all(test.num == 0 for test in tests.values()):
        return claim.untold(CLAIM, "no two runs share a seed at a short budget", "runs that finish")
    least = min(test.num for test in tests.values())
    finding = claim.finding(tests)
    remedy = ""
    if finding == claim.CANNOT_TELL:
        size = f"{100 * margin:g} points"
        remedy = claim.more_seeds(tests.values(), "study.final_seeds", size)
    ordered = sorted(outcome.stages, key=lambda stage: stage.share)
    return ClaimVerdict(
        claim=CLAIM,
        finding=finding,
        num_seeds=least,
        sentences=(
            _ranks(ordered, stages, scores, others),
            f"At the short budgets {claim.told(tests, _words(margin))}.",
        ),
        remedy=remedy,
        tables=(_table(ordered, scores, margin),),
    )


def _scores(outcome: StudyOutcome, stage: Stage, runs: Runs) -> dict[str, dict[int, float]]:
    """MeanTest accuracy by strategy and seed, a diverged run as guessing."""
    tracks = {name: stage.final.get(name, ()) for name in outcome.study.strategies}
    if stage in short(outcome):
        tracks[STILL] = tuple(_still_points(outcome, stage))
    return {
        name: {seed: _score(run, outcome.chance) for seed, run in by_seed(own, runs).items()}
        for name, own in tracks.items()
    }


def _score(run: FinishedRun, chance: float) -> float:
    return float(run.result.values["test_accuracy"]) if run.completed else chance


def _words(margin: float) -> Words:
    return Words(
        above="it beats",
        below="it is beaten by",
        negligible=f"it is equivalent within ± {100 * margin:g} points to",
        open="it is not distinguishable from",
    )


def _rank(scores: Mapping[str, Mapping[int, float]], name: str, others: list[str]) -> int:
    """1 for the highest mean; strategies without a run have none."""
    means = {n: pd.Series(scores[n]).mean() for n in (name, *others) if scores[n]}
    return int(pd.Series(means).rank(ascending=False, method="min")[name])


def _ranks(
    ordered: list[Stage],
    stages: list[Stage],
    scores: Mapping[float, Mapping[str, Mapping[int, float]]],
    others: list[str],
) -> str:
    told = []
    for stage in ordered:
        at = scores[stage.share]
        if not at[ONECYCLE]:
            continue
        still = ""
        if stage in stages and at.get(STILL):
            still = f" ({_rank(at, STILL, others)} without the momentum cycle)"
        rank = _rank(at, ONECYCLE, others)
        told.append(f"{rank}{still} at {100 * stage.share:g} % of the budget")
    return f"OneCycle's rank by mean test accuracy among {len(others) + 1}: {', '.join(told)}."


def _table(
    ordered: list[Stage],
    scores: Mapping[float, Mapping[str, Mapping[int, float]]],
    margin: float,
) -> Table:
    rows = []
    for stage in ordered:
        at = scores[stage.share]
        names = sorted((n for n in at if at[n]), key=lambda n: -pd.Series(at[n]).mean())
        for name in names:
            cells = [NOTHING, NOTHING]
            if name != ONECYCLE and at[ONECYCLE]:
                (test,) = claim.tested({name: paired(at[ONECYCLE], at[name])}, margin).values()
                cells = [points(test.mean), span(test.low, test.high)]
                cells[1] = cells[1] if test.num > 1 else NOTHING
            mean = percent(pd.Series(at[name]).mean())
            rows.append((f"{100 * stage.share:g} %: {name}", str(len(at[name])), mean, *cells))
    headers = ("budget: schedule", "seeds", "mean test accuracy", "onecycle − it", "95 % interval")
    caption = (
        "By mean test accuracy at each budget, a diverged run as guessing; differences in points, "
        "paired by seed. Without momentum cycle: scheduler.cycle_momentum=false at the same peak "
        f"lr. Fewer than {ENOUGH_SEEDS} seeds carry no finding."
    )
    return Table(f"{CLAIM}: budgets", headers, tuple(rows), frozenset(), caption)
