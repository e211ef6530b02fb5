"""The rows of a comparison's tables: of a strategy, of a pair of them, of one at a peak lr."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from lrbench.cli.wording import counted
from lrbench.compare.statistics import MeanTest, t_interval


@dataclass(frozen=True)
class Mean:
    """A mean over runs and Student's 95 % interval of it; NaN where there is none."""

    value: float
    low: float
    high: float
    num: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Mean:
        """Of the finite ones of `values`."""
        known = np.array([v for v in values if math.isfinite(v)], dtype=float)
        low, high = t_interval(known)
        return cls(float(known.mean()) if len(known) else math.nan, low, high, len(known))


@dataclass(frozen=True)
class Reached:
    """When a strategy's runs reached a target: the median over `curves` runs, inf: not reached."""

    at: float
    reached: int
    curves: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a strategy stands.

    Attributes:
        mean_score: over all runs, a diverged one as guessing; over the completed runs where
            guessing has no number.
        median_score, worst_score: over all runs.
        sd_score: of the completed runs over seeds; NaN of fewer than two.
        completed_score: mean over completed runs; `means`, of every other metric.
        targets: by target.
        phases: by the name that `Evaluations.phases` gives.
        late_gain_over_constant: how much more than `REFERENCE` on the same seeds.
        rank: 1 for the best; strategies with diverged runs that have no score stand last.
        mark: what is known about its distance from the best.
    """

    strategy: str
    lr: float
    num_runs: int
    num_completed: int
    num_diverged: int
    mean_score: float
    median_score: float
    worst_score: float
    sd_score: float
    completed_score: Mean
    means: Mapping[str, Mean]
    targets: Mapping[str, Reached]
    phases: Mapping[str, Mean]
    late_gain_over_constant: Mean
    seconds: float
    units_per_second: float
    rank: int = 0
    mark: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two strategies held against each other; `a` has the better mean on the runs compared.

    Attributes:
        num_common: seeds that both have; of independent samples, runs of the smaller one.
        test: of by how much `a` is better, over the runs that have a score.
        num_left_out: pairs (or runs) without a score, so not in `test`.
        probability: that a run of `a` is better than one of `b`.
        finding: ``beats``, ``equivalent``, both, ``ahead`` (the interval leaves out 0 but so few
            seeds cannot be significant), ``identical``, ``not distinguishable``, ``one pair`` or
            ``no pair``.
    """

    a: str
    b: str
    num_common: int
    test: MeanTest
    num_left_out: int
    probability: float
    correlation: float
    diverged_a: int
    diverged_b: int
    identical: bool
    finding: str = ""

    @property
    def paired(self) -> bool:
        """Whether it is compared seed by seed."""
        return self.test.paired


@dataclass(frozen=True, kw_only=True)
class AtLr:
    """A strategy at one peak lr: mean score with a diverged run as guessing, `high` its interval's
    end; whether it is the `best` lr on validation, and that at the `edge` of those tried.
    """

    strategy: str
    lr: float
    score: float
    score_high: float
    num_diverged: int
    best: bool
    val_score: float = math.nan
    edge: bool = False


def frame(rows: Sequence[Any]) -> pd.DataFrame:
    """`rows`, which are of one dataclass, as a table of plain columns."""
    return pd.DataFrame([_flat(row) for row in rows])


def _flat(row: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (field.name for field in fields(row)):
        value = getattr(row, name)
        for key, part in value.items() if isinstance(value, Mapping) else ((name, value),):
            if isinstance(part, Mean):
                found |= {key: part.value, f"{key}_low": part.low, f"{key}_high": part.high}
            elif isinstance(part, Reached):
                found |= {f"to_{key}": part.at, f"reached_{key}": part.reached}
                found[f"curves_{key}"] = part.curves
            elif isinstance(part, MeanTest):
                found |= _flat(part)
            else:
                found[key] = part
    return found


def runs_and_divergences(standing: Standing) -> str:
    """``5 runs``, ``3 runs, 2 diverged``."""
    what = counted(standing.num_runs, "run")
    return f"{what}, {standing.num_diverged} diverged" if standing.num_diverged else what
