"""The guide: four common claims about schedules, measured on the user's own problem.

One module for each claim, as `lrbench.study.guide.claim.Claim` describes.
"""

from __future__ import annotations

from lrbench.compare.settings import Margin
from lrbench.study.guide import claim, cosine, onecycle, plateau, warmup
from lrbench.study.guide.claim import Claim, ClaimVerdict
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs, read_final

__all__ = ["ClaimVerdict", "judge", "points"]

CLAIMS: tuple[Claim, ...] = (cosine, warmup, onecycle, plateau)


def points(outcome: StudyOutcome) -> list[Point]:
    """The guide's own runs, below ``outcome.folder / "guide"``, once all stages are done."""
    if outcome.study.guide is None:
        return []
    runs = read_final(outcome)
    return [point for module in CLAIMS for point in module.points_of(outcome, runs)]


def judge(outcome: StudyOutcome, runs: Runs, margin: Margin) -> tuple[ClaimVerdict, ...]:
    """What the finished runs of the stages and of `points` say of each claim.

    Args:
        margin: a difference of the primary measure that is no effect worth the name.
    """
    if outcome.study.guide is None:
        return ()
    return tuple(claim.judge(module, outcome, runs, margin) for module in CLAIMS)
