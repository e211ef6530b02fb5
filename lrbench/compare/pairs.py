"""Every two strategies of a group held against each other, by one set of simultaneous intervals.

Differences are over runs that completed; a divergence is compared as a rate, by itself. Where the
data's split was swept besides the seed, splits are the independent units from five on, so that the
intervals speak of other splits; fewer are strata, and the intervals speak of these alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from lrbench.compare import inference, statistics
from lrbench.compare.inference import ENOUGH, Intervals
from lrbench.compare.rows import Pair, Standing
from lrbench.task.measure import Measure

BLOCK = ["split", "seed"]  # runs that are equal in both are paired
RATES_SHARE = 0.2  # of the error rate, for divergences besides: the exact test spends far less
SOME_DIVERGED = "some diverged"
MARKS = {  # of a strategy that the best is compared with
    "beats": "worse",
    "diverges less": "diverges more often",
    "equivalent": "equivalent",
    "beats, equivalent": "equivalent",
    "identical": "identical",
    "ahead": "behind, not for sure",
    "some diverged": SOME_DIVERGED,
}


def ordered(
    chosen: pd.DataFrame,
    standings: Sequence[Standing],
    measure: Measure,
    alpha: float,
    resolution: float,
    *,
    paired: bool,
    draws: Mapping[int, int],
) -> tuple[list[Standing], Intervals]:
    """`standings`, best first, and the intervals between them in that order.

    A strategy that another beats stands behind all that none beats; then those with fewer diverged
    runs come first, then those that are ahead on the seeds that they share with the others.
    """
    found = _intervals(chosen, standings, measure, alpha, resolution, paired=paired, draws=draws)
    rates = np.array([s.num_diverged / s.num_runs for s in standings])
    beaten = [bool((found.beats[:, j] & (rates <= rate)).any()) for j, rate in enumerate(rates)]
    known = np.isfinite(found.difference).all()  # else some share no seed: by their own means
    own = np.array([measure.sign * s.completed_score.value for s in standings])
    lead = found.difference.mean(axis=1) if known else own
    worth = [-math.inf if math.isnan(v) else measure.exact(float(v)) for v in lead]
    keys = [(b, float(r), -v) for b, r, v in zip(beaten, rates, worth, strict=True)]
    order = sorted(range(len(keys)), key=lambda i: (keys[i], standings[i].strategy))
    in_order = [keys[i] for i in order]
    rows = [replace(standings[i], rank=in_order.index(keys[i]) + 1) for i in order]
    return rows, found.reordered(order)


def _intervals(
    chosen: pd.DataFrame,
    standings: Sequence[Standing],
    measure: Measure,
    alpha: float,
    resolution: float,
    *,
    paired: bool,
    draws: Mapping[int, int],
) -> Intervals:
    scores = (measure.sign * chosen["score"]).where(chosen["status"] == "completed")
    table = chosen.assign(worth=scores)
    names = [standing.strategy for standing in standings]
    if paired:
        wide = table.pivot(index=BLOCK, columns="strategy", values="worth")[names]
        if draws:
            own = [draws[seed] for seed in wide.index.get_level_values("seed")]
            return inference.over_draws(wide.to_numpy(), own, alpha=alpha, resolution=resolution)
        splits = wide.index.get_level_values("split")
        strata = splits.to_numpy() if 1 < splits.nunique() < ENOUGH else None
        if strata is None and splits.nunique() > 1:  # enough splits to speak of others
            wide = wide.groupby(level="split").mean()
        return inference.paired(wide.to_numpy(), alpha=alpha, resolution=resolution, strata=strata)
    samples = [table.loc[table["strategy"] == name, "worth"].to_numpy() for name in names]
    return inference.independent(samples, alpha=alpha, resolution=resolution)


def compared(
    chosen: pd.DataFrame,
    standings: Sequence[Standing],
    intervals: Intervals,
    measure: Measure,
    margin: float,
) -> tuple[Pair, ...]:
    """One per pair of strategies; the one with the better mean of their common runs first."""
    of = {str(s): runs.set_index(BLOCK).sort_index() for s, runs in chosen.groupby("strategy")}
    num_pairs = len(standings) * (len(standings) - 1) / 2
    found = []
    for i, j in combinations(range(len(standings)), 2):
        first, second = (j, i) if measure.exact(intervals.difference[i, j]) < 0 else (i, j)
        own = {standings[n].strategy: of[standings[n].strategy] for n in (first, second)}
        pair = _pair(own, measure, intervals.between(first, second, margin))
        found.append(replace(pair, finding=_finding(pair, num_pairs)))
    return tuple(found)


def _pair(own: Mapping[str, pd.DataFrame], measure: Measure, test: inference.Difference) -> Pair:
    if test.paired:
        common = sorted(set.intersection(*(set(runs.index) for runs in own.values())))
        own = {name: runs.loc[common] for name, runs in own.items()}
    (first, a), (second, b) = own.items()
    lost = [(runs["status"] == "diverged").to_numpy() for runs in (a, b)]
    x, y = (measure.sign * runs["score"].to_numpy() for runs in (a, b))
    fates = [np.where(gone, -math.inf, z) for gone, z in zip(lost, (x, y), strict=True)]
    both = ~(lost[0] | lost[1]) if test.paired else np.array([], dtype=bool)
    return Pair(
        a=first,
        b=second,
        num_common=min(len(a), len(b)),
        test=test,
        probability=statistics.probability_of_improvement(*fates, paired=test.paired),
        correlation=statistics.seed_correlation(x[both], y[both]) if test.paired else math.nan,
        diverged_a=int(lost[0].sum()),
        diverged_b=int(lost[1].sum()),
        rates_p=statistics.rates_p(*lost),
        identical=test.paired and len(a) > 0 and bool((fates[0] == fates[1]).all()),
    )


def _finding(pair: Pair, num_pairs: float) -> str:
    test = pair.test
    if pair.identical and pair.num_common > 1:
        return "identical"
    if pair.rates_p * num_pairs < RATES_SHARE * test.alpha:
        return "diverges less" if pair.diverged_a < pair.diverged_b else "diverges more"
    if test.num < 2:
        return "one pair" if test.num else "no pair"
    beats = test.above and pair.diverged_a <= pair.diverged_b
    same = test.negligible and not pair.diverged_a + pair.diverged_b
    if beats or same:
        holds = {"beats": beats, "equivalent": same}
        return ", ".join(name for name in holds if holds[name])
    if pair.diverged_a != pair.diverged_b:
        return SOME_DIVERGED
    return "ahead" if test.low > 0 else "not distinguishable"


def marked(standings: Sequence[Standing], pairs: Sequence[Pair]) -> tuple[Standing, ...]:
    """``best`` for the first; for the others what is known about their distance from it."""
    if len(standings) < 2:
        return tuple(standings)
    best = standings[0].strategy
    found = {}
    for pair in pairs:
        if pair.a == best:
            found[pair.b] = MARKS.get(pair.finding)
        elif pair.b == best and pair.finding == "diverges more":
            found[pair.a] = MARKS["diverges less"]
        elif pair.b == best and pair.finding in ("equivalent", "identical", SOME_DIVERGED):
            found[pair.a] = pair.finding
    others = [
        replace(s, mark=found.get(s.strategy) or "not distinguishable") for s in standings[1:]
    ]
    return (replace(standings[0], mark="best"), *others)
