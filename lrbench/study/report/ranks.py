"""Average ranks over budgets and seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lrbench.compare.analysis import Analysis
from lrbench.compare.statistics import t_interval


def ranks(analyses: Mapping[float, Analysis]) -> pd.DataFrame:
    """One row per strategy, best first: its mean rank at each budget (a column each) and overall.

    On every seed the strategies are ranked by score, 1 for the best, equals sharing their mean
    rank, diverged runs sharing the last ones. Only seeds that every strategy has count. ``rank``
    is the mean over seeds of each seed's mean over budgets, with its 95 % t-interval; ``seeds``
    are those that all budgets have.

    Args:
        analyses: budget (share of the full length) to the analysis of its tuned runs.
    """
    by_budget = {share: _by_seed(analysis) for share, analysis in analyses.items()}
    seeds = sorted(set.intersection(*(set(table.index) for table in by_budget.values())))
    names = sorted(set.intersection(*(set(table.columns) for table in by_budget.values())))
    rows: list[dict[Any, Any]] = []
    for name in names:
        values = np.array(
            [[table.loc[seed, name] for seed in seeds] for table in by_budget.values()]
        )
        per_seed = values.mean(axis=0) if seeds else np.array([])
        low, high = t_interval(per_seed)
        rows.append(
            {
                "strategy": name,
                "seeds": len(seeds),
                "rank": per_seed.mean() if seeds else math.nan,
                "rank_low": low,
                "rank_high": high,
            }
            | {share: table[name].mean() for share, table in by_budget.items()}
        )
    return pd.DataFrame(rows).sort_values(["rank", "strategy"], ignore_index=True)


def _by_seed(analysis: Analysis) -> pd.DataFrame:
    """Ranks at one budget: a row per seed that every strategy has, a column per strategy."""
    runs = analysis.chosen
    worth = analysis.measure.sign * runs["score"]
    scores = worth.where(runs["status"] == "completed", -math.inf)
    table = runs.assign(order=scores).pivot(index="seed", columns="strategy", values="order")
    return table.dropna().rank(axis=1, ascending=False, method="average")
