"""The guide: four common claims about schedules, measured on the user's own problem.

One module a claim, each with the runs it needs besides the stages' (`points_of`) and its judge.
"""

from __future__ import annotations

from lrbench.study.guide import cosine, onecycle, plateau, warmup
from lrbench.study.guide.claim import ClaimVerdict
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs, read_final

__all__ = ["ClaimVerdict", "judge", "points"]

CLAIMS = (cosine, warmup, onecycle, plateau)


def points(outcome: StudyOutcome) -> list[Point]:
    """The guide's own runs, below ``outcome.folder / "guide"``, once all stages are done."""
    if outcome.study.guide is None:
        return []
    runs = read_final(outcome)
    return [point for module in CLAIMS for point in module.points_of(outcome, runs)]


def judge(outcome: StudyOutcome, runs: Runs) -> tuple[ClaimVerdict, ...]:
    """What the finished runs of the stages and of `points` say of each claim."""
    if outcome.study.guide is None:
        return ()
    return tuple(module.judge(outcome, runs) for module in CLAIMS)
