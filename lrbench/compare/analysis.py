"""One group's numbers: a table per run, per strategy, per pair of strategies and per peak lr.

How a diverged run counts: as what its network is worth, guessing. Its *score* is the chance
accuracy, with which it enters medians, ranks, differences between strategies and the choice of a
peak lr; in P(A > B) it loses against every run that completed. A mean over completed runs stands
beside the number of diverged ones and never alone. Losses have no such value: theirs are over the
completed runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from lrbench.compare import statistics
from lrbench.compare.groups import Group, chance_accuracy
from lrbench.compare.measures import Curve, phases, steps_to
from lrbench.compare.preference import preference
from lrbench.compare.settings import Settings, parse_target

PHASES = ("early_loss", "middle_spread", "late_loss_gain", "late_gain", "half_gain")
REFERENCE = "constant"  # the strategy that never anneals, against which late gains are held


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A group with its numbers; accuracies are fractions, times seconds.

    Attributes:
        chance: accuracy of guessing, and `chance_source`, how it is known.
        targets: name to validation accuracy.
        runs: one row per run, all peak lrs.
        chosen: the rows of `runs` that are compared: all, or each strategy's at its best lr.
        summary: one row per strategy, best first.
        pairs: one row per pair of strategies, the better one first.
        sensitivity: one row per strategy and peak lr; None where the lr was not swept.
    """

    group: Group
    settings: Settings
    chance: float
    chance_source: str
    targets: dict[str, float]
    runs: pd.DataFrame
    chosen: pd.DataFrame
    summary: pd.DataFrame
    pairs: pd.DataFrame
    sensitivity: pd.DataFrame | None


def analyse(group: Group, settings: Settings) -> Analysis:
    """Compute every number of `group`."""
    chance, source = chance_accuracy(group.members)
    if settings.chance is not None:
        chance, source = settings.chance, "given"
    runs, curves = _measure(group, settings.metric, chance)
    sensitivity = _sensitivity(runs) if group.lr_sweep else None
    if sensitivity is None:
        runs["chosen"] = True
    else:
        best = sensitivity[sensitivity["best"]].set_index("strategy")["lr"]
        runs["chosen"] = runs["lr"] == runs["strategy"].map(best)
    targets = _targets(runs[runs["chosen"]], settings.targets, chance)
    for name, accuracy in targets.items():
        runs[f"steps_to_{name}"] = [
            math.nan if c is None else steps_to(c, accuracy) for c in curves
        ]
    chosen = runs[runs["chosen"]].reset_index(drop=True)
    pairs = _pairs(chosen, settings)
    return Analysis(
        group=group,
        settings=settings,
        chance=chance,
        chance_source=source,
        targets=targets,
        runs=runs,
        chosen=chosen,
        summary=_summary(chosen, pairs, list(targets)),
        pairs=pairs,
        sensitivity=sensitivity,
    )


def _measure(group: Group, metric: str, chance: float) -> tuple[pd.DataFrame, list[Curve | None]]:
    """One row per run: what result.json says, the scores, and the phases of its curve."""
    results = [m.run.result for m in group.members]
    total_steps = max((r["steps"] for r in results if r["status"] == "completed"), default=0)
    rows, curves = [], []
    for member, result in zip(group.members, results, strict=True):
        run = member.run
        curve = None if run.history is None else Curve.of(run.history)
        completed = run.status == "completed"
        row: dict[str, Any] = {
            "strategy": member.strategy,
            "lr": member.lr,
            "seed": run.seed,
            "status": run.status,
            "steps": result["steps"],
            "score": result[metric] if completed else chance,
            "val_score": result["val_accuracy"] if completed else chance,
        }
        for key in ("test_accuracy", "test_loss", "val_accuracy", "val_loss", "best_val_accuracy",
                    "best_val_loss", "best_val_step", "seconds", "units_per_second"):  # fmt: skip
            value = result.get(key)
            row[key] = math.nan if value is None else value
        row |= phases(curve, total_steps) if curve else dict.fromkeys(PHASES, math.nan)
        row["folder"] = run.name
        rows.append(row)
        curves.append(curve)
    return pd.DataFrame(rows), curves


def _targets(chosen: pd.DataFrame, targets: Sequence[str], chance: float) -> dict[str, float]:
    best = float(chosen.groupby("strategy")["val_score"].median().max())
    found = {}
    for target in targets:
        kind, value = parse_target(target)
        found[target.strip()] = value if kind == "accuracy" else chance + value * (best - chance)
    return found


