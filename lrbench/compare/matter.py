"""How much each thing that was varied matters: peak lr, schedule, seed and split, on one scale.

The number is the *typical change*: the root mean square of the difference between two of the values
that were run (two schedules, two seeds, …), all else alike, which is the root of 2 times the
standard deviation. What chance alone would show has been taken off, so that a flat response to the
peak lr is near 0 however noisy its runs are. Diverged runs have no value and are left out.

Sources: Searle, Casella and McCulloch 1992, Variance Components; Scheffé 1953; Satterthwaite 1946
for the freedom of seeds that several schedules share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lrbench.compare.analysis import Analysis
from lrbench.compare.conditions import number

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Matter:
    """How much one thing matters.

    Attributes:
        what: ``peak lr``, ``schedule``, ``seed`` or ``split``.
        values: which of it were run, such as ``0.05 to 0.2``, or how many.
        change: the typical change, as a difference of the measure's values.
        low, high: its 95 % interval, each by itself; NaN where there is none.
    """

    what: str
    values: str
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class _Squares:
    """A mean square between levels and one of chance, with their freedoms; `size`: runs a level."""

    between: float
    levels: float
    noise: float
    rest: float
    size: float


def matters(analysis: Analysis) -> tuple[Matter, ...]:
    """What the runs of `analysis` vary, the most important first; empty where nothing is known."""
    done = analysis.runs[analysis.runs["status"] == "completed"]
    chosen = done[done["chosen"]]
    found = []
    lrs = sorted(set(done["lr"].dropna())) if analysis.sensitivity else []
    if len(lrs) > 1:
        each = [_block(own, "lr", paired=analysis.group.paired) for _, own in _by_strategy(done)]
        values = f"{number(lrs[0])} to {number(lrs[-1])}"
        found.append(_of("peak lr", values, _pooled(each), _fixed))
    names = sorted(set(chosen["strategy"]))
    if len(names) > 1:
        squares = _block(chosen, "strategy", paired=analysis.group.paired)
        found.append(_of("schedule", f"these {len(names)}", squares, _fixed))
    found.append(_seeds(chosen, analysis.group.paired))
    splits = chosen["split"].nunique()
    if splits > 1:
        found.append(_of("split", f"{splits} tried", _splits(chosen), _sampled))
    return tuple(sorted((m for m in found if m is not None), key=lambda m: -m.change))


def _by_strategy(runs: pd.DataFrame) -> Iterable[tuple[object, pd.DataFrame]]:
    return runs.groupby("strategy")


def _of(
    what: str, values: str, squares: _Squares | None, interval: Callable[[_Squares], list[float]]
) -> Matter | None:
    if squares is None:
        return None
    variance = max(0.0, squares.between - squares.noise) / squares.size
    change, low, high = (math.sqrt(2 * max(0.0, v)) for v in (variance, *interval(squares)))
    return Matter(what=what, values=values, change=change, low=low, high=high)


def _block(runs: pd.DataFrame, factor: str, *, paired: bool) -> _Squares | None:
    """Levels of `factor` on the same seeds (or as independent samples)."""
    wide = runs.pivot_table("score", ["split", "seed"], factor).dropna()
    (n, k), x = wide.shape, wide.to_numpy()
    if n < 2 or k < 2:
        return None
    rest = x - x.mean(axis=0) - (x.mean(axis=1, keepdims=True) - x.mean() if paired else 0.0)
    freedom = (n - 1) * (k - 1 if paired else k)
    return _Squares(n * x.mean(axis=0).var(ddof=1), k - 1, (rest**2).sum() / freedom, freedom, n)


def _pooled(each: Iterable[_Squares | None]) -> _Squares | None:
    known = [s for s in each if s is not None]
    if not known:
        return None
    levels, rest = sum(s.levels for s in known), sum(s.rest for s in known)
    return _Squares(
        sum(s.between * s.levels for s in known) / levels,
        levels,
        sum(s.noise * s.rest for s in known) / rest,
        rest,
        sum(s.size * s.levels for s in known) / levels,
    )


def _splits(chosen: pd.DataFrame) -> _Squares | None:
    """Splits, over the mean of the schedules; seeds are nested in them."""
    table = chosen.pivot_table("score", ["split", "seed"], "strategy").dropna().mean(axis=1)
    groups = table.groupby(level="split")
    sizes, k = groups.size(), groups.ngroups
    rest = float((sizes - 1).sum())
    if k < 2 or rest < 1:
        return None
    gaps = groups.mean() - table.mean()
    noise = float(((table - groups.transform("mean")) ** 2).sum()) / rest
    size = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (k - 1)
    return _Squares(float((sizes * gaps**2).sum()) / (k - 1), k - 1, noise, rest, float(size))


def _seeds(chosen: pd.DataFrame, paired: bool) -> Matter | None:
    """Seeds, within a schedule and a split."""
    cells = ["strategy", "split"]
    gaps = chosen.assign(gap=chosen["score"] - chosen.groupby(cells)["score"].transform("mean"))
    freedom = len(gaps) - gaps.groupby(cells).ngroups
    if freedom < 1:
        return None
    variance = float((gaps["gap"] ** 2).sum()) / freedom
    if paired and variance > 0:  # schedules share their seeds' luck: fewer independent numbers
        wide = gaps.pivot_table("gap", ["split", "seed"], "strategy").fillna(0.0).to_numpy()
        shared = wide.T @ wide
        freedom *= np.trace(shared) ** 2 / (shared**2).sum() / shared.shape[0]
    tails = stats.chi2.isf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], freedom)
    change, low, high = (math.sqrt(2 * v) for v in (variance, *(variance * freedom / tails)))
    tried = f"{chosen['seed'].nunique()} tried"
    return Matter(what="seed", values=tried, change=change, low=low, high=high)


def _fixed(squares: _Squares) -> list[float]:
    """The interval of the variance of levels that are themselves what is asked about.

    Their means lie in a ball about those seen (Scheffé's); of two levels it is Student's interval.
    """
    far = math.sqrt(stats.f.isf(1 - LEVEL, squares.levels, squares.rest) * squares.noise)
    seen = math.sqrt(squares.between)
    return [max(0.0, seen - far) ** 2 / squares.size, (seen + far) ** 2 / squares.size]


def _sampled(squares: _Squares) -> list[float]:
    """The interval of the variance that levels are drawn from at random (Williams and Tukey)."""
    tails = stats.chi2.isf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], squares.levels)
    ratio = stats.f.isf([(1 - LEVEL) / 2, (1 + LEVEL) / 2], squares.levels, squares.rest)
    sums = squares.levels * squares.between
    return [float(v) for v in sums * (1 - squares.noise * ratio / squares.between)
            / (squares.size * tails)] if squares.between > 0 else [0.0, 0.0]  # fmt: skip
