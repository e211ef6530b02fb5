"""The verdict on a claim: what every claim's evidence is, and what follows from it.

A finding needs numbers that carry it, and asks for relevance before significance: "not supported"
needs an interval within the margin of no effect or on the wrong side of 0; "supported" an interval
on the claim's side of 0 around a mean beyond the margin. All else is "can't tell", with what would
settle it. Each claim may be wrong in `CLAIM_ALPHA` of studies, which is part of the report's 5 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrbench.cli.wording import listed
from lrbench.compare.inference import LEAST, Difference, each
from lrbench.compare.read import FinishedRun
from lrbench.compare.settings import Margin
from lrbench.compare.tables import Table
from lrbench.compare.verdict import MANY_SEEDS
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs
from lrbench.study.settings import GUIDE_ALPHA
from lrbench.task import Measure

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
CANNOT_TELL = "can't tell"
CLAIM_ALPHA = GUIDE_ALPHA / 4  # there are four

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """What the runs say of a common claim.

    Attributes:
        finding: `SUPPORTED`, `NOT_SUPPORTED` or `CANNOT_TELL`.
        num_seeds: paired seeds that the finding rests on, 0 where nothing was measured.
        sentences: one or two, with the numbers.
        remedy: what would settle it; empty where it is settled.
        tables: the numbers behind the sentences.
    """

    claim: str
    finding: str
    num_seeds: int
    sentences: tuple[str, ...]
    remedy: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured of a claim, which `judge` turns into a verdict.

    Attributes:
        tests: the claim is supported if each of them is above 0 for sure.
        sentences, table: as in `ClaimVerdict`.
        seeds_key: the setting that would give more seeds.
        effect: what more seeds would resolve, such as ``0.2 points``.
        lacks: what the study would have to do besides before the claim can be supported.
    """

    tests: Mapping[str, Difference]
    sentences: tuple[str, ...]
    table: Table
    seeds_key: str
    effect: str
    lacks: str = ""


class Unmeasured(Exception):
    """The runs do not speak of the claim.

    Attributes:
        remedy: what would change that.
        sentences: what there is to say.
        num_seeds: seeds that were looked at.
    """

    def __init__(self, remedy: str, *sentences: str, num_seeds: int = 0) -> None:
        super().__init__(remedy)
        self.remedy, self.sentences, self.num_seeds = remedy, sentences, num_seeds


class Claim(Protocol):
    """A module of this package.

    Attributes:
        CLAIM: the claim in words.
    """

    CLAIM: str

    def points_of(self, outcome: StudyOutcome, runs: Runs) -> list[Point]:
        """The runs that the claim needs besides those of the stages."""

    def evidence(self, outcome: StudyOutcome, runs: Runs, margin: Margin) -> Evidence:
        """What the finished runs show.

        Args:
            margin: a difference of the primary measure that is no effect worth the name.

        Raises:
            Unmeasured: they show nothing.
        """


def judge(claim: Claim, outcome: StudyOutcome, runs: Runs, margin: Margin) -> ClaimVerdict:
    """The verdict that follows from the claim's evidence."""
    try:
        found = claim.evidence(outcome, runs, margin)
    except Unmeasured as told:
        return ClaimVerdict(
            claim=claim.CLAIM, finding=CANNOT_TELL, num_seeds=told.num_seeds,
            sentences=told.sentences, remedy=told.remedy, tables=(),
        )  # fmt: skip
    result = finding(found.tests)
    remedies = [found.lacks] if found.lacks and result != NOT_SUPPORTED else []
    if result == CANNOT_TELL:
        remedies.append(more_seeds(found.tests.values(), found.seeds_key, found.effect))
    return ClaimVerdict(
        claim=claim.CLAIM,
        finding=CANNOT_TELL if remedies else result,
        num_seeds=min(test.num for test in found.tests.values()),
        sentences=found.sentences,
        remedy="; ".join(remedies),
        tables=(found.table,),
    )


