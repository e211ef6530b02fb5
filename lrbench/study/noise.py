"""The noise floor: what a study can resolve, from a few seeds of one setting, before it begins."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import stdev

import numpy as np

from lrbench.compare.inference import seeds_to_resolve
from lrbench.compare.settings import Margin
from lrbench.compare.verdict import MANY_SEEDS
from lrbench.task import Measure

MIN_RUNS = 3  # fewer say nothing of how much runs vary


@dataclass(frozen=True, kw_only=True)
class NoiseFloor:
    """How much one setting varies from seed to seed, and what can be seen through that.

    Two schedules' runs are taken to be independent, which asks for too many seeds where equal
    seeds make them alike.

    Attributes:
        sd: standard deviation of the primary measure over `num_runs` runs that completed.
        resolved: the smallest true difference that `num_seeds` seeds of each schedule show in
            80 % of studies.
        needed: seeds of each schedule that would show the margin so.
    """

    measure: Measure
    margin: Margin
    sd: float
    num_runs: int
    num_seeds: int
    resolved: float
    needed: int

    @property
    def too_high(self) -> bool:
        """Whether the margin is out of the study's reach."""
        return self.needed > self.num_seeds

    @property
    def sentence(self) -> str:
        """What was measured and what follows, with its numbers."""
        told = (
            f"seed to seed, one setting's test {self.measure.label} varies by "
            f"{self.measure.difference(self.sd)} (standard deviation of {self.num_runs} runs)"
        )
        seen = self.measure.difference(self.resolved)
        if not self.too_high:
            return f"{told}: {self.num_seeds} seeds can show differences from about {seen} on"
        needed = f"about {self.needed}"
        if self.needed > MANY_SEEDS:
            needed = f"more than {MANY_SEEDS:,}"
        return (
            f"{told}: differences below about {seen} cannot be seen here with {self.num_seeds} "
            f"seeds; {self.margin.text} would take {needed}. If nothing smaller than {seen} "
            "matters to you and none is that far behind, pick any schedule"
        )


def noise_floor(
    scores: Sequence[float], measure: Measure, margin: Margin, num_schedules: int, num_seeds: int
) -> NoiseFloor | None:
    """The noise floor of a study of `num_schedules` with at most `num_seeds` seeds of each.

    Args:
        scores: of the primary measure on the test split, one per completed run of one setting.

    Returns:
        None where fewer than `MIN_RUNS` completed.
    """
    if len(scores) < MIN_RUNS:
        return None
    sd = stdev(scores)

    def needed(effect: float) -> int:
        return seeds_to_resolve(sd * 2**0.5, effect, max(2, num_schedules))

    effects = sd * np.geomspace(0.01, 100, 500)
    first = bisect_left(effects, True, key=lambda effect: needed(effect) <= num_seeds)
    return NoiseFloor(
        measure=measure,
        margin=margin,
        sd=sd,
        num_runs=len(scores),
        num_seeds=num_seeds,
        resolved=float(effects[min(first, len(effects) - 1)]),
        needed=needed(margin.size),
    )
