"""The rows of a comparison's tables: of a strategy, of a pair of them, of one at a peak lr."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lrbench.cli.wording import counted
from lrbench.compare.inference import Difference
from lrbench.compare.statistics import t_interval


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
    """When a strategy's runs reached a target: the median over `curves` runs, inf: not reached.

    Attributes:
        low, high: 95 % interval of the median, by the sign test: of two of the values in their
            order, so it holds for any distribution and for runs that never got there; NaN below
            six runs.
    """

    at: float
    low: float
    high: float
    reached: int
    curves: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Reached:
        """Of when each run got there, inf: only known to lie beyond its end; NaN: no curve."""
        known = np.sort([v for v in values if not math.isnan(v)])
        num = len(known)
        if not num:
            return cls(math.nan, math.nan, math.nan, 0, 0)
        lower, upper = known[(num - 1) // 2], known[num // 2]
        median = float(upper) if math.isinf(upper) else float((lower + upper) / 2)
        cut = int(stats.binom.ppf(0.025, num, 0.5)) - 1  # values outside, on each side
        low, high = (known[cut], known[-1 - cut]) if cut >= 0 else (math.nan, math.nan)
        return cls(median, float(low), float(high), int(np.isfinite(known).sum()), num)


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
        rank: 1 for the best, in the order of `lrbench.compare.pairs.ordered`.
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
        test: by how much `a` is better, over the runs that completed.
        probability: that a run of `a` is better than one of `b`.
        rates_p: exact p that both diverge equally often.
        finding: ``beats``, ``equivalent``, both, ``diverges less`` or ``diverges more`` (for sure),
            ``ahead`` (the interval leaves out 0, but nothing may be claimed), ``some diverged``
            (unequally often, and nothing is sure), ``identical``, ``not distinguishable``, ``one
            pair`` or ``no pair``.
    """

    a: str
    b: str
    num_common: int
    test: Difference
    probability: float
    correlation: float
    diverged_a: int
    diverged_b: int
    rates_p: float
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
                found |= {f"to_{key}": part.at, f"to_{key}_low": part.low}
                found |= {f"to_{key}_high": part.high, f"reached_{key}": part.reached}
                found[f"curves_{key}"] = part.curves
            elif isinstance(part, Difference):
                found |= _flat(part)
            else:
                found[key] = part
    return found


def runs_and_divergences(standing: Standing) -> str:
    """``5 runs``, ``3 runs, 2 diverged``."""
    what = counted(standing.num_runs, "run")
    return f"{what}, {standing.num_diverged} diverged" if standing.num_diverged else what