def _summary(chosen: pd.DataFrame, pairs: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """One row per strategy, by mean score, best first."""
    constant = chosen[chosen["strategy"] == REFERENCE].set_index("seed")["late_gain"]
    rows = []
    for strategy, runs in chosen.groupby("strategy"):
        completed = runs[runs["status"] == "completed"]
        row: dict[str, Any] = {
            "strategy": strategy,
            "lr": runs["lr"].iloc[0],
            "num_runs": len(runs),
            "num_completed": len(completed),
            "num_diverged": len(runs) - len(completed),
            "mean_score": runs["score"].mean(),
            "median_score": runs["score"].median(),
            "worst_score": runs["score"].min(),
            # With one run left there is no spread to speak of: NaN, not 0.
            "sd_score": completed["score"].std(ddof=1),
            **_mean("score", completed["score"], prefix="completed_"),
        }
        for column in ("test_accuracy", "test_loss", "val_accuracy", "val_loss",
                       "best_val_accuracy", "best_val_step"):  # fmt: skip
            row |= _mean(column, completed[column])
            row[f"{column}_median"] = completed[column].median()
        for target in targets:
            steps = runs[f"steps_to_{target}"].dropna()  # NaN: no curve; inf: not reached
            row[f"steps_to_{target}"] = _censored_median(steps)
            row[f"reached_{target}"] = int(np.isfinite(steps).sum())
            row[f"curves_{target}"] = len(steps)
        for column in PHASES:
            row |= _mean(column, runs[column].dropna())
            row[f"{column}_n"] = int(runs[column].notna().sum())
        over = runs.set_index("seed")["late_gain"] - constant
        row |= _mean("late_gain_over_constant", over.dropna())
        row["seconds"] = completed["seconds"].median()
        row["units_per_second"] = completed["units_per_second"].median()
        rows.append(row)
    summary = pd.DataFrame(rows)
    summary["rank"] = summary["mean_score"].rank(ascending=False, method="min").astype(int)
    summary = summary.sort_values(["rank", "strategy"]).reset_index(drop=True)
    summary["mark"] = _marks(summary["strategy"].tolist(), pairs)
    return summary


def _mean(name: str, values: pd.Series, prefix: str = "") -> dict[str, float]:
    low, high = statistics.t_interval(values)
    mean = values.mean()
    return {f"{prefix}{name}": mean, f"{prefix}{name}_low": low, f"{prefix}{name}_high": high}


def _censored_median(values: pd.Series) -> float:
    """The median where some values are only known to lie beyond the end of the run (inf)."""
    ordered = np.sort(values.to_numpy(dtype=float))
    if len(ordered) == 0:
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(high) if math.isinf(high) else float((low + high) / 2)


def _marks(strategies: list[str], pairs: pd.DataFrame) -> list[str]:
    """``best`` for the first; for the others what is known about their distance from it."""
    if len(strategies) < 2:
        return [""] * len(strategies)
    against = {}
    for pair in pairs.to_dict("records"):
        if pair["a"] == strategies[0]:
            against[pair["b"]] = pair["finding"]
        elif pair["b"] == strategies[0] and pair["finding"] in ("equivalent", "identical"):
            against[pair["a"]] = pair["finding"]
    names = {
        "beats": "worse",
        "equivalent": "equivalent",
        "beats, equivalent": "equivalent",
        "identical": "identical",
        "ahead": "behind, too few seeds",
    }
    return ["best"] + [names.get(against.get(s, ""), "not distinguishable") for s in strategies[1:]]


def _pairs(chosen: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """One row per pair of strategies, over their common seeds; `a` has the higher mean there.

    The column ``finding``: ``beats`` (Holm-corrected permutation p < 0.05, and the interval
    without 0), ``equivalent`` (Holm-corrected equivalence p < 0.05), both, ``ahead`` (the interval
    excludes 0 but so few pairs cannot be significant), ``identical``, ``not distinguishable``,
    ``one pair`` or ``no pair``.
    """
    scores = {s: runs.set_index("seed") for s, runs in chosen.groupby("strategy")}
    means = chosen.groupby("strategy")["score"].mean()
    rows = []
    for number, (first, second) in enumerate(combinations(sorted(scores), 2)):
        seeds = sorted(scores[first].index.intersection(scores[second].index))
        a, b = scores[first].loc[seeds], scores[second].loc[seeds]
        mean = (a["score"] - b["score"]).mean()
        if mean < 0 or (not mean and means[second] > means[first]):
            first, second, a, b = second, first, b, a
        rows.append(
            _pair(first, second, a, b, settings, np.random.default_rng([settings.seed, number]))
        )
    pairs = pd.DataFrame(rows)
    if rows:
        pairs["holm_p"] = statistics.holm(pairs["p"].tolist())
        pairs["equivalence_holm_p"] = statistics.holm(pairs["equivalence_p"].tolist())
        pairs["num_tests"] = int(pairs["p"].notna().sum())
        pairs["finding"] = [_finding(pair) for pair in pairs.to_dict("records")]
        pairs = pairs.sort_values(
            ["a", "b"], key=lambda names: names.map(-means), kind="stable", ignore_index=True
        )
    return pairs


def _pair(
    first: str,
    second: str,
    a: pd.DataFrame,
    b: pd.DataFrame,
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, Any]:
    differences = (a["score"] - b["score"]).to_numpy()
    # Accuracies are counts rounded to float32: without its noise ties are ties.
    differences = np.round(differences, 6)
    n = len(differences)
    low, high, method = statistics.difference_interval(differences, rng)
    low90, high90 = statistics.t_interval(differences, confidence=0.9)
    ranks_a, ranks_b = (r["score"].where(r["status"] == "completed", -math.inf) for r in (a, b))
    return {
        "a": first,
        "b": second,
        "num_pairs": n,
        "difference": differences.mean() if n else math.nan,
        "difference_low": low,
        "difference_high": high,
        "interval": method,
        "difference_low90": low90,
        "difference_high90": high90,
        "difference_sd": differences.std(ddof=1) if n > 1 else math.nan,
        "p": statistics.permutation_p(differences, rng) if n > 1 else math.nan,
        "equivalence_p": statistics.equivalence_p(differences, settings.margin),
        "probability": _probability(ranks_a.to_numpy(), ranks_b.to_numpy()),
        "correlation": statistics.seed_correlation(a["score"], b["score"]),
        "diverged_a": int((a["status"] == "diverged").sum()),
        "diverged_b": int((b["status"] == "diverged").sum()),
        "identical": bool(n and not differences.any()),
    }


def _probability(a: Any, b: Any) -> float:
    """P(A > B) where -inf stands for a diverged run; two of them are a tie."""
    tie = np.isneginf(a) & np.isneginf(b)
    return statistics.probability_of_improvement(np.where(tie, 0, a), np.where(tie, 0, b))


def _finding(pair: dict[str, Any]) -> str:
    if pair["num_pairs"] < 2:
        return "one pair" if pair["num_pairs"] else "no pair"
    if pair["identical"]:
        return "identical"
    beats = pair["holm_p"] < statistics.ALPHA and pair["difference_low"] > 0
    equivalent = pair["equivalence_holm_p"] < statistics.ALPHA
    if beats or equivalent:
        return ", ".join(["beats"] * beats + ["equivalent"] * equivalent)
    hopeless = statistics.smallest_p(pair["num_pairs"], pair["num_tests"]) >= statistics.ALPHA
    return "ahead" if hopeless and pair["difference_low"] > 0 else "not distinguishable"


def _sensitivity(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per strategy and peak lr: scores with a diverged run as chance.

    ``best`` is the lr with the highest mean validation score, among equals the one with the lower
    validation loss, then the smaller; ``edge`` tells that it is the grid's first or last.
    """
    rows = []
    for strategy, own in runs.groupby("strategy"):
        found = []
        for lr, at in own.groupby("lr"):
            loss = at.loc[at["status"] == "completed", "val_loss"].mean()
            found.append(
                {
                    "strategy": strategy,
                    "lr": lr,
                    "num_runs": len(at),
                    "num_diverged": int((at["status"] == "diverged").sum()),
                    "val_score": at["val_score"].mean(),
                    **_mean("score", at["score"]),
                    "val_loss": loss,
                }
            )
        order = [preference(r["val_score"], r["val_loss"], r["lr"]) for r in found]
        best = order.index(min(order))
        for i, row in enumerate(found):
            edge = i == best and best in (0, len(found) - 1)
            rows.append({**row, "best": i == best, "edge": edge})
    return pd.DataFrame(rows)
