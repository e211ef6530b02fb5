"""Which strategies need further seeds: decided at planned looks, from the recorded scores alone.

At each look every strategy that may still be the best has the same number of seeds. One that
another beats for sure gets no more; the study ends when one is left, when those that are left are
equivalent, when further seeds would hardly settle anything, or when the seeds are used up. All
looks together may err as often as a single one would (alpha spending; see `lrbench.compare`), so
that stopping early costs no certainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lrbench.cli.wording import listed
from lrbench.compare import family, inference
from lrbench.compare.settings import Margin
from lrbench.study.settings import Study, share
from lrbench.task import Measure

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """How many seeds each strategy is to have.

    Attributes:
        num_seeds: of each strategy, the first ones of the final seeds.
        dropped: strategies that get no more, and why.
        ended: why the study ends, in words; empty while it goes on.
        alpha: error rate of the intervals at the last look.
    """

    num_seeds: Mapping[str, int]
    dropped: Mapping[str, str]
    ended: str
    alpha: float


def allocate(
    study: Study,
    scores: Mapping[str, Sequence[float]],
    measure: Measure,
    resolution: float = 0.0,
) -> Allocation:
    """What `scores` ask for: the same answer however often and wherever the study is continued.

    Args:
        scores: of each strategy, one per final seed so far, in their order; NaN: the run diverged,
            or has no result.
        resolution: the step in which scores are counted, as in `lrbench.compare.inference.paired`.
    """
    names, looks = study.strategies, study.planned_looks
    looks = looks if len(names) > 1 else looks[-1:]
    alive, dropped, given = np.arange(len(names)), dict[str, str](), dict[str, int]()
    ended = f"all {looks[-1]} seeds are used"
    for number, look in enumerate(looks, start=1):
        given |= {names[i]: look for i in alive}
        alpha = _level(tuple(n / looks[-1] for n in looks[:number]), study.alpha)
        if any(len(scores[names[i]]) < look for i in alive):
            ended = ""
            break
        table = np.full((look, len(names)), math.nan)
        for i, name in enumerate(names):  # all of them: each look has the same number of intervals
            own = scores[name][: given[name]]
            table[: len(own), i] = own
        table *= measure.sign
        found = _intervals(study, table, alpha, resolution)
        leads = np.where(found.beats, found.low, 0.0)[np.ix_(alive, alive)]
        by, gone = leads.argmax(axis=0), np.isnan(table[:, alive]).all(axis=0)
        for lost in np.flatnonzero(leads.any(axis=0) | gone):
            beats = f"{names[alive[by[lost]]]} beats it"
            dropped[names[alive[lost]]] = "every run of it diverged" if gone[lost] else beats
        alive = alive[[names[i] not in dropped for i in alive]]
        if why := _ended(study, measure, table, alive, found, looks[number:]):
            ended = f"after {look} seeds: {why}"
            break
    return Allocation(num_seeds=given, dropped=dropped, ended=ended, alpha=alpha)


_level = cache(family.level)


def _intervals(study: Study, table: Array, alpha: float, resolution: float) -> inference.Intervals:
    """The simultaneous intervals from scores (seeds, strategies), as the report has them."""
    seeds = study.final_seeds[: len(table)]
    splits = [study.split(seed) for seed in seeds]
    if study.tuning_draws > 1:
        draws = [study.draw(seed) for seed in seeds]
        return inference.over_draws(table, draws, alpha=alpha, resolution=resolution)
    if len(set(splits)) >= inference.ENOUGH:
        return inference.over_draws(table, splits, alpha=alpha, resolution=resolution)
    return inference.paired(table, alpha=alpha, resolution=resolution, strata=splits)


def _ended(
    study: Study,
    measure: Measure,
    table: Array,
    alive: NDArray[np.int64],
    found: inference.Intervals,
    to_come: tuple[int, ...],
) -> str:
    """Why no more seeds are needed, in words; nothing where they are, or there are none."""
    left = [study.strategies[i] for i in alive]
    if len(left) < 2:
        return f"{listed(left) or 'no strategy'} is left" * (len(study.strategies) > 1)
    rows = table[:, alive]
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) < 2:
        return ""
    margin = Margin.of(study.margin, measure, measure.sign * rows.mean(axis=0).max())
    pairs = (found.between(i, j, margin.size) for i, j in combinations(alive, 2))
    if not np.isnan(table[:, alive]).any() and all(pair.negligible for pair in pairs):
        return f"{listed(left)} are equivalent within {margin.text}"
    if not to_come:
        return ""
    chance = _chance(rows, to_come[-1], len(study.strategies), margin.size)
    if chance >= share("futility", study.futility):
        return ""
    return f"even {to_come[-1]} would tell {listed(left)} apart with a chance of {chance:.0%} only"


def _chance(rows: Array, last: int, num_strategies: int, margin: float) -> float:
    """The chance that with `last` seeds the best beats another, or all are equivalent.

    If the true differences are those seen so far: a rule of thumb (conditional power) that costs
    chances of a finding, never a false one.

    Args:
        rows: of the strategies that are left, (seeds, strategies), larger is better.
    """
    num = len(rows)
    best = int(rows.mean(axis=0).argmax())
    differences = rows[:, [best]] - np.delete(rows, best, axis=1)
    lead, sd = differences.mean(axis=0), differences.std(axis=0, ddof=1)
    freedom = float((last - 1) * (num_strategies - 1))
    half = inference.critical(num_strategies, freedom, inference.ALPHA) * sd / math.sqrt(last)
    spread = np.maximum(sd, 1e-12) * math.sqrt(1 / num - 1 / last)
    beats = stats.norm.sf((half - lead) / spread).max()
    equals = np.where(half < margin, stats.norm.cdf((margin - half - lead) / spread), 0.0).min()
    return float(max(beats, equals))


def expected_runs(study: Study, lead: float, margin: float = 1e-9, num_studies: int = 50) -> float:
    """The mean number of runs on fresh seeds in made-up studies where one strategy leads.

    Args:
        lead: by how much it is better than all others, which are alike.
        margin: of equivalence; both in standard deviations of the difference of two runs.
    """
    rng = np.random.default_rng(0)
    measure = Measure(name="value", higher_is_better=True)
    planned = replace(study, margin=margin, tuning_draws=1)
    shape = (num_studies, len(study.strategies), len(study.final_seeds))
    values = rng.normal(scale=math.sqrt(0.5), size=shape)
    values[:, 0] += lead
    totals = [
        sum(
            allocate(
                planned, dict(zip(study.strategies, own, strict=True)), measure
            ).num_seeds.values()
        )
        for own in values.tolist()
    ]
    return float(np.mean(totals))
