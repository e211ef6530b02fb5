"""What a claim's judge says, and the tests that all judges share.

A finding needs numbers that carry it: "supported" needs a Holm-corrected permutation p below 0.05
and an interval on the claim's side of 0, over enough paired seeds; "not supported" needs as much
evidence of the opposite, or of no effect worth the name (equivalence within a margin). All else is
"can't tell", with what would settle it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrbench.compare import statistics
from lrbench.compare.read import FinishedRun
from lrbench.compare.statistics import MeanTest, p_value
from lrbench.compare.tables import Table
from lrbench.compare.verdict import MANY_SEEDS
from lrbench.study.accuracy import points, span
from lrbench.study.records import Point
from lrbench.study.runs import Runs

SUPPORTED = "supported"
NOT_SUPPORTED = "not supported"
CANNOT_TELL = "can't tell"

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


def tested(differences: Mapping[str, Array], margin: float) -> dict[str, MeanTest]:
    """A test of each of `differences` (one number per seed), corrected for their number."""
    tests = [
        # Without float32's noise ties are ties.
        statistics.paired_test(np.round(values, 6), margin, np.random.default_rng([0, number]))
        for number, values in enumerate(differences.values())
    ]
    return dict(zip(differences, statistics.corrected(tests), strict=True))


def finding(found: Mapping[str, MeanTest]) -> str:
    """Of a claim that says "more than each of these": supported only if every test says so."""
    if all(test.above for test in found.values()):
        return SUPPORTED
    if any(test.below or test.negligible for test in found.values()):
        return NOT_SUPPORTED
    return CANNOT_TELL


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a sentence names what a test found."""

    above: str
    below: str
    negligible: str
    open: str

    def of(self, test: MeanTest) -> str:
        if test.above:
            return self.above
        if test.below:
            return self.below
        return self.negligible if test.negligible else self.open


def told(found: Mapping[str, MeanTest], words: Words) -> str:
    """``more than constant (0.40, 95 % interval 0.21 to 0.63, Holm p = 0.02) and step (...)``."""
    kinds: dict[str, list[str]] = {}
    for name, test in found.items():
        numbers = (
            f"{points(test.mean)}, 95 % interval {span(test.low, test.high)}, "
            f"Holm p = {p_value(test.holm_p)}"
            if test.num > 1
            else f"seeds in common: {test.num}"
        )
        kinds.setdefault(words.of(test), []).append(f"{name} ({numbers})")
    return "; ".join(f"{kind} {listed(names)}" for kind, names in kinds.items())


def untold(claim: str, why: str, remedy: str) -> ClaimVerdict:
    """The verdict where nothing could be measured, and why."""
    return ClaimVerdict(
        claim=claim,
        finding=CANNOT_TELL,
        num_seeds=0,
        sentences=(f"Not measured: {why}.",),
        remedy=remedy,
        tables=(),
    )


def more_seeds(found: Iterable[MeanTest], key: str, what: str) -> str:
    """How many seeds the undecided tests of `found` ask for, as a remedy.

    Args:
        key: the setting that holds the seeds.
        what: what that many seeds would resolve, such as ``0.2 points``.
    """
    open_tests = [t for t in found if not (t.above or t.below or t.negligible)]
    least = min((test.num for test in open_tests), default=0)
    fewest = max((test.fewest for test in open_tests), default=0)
    if least < fewest:
        return f"at least {fewest} seeds ({key}); with {least} no effect, however large, is sure"
    needed = max((test.seeds_needed for test in open_tests), default=0)
    if needed <= max((test.num for test in open_tests), default=0):
        return f"{what} would probably have shown: what is left open is smaller"
    if needed > MANY_SEEDS:
        return f"more than {MANY_SEEDS:,} seeds would be needed to resolve {what}"
    return f"about {needed} seeds ({key}) would resolve {what}"


def by_seed(points: Sequence[Point], runs: Runs) -> dict[int, FinishedRun]:
    """The finished runs of `points` by seed."""
    return {point.seed: runs[point.folder] for point in points if point.folder in runs}


def paired(a: Mapping[int, float], b: Mapping[int, float]) -> Array:
    """a − b on each common seed at which both are known, in the order of the seeds."""
    differences = pd.Series(a, dtype=float) - pd.Series(b, dtype=float)
    return differences.dropna().to_numpy()


def override(point: Point, **changes: str) -> tuple[str, ...]:
    """The overrides of `point` with some keys changed; ``__`` stands for a dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    kept = [text for text in point.overrides if text.partition("=")[0] not in named]
    return (*kept, *(f"{key}={value}" for key, value in named.items()))


def listed(names: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def seeds(number: int) -> str:
    """``1 seed``, ``6 seeds``."""
    return f"{number} seed{'s' if number != 1 else ''}"


def runs(number: int) -> str:
    """``1 run``, ``8 runs``."""
    return f"{number} run{'s' if number != 1 else ''}"
