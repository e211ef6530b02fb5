"""Several groups at once: what strategies come to over all workloads that they were run on.

Groups with the same strategies and measure, such as several models or datasets, are strata. Their
scores are standardised, so that a point on one counts as much as on another: minus the group's
mean, by the standard deviation of a run from seed to seed. Conclusions are about these groups, each
counting alike, not about further ones.

Sources: Agarwal et al. 2021 (interquartile mean over runs and tasks, stratified bootstrap,
performance profiles), Demšar 2006 (ranks over data sets).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lrbench.cli.wording import listed
from lrbench.compare import inference
from lrbench.compare.analysis import Analysis
from lrbench.compare.inference import Intervals
from lrbench.compare.pairs import BLOCK
from lrbench.compare.tables import Table

RESAMPLES = 2_000
LEVELS = (-1.0, 0.0, 1.0)  # of the performance profile, in standard deviations of a run

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Strategies over all groups.

    Attributes:
        intervals: of the mean standardised differences, in the order of `strategies`.
        interquartile: mean of the middle half of each strategy's standardised scores with its 95 %
            bootstrap interval, (k, 3): value, low, high; a diverged run is the worst.
        ranks: mean rank on a seed with its 95 % interval, (k, 3).
        profile: the share of runs above each of `LEVELS`, (k, levels).
    """

    strategies: tuple[str, ...]
    num_groups: int
    num_blocks: int
    intervals: Intervals
    interquartile: Array
    ranks: Array
    profile: Array


def pooled(analyses: Sequence[Analysis], alpha: float) -> Pooled | None:
    """The groups together; None unless there are several, paired, of one measure and strategies."""
    kinds = {(a.metric, a.measure.name, tuple(a.group.strategies)) for a in analyses}
    same = len(analyses) > 1 and len(kinds) == 1 and all(a.group.paired for a in analyses)
    names = analyses[0].group.strategies if same else []
    if len(names) < 2:
        return None
    tables = []
    for analysis in analyses:
        worth = (analysis.measure.sign * analysis.chosen["score"]).where(
            analysis.chosen["status"] == "completed", -math.inf
        )
        wide = analysis.chosen.assign(worth=worth).pivot(
            index=BLOCK, columns="strategy", values="worth"
        )
        tables.append(wide[names].dropna().to_numpy())
    if any(len(table) < 2 for table in tables):
        return None
    strata = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    scores = standardised(np.concatenate(tables), strata)
    finite = np.where(np.isfinite(scores), scores, math.nan)
    return Pooled(
        strategies=tuple(names),
        num_groups=len(tables),
        num_blocks=len(scores),
        intervals=inference.paired(finite, alpha=alpha, strata=strata),
        interquartile=interquartile_means(scores, strata),
        ranks=mean_ranks(scores, strata),
        profile=np.array([(scores > level).mean(axis=0) for level in LEVELS]).T,
    )


def sentence(found: Pooled) -> str:
    """What holds over all groups, in words; a tie first."""
    over = f"Over {found.num_groups} groups, each counting alike and at these peak lrs"
    level = [
        n for n, best in zip(found.strategies, found.intervals.may_be_best, strict=True) if best
    ]
    if len(level) == 1:
        return f"{over}: {level[0]} beats every other strategy."
    most = max(
        loss
        for loss, best in zip(found.intervals.may_lose, found.intervals.may_be_best, strict=True)
        if best
    )
    beaten = [name for name in found.strategies if name not in level]
    also = f" Worse for sure: {listed(beaten)}." if beaten else ""
    return (
        f"{over}: no difference found{' among the best' * bool(beaten)}: whichever of "
        f"{listed(level)} you pick, you lose at most {most:.2f} of a run's standard deviation over "
        f"seeds against the best.{also}"
    )


def table(found: Pooled) -> Table:
    """One row per strategy, best first."""

    def told(values: Array) -> str:
        value, low, high = (f"{v:.2f}".replace("-", "−") for v in values)
        return f"{value} ({low} to {high})"

    order = np.argsort(-found.intervals.difference.mean(axis=1), kind="stable")
    rows = tuple(
        (
            found.strategies[i],
            f"{found.intervals.may_lose[i]:.2f}",
            told(found.interquartile[i]),
            told(found.ranks[i]),
            *(f"{100 * share:.0f} %" for share in found.profile[i]),
        )
        for i in order
    )
    headers = (
        "strategy", "may lose", "middle half", "rank",
        *(f"above {level:g} sd".replace("-", "−") for level in LEVELS),
    )  # fmt: skip
    caption = (
        f"{found.num_blocks} seeds of {found.num_groups} groups, in standard deviations of a run "
        "over seeds within its group. May lose: at most this much against the best on average, all "
        "bounds together. Middle half: mean of the scores between the quartiles (Agarwal et al. "
        "2021), with its 95 % bootstrap interval. Rank: on a seed, 1 for the best. Above: share of "
        "runs that are better than the group's mean by as much."
    )
    return Table("All groups together", headers, rows, frozenset(), caption)


def standardised(scores: ArrayLike, strata: ArrayLike) -> Array:
    """`scores`, (n, k), minus their stratum's mean, by a run's deviation over seeds there.

    Non-finite scores stay as they are. A stratum without any spread is only centred.
    """
    x, labels = np.array(scores, dtype=float), np.asarray(strata)
    for label in np.unique(labels):
        own = labels == label
        rows = x[own]
        known = np.where(np.isfinite(rows), rows, math.nan)
        whole = known[~np.isnan(known).any(axis=1)]
        x[own] = rows - np.nanmean(known)
        if len(whole) > 1:
            rest = whole - whole.mean(axis=0) - whole.mean(axis=1, keepdims=True) + whole.mean()
            spread = math.sqrt((rest**2).sum() / ((len(whole) - 1) * (whole.shape[1] - 1)))
            x[own] /= spread or 1.0
    return x


def interquartile_means(scores: Array, strata: ArrayLike) -> Array:
    """Mean of the middle half of each column, with its 95 % stratified bootstrap interval, (k, 3).

    Seeds are drawn anew within each stratum, always in the same way. A diverged run may be minus
    infinity: the middle half is as long as there are fewer than a quarter of them.
    """
    labels, generator = np.asarray(strata), np.random.default_rng(0)
    parts = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    drawn = np.concatenate(
        [part[generator.integers(len(part), size=(RESAMPLES, len(part)))] for part in parts], axis=1
    )
    resampled = np.stack([_middle(scores[:, j][drawn]) for j in range(scores.shape[1])])
    return np.column_stack([_middle(scores.T), *np.quantile(resampled, [0.025, 0.975], axis=1)])


def _middle(values: Array) -> Array:
    """Mean of the middle half along the last axis."""
    ordered = np.sort(values, axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def mean_ranks(scores: Array, strata: ArrayLike) -> Array:
    """Mean rank of each column, 1 for the best of a row, and its 95 % interval, (k, 3).

    The mean over strata; the interval is Student's with the variance within strata.
    """
    ranks = stats.rankdata(-scores, axis=1)
    labels = np.unique(np.asarray(strata), return_inverse=True)[1]
    sizes = np.bincount(labels)
    means = np.array([ranks[labels == h].mean(axis=0) for h in range(len(sizes))])
    freedom = len(ranks) - len(sizes)
    variance = ((ranks - means[labels]) ** 2).sum(axis=0) / freedom
    half = stats.t.isf(0.025, freedom) * np.sqrt(variance * (1 / sizes).sum()) / len(sizes)
    mean = means.mean(axis=0)
    return np.column_stack([mean, np.maximum(mean - half, 1), np.minimum(mean + half, len(mean))])
