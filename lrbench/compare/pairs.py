"""Every two strategies of a group held against each other, and each against the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from lrbench.compare import statistics
from lrbench.compare.rows import Pair, Standing
from lrbench.compare.statistics import ALPHA
from lrbench.task.measure import Measure

SOME_DIVERGED = "some diverged"


def compared(
    chosen: pd.DataFrame,
    standings: Sequence[Standing],
    measure: Measure,
    margin: float,
    seed: int,
    *,
    paired: bool,
) -> tuple[Pair, ...]:
    """One per pair of strategies, over their common seeds if they are `paired`."""
    of = {str(s): runs.set_index("seed").sort_index() for s, runs in chosen.groupby("strategy")}
    ranks = {standing.strategy: number for number, standing in enumerate(standings)}
    found = []
    for number, names in enumerate(combinations(sorted(of), 2)):
        own = {name: of[name] for name in sorted(names, key=lambda name: ranks[name])}
        if paired:
            common = sorted(set.intersection(*(set(runs.index) for runs in own.values())))
            own = {name: runs.loc[common] for name, runs in own.items()}
        rng = np.random.default_rng([seed, number])
        found.append(_pair(own, measure, margin, rng, paired=paired))
    tests = statistics.corrected([pair.test for pair in found])
    found = [replace(pair, test=test) for pair, test in zip(found, tests, strict=True)]
    found = [replace(pair, finding=_finding(pair)) for pair in found]
    return tuple(sorted(found, key=lambda pair: (ranks[pair.a], ranks[pair.b])))


def _pair(
    own: Mapping[str, pd.DataFrame],
    measure: Measure,
    margin: float,
    rng: np.random.Generator,
    *,
    paired: bool,
) -> Pair:
    """Two strategies' runs, the one that stands better first, held against each other."""
    (first, a), (second, b) = own.items()
    x, y = (measure.sign * runs["score"].to_numpy() for runs in (a, b))
    known_x, known_y = np.isfinite(x), np.isfinite(y)
    if paired:
        known_x = known_y = known_x & known_y
    left_out = int((~known_x).sum() + (0 if paired else (~known_y).sum()))
    if known_x.any() and known_y.any() and measure.exact(x[known_x].mean() - y[known_y].mean()) < 0:
        first, a, x, known_x, second, b, y, known_y = second, b, y, known_y, first, a, x, known_x
    identical = False
    if paired:
        # Scores of shares are exact: so are their differences, and ties are ties.
        differences = np.array([measure.exact(d) for d in x[known_x] - y[known_x]])
        test = statistics.paired_test(differences, margin, rng)
        identical = len(differences) == len(x) > 0 and not differences.any()
    else:
        test = statistics.unpaired_test(x[known_x], y[known_y], margin, rng)
    lost = [np.where(r["status"] == "completed", z, -math.inf) for r, z in ((a, x), (b, y))]
    return Pair(
        a=first,
        b=second,
        num_common=min(len(a), len(b)),
        test=test,
        num_left_out=left_out,
        probability=statistics.probability_of_improvement(*lost, paired=paired),
        correlation=statistics.seed_correlation(x[known_x], y[known_x]) if paired else math.nan,
        diverged_a=int((a["status"] == "diverged").sum()),
        diverged_b=int((b["status"] == "diverged").sum()),
        identical=identical,
    )


def _finding(pair: Pair) -> str:
    test = pair.test
    if test.num < 2:
        return "one pair" if test.num else "no pair"
    if pair.identical:
        return "identical"
    if test.above or test.negligible:
        return ", ".join(["beats"] * test.above + ["equivalent"] * test.negligible)
    least = statistics.smallest_p(test.num, test.num_tests, paired=test.paired)
    return "ahead" if least >= ALPHA and test.low > 0 else "not distinguishable"


def marked(standings: Sequence[Standing], pairs: Sequence[Pair]) -> tuple[Standing, ...]:
    """``best`` for the first; for the others what is known about their distance from it."""
    if len(standings) < 2:
        return tuple(standings)
    best = standings[0]
    names = {
        "beats": "worse",
        "equivalent": "equivalent",
        "beats, equivalent": "equivalent",
        "identical": "identical",
        "ahead": "behind, too few seeds",
    }
    found = {p.b: names.get(p.finding, "") for p in pairs if p.a == best.strategy}
    found |= {
        p.a: p.finding
        for p in pairs
        if p.b == best.strategy and p.finding in ("equivalent", "identical")
    }
    left_out = {p.a if p.b == best.strategy else p.b for p in pairs
                if p.num_left_out and best.strategy in (p.a, p.b)}  # fmt: skip
    marked = [replace(best, mark="best")]
    for standing in standings[1:]:
        mark = found.get(standing.strategy, "")
        if mark != "worse" and standing.strategy in left_out and standing.num_diverged:
            mark = SOME_DIVERGED
        marked.append(replace(standing, mark=mark or "not distinguishable"))
    return tuple(marked)