def tested(differences: Mapping[str, Array], margin: float, alpha: float) -> dict[str, Difference]:
    """Intervals of each of `differences` (one number per seed), which share `alpha`."""
    return dict(
        zip(differences, each(list(differences.values()), margin, alpha=alpha), strict=True)
    )


def compared(differences: Mapping[str, Array], margin: float) -> dict[str, Difference]:
    """As `tested`, at a claim's own error rate.

    Raises:
        Unmeasured: there is not one pair.
    """
    if not any(len(values) for values in differences.values()):
        raise Unmeasured("runs that finish", "Not measured: no two finished runs share a seed.")
    return tested(differences, margin, CLAIM_ALPHA)


def finding(found: Mapping[str, Difference]) -> str:
    """Of a claim that says "more than each of these": supported only if every test says so."""
    if any(test.below or test.negligible for test in found.values()):
        return NOT_SUPPORTED
    if all(test.above and test.mean > test.margin for test in found.values()):
        return SUPPORTED
    return CANNOT_TELL


def reading(test: Difference) -> str:
    """What the test shows of the mean: ``negligible``, ``above``, ``below`` or ``open``."""
    if test.negligible:
        return "negligible"
    return "above" if test.above else "below" if test.below else "open"


def told(found: Mapping[str, Difference], wording: Mapping[str, str], measure: Measure) -> str:
    """``more than constant (0.40, interval 0.21 to 0.63) and step (...)``.

    Args:
        wording: `reading` to the words before the names.
    """
    kinds: dict[str, list[str]] = {}
    for name, test in found.items():
        numbers = (
            f"{measure.number(test.mean)}, interval {span(test, measure)}"
            if test.num > 1
            else f"seeds in common: {test.num}"
        )
        kinds.setdefault(wording[reading(test)], []).append(f"{name} ({numbers})")
    return "; ".join(f"{kind} {listed(names)}" for kind, names in kinds.items())


def span(test: Difference, measure: Measure) -> str:
    """The test's interval: ``0.21 to 0.63``."""
    return f"{measure.number(test.low)} to {measure.number(test.high)}"


def more_seeds(found: Iterable[Difference], key: str, what: str) -> str:
    """How many seeds the undecided tests of `found` ask for, as a remedy.

    Args:
        key: the setting that holds the seeds.
        what: what that many seeds would resolve, such as ``0.2 points``.
    """
    open_tests = [t for t in found if reading(t) == "open"]
    least = min((test.num for test in open_tests), default=0)
    if least < LEAST:
        return f"at least {LEAST} seeds ({key}); with {least} no effect, however large, is sure"
    needed = max((test.seeds_needed for test in open_tests), default=0)
    if needed <= max((test.num for test in open_tests), default=0):
        return f"{what} would probably have shown: what is left open is smaller"
    if needed > MANY_SEEDS:
        return f"no number of seeds: {what} is too small to be seen against this noise"
    return f"about {needed} seeds ({key}) would resolve {what}"


def by_seed(points: Sequence[Point], runs: Runs) -> dict[int, FinishedRun]:
    """The finished runs of `points` by seed."""
    return {point.seed: runs[point.folder] for point in points if point.folder in runs}


def paired(a: Mapping[int, float], b: Mapping[int, float], measure: Measure) -> Array:
    """a − b on each common seed at which both have a value, in the order of the seeds."""
    differences = pd.Series(a, dtype=float) - pd.Series(b, dtype=float)
    known = differences[np.isfinite(differences)]
    return np.array([measure.exact(value) for value in known], dtype=float)


def override(point: Point, **changes: str) -> tuple[str, ...]:
    """The overrides of `point` with some keys changed; ``__`` stands for a dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    kept = [text for text in point.overrides if text.partition("=")[0] not in named]
    return (*kept, *(f"{key}={value}" for key, value in named.items()))
