"""The verdict in words: every sentence follows from the numbers alone.

What may be claimed: *beats* needs a Holm-corrected permutation p below 0.05 and an interval
without 0; *equivalent* a Holm-corrected equivalence p below 0.05; everything else is not
distinguishable, with the number of seeds that would help. Below five paired seeds a sentence is
labelled exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrbench.compare.analysis import Analysis
from lrbench.compare.groups import abridge, number
from lrbench.compare.settings import METRICS
from lrbench.compare.statistics import (
    ALPHA,
    ENOUGH_SEEDS,
    fewest_pairs,
    seeds_to_resolve,
    smallest_p,
)

MANY_SEEDS = 1_000  # no one will run more: then the number is not worth saying


@dataclass(frozen=True)
class Verdict:
    """What to say of a group.

    Attributes:
        headline: one or two sentences: which strategy leads, and whether that is sure.
        pairs: one sentence per pair of strategies.
        remarks: sentences on size, tuning and divergences.
    """

    headline: str
    pairs: tuple[str, ...]
    remarks: tuple[str, ...]


def verdict(analysis: Analysis) -> Verdict:
    """Put `analysis` into words."""
    pairs = analysis.pairs.to_dict("records")
    return Verdict(
        headline=_headline(analysis),
        pairs=tuple(pair_sentence(pair, analysis) for pair in pairs),
        remarks=tuple(_remarks(analysis)),
    )


def _headline(analysis: Analysis) -> str:
    summary = analysis.summary
    rows = summary.to_dict("records")
    best, metric = rows[0], METRICS[analysis.settings.metric]
    name = best["strategy"]
    if all(row["num_completed"] == 0 for row in rows):
        return "No strategy completed a run: all diverged."
    if len(rows) == 1:
        return (
            f"{name} alone was run: mean {metric} {percent(best['mean_score'])} "
            f"({runs_and_divergences(best)}). There is nothing to compare it with."
        )
    pairs = analysis.pairs.to_dict("records")
    most = max(pair["num_pairs"] for pair in pairs)
    told = {
        "worse": "it beats {}",
        "behind, too few seeds": "ahead of {} (too few seeds to be sure)",
        "equivalent": "equivalent to it: {}",
        "identical": "identical to it: {}",
        "not distinguishable": "not distinguishable from it: {}",
    }
    parts = []
    for mark, words in told.items():
        others = summary.loc[summary["mark"] == mark, "strategy"].tolist()
        everyone = mark == "worse" and len(others) == len(rows) - 1 > 1
        if others:
            parts.append(words.format("every other strategy" if everyone else ", ".join(others)))
    label = "Exploratory: " if most < ENOUGH_SEEDS else ""
    sentence = (
        f"{label}{name} has the highest mean {metric}, {percent(best['mean_score'])}; "
        f"{'; '.join(parts)}."
    )
    if most < 2:
        return f"{sentence} One seed shows no difference between strategies."
    if most < ENOUGH_SEEDS:
        return f"{sentence} {most} paired seeds are too few for a conclusion."
    return sentence


def pair_sentence(pair: dict[str, Any], analysis: Analysis) -> str:
    """One pair of strategies in words."""
    margin = analysis.settings.margin
    a, b, n, finding = pair["a"], pair["b"], pair["num_pairs"], pair["finding"]
    label = "exploratory: " if 2 <= n < ENOUGH_SEEDS else ""
    if finding == "no pair":
        return f"{a} and {b} share no seed: not compared"
    if finding == "one pair":
        return f"{a} − {b}: {points(pair['difference'])} points on one seed, which shows nothing"
    divergences = _divergences(pair, analysis.chance)
    if finding == "identical":
        what = "diverged" if pair["diverged_a"] == n else "have the same accuracy"
        return f"{label}{a} and {b} {what} on all {n} paired seeds"
    interval = span(pair["difference_low"], pair["difference_high"])
    evidence = f"{n} paired seeds, Holm p = {p_value(pair['holm_p'])}"
    size = f"by {points(pair['difference'])} points (95 % interval {interval}"
    within = f"equivalent within ± {100 * margin:g} points"
    if finding.startswith("beats"):
        but = f", yet the two are {within}" if "equivalent" in finding else ""
        return f"{label}{a} beats {b} {size}, {evidence}){but}{divergences}"
    if finding == "equivalent":
        interval90 = span(pair["difference_low90"], pair["difference_high90"])
        return (
            f"{label}{a} and {b} are {within} (difference {points(pair['difference'])}, 90 % "
            f"interval {interval90}, {n} paired seeds, Holm equivalence p = "
            f"{p_value(pair['equivalence_holm_p'])}){divergences}"
        )
    tests = pair["num_tests"]
    if finding == "ahead":
        among = f" among {tests} comparisons" if tests > 1 else ""
        return (
            f"{label}{a} is ahead of {b} {size}), but {n} paired seeds cannot show it: the "
            f"smallest p they allow{among} is {p_value(smallest_p(n, tests))}; "
            f"{fewest_pairs(tests)} seeds could{divergences}"
        )
    return (
        f"{label}{a} and {b} are not distinguishable: {interval} points ({evidence})"
        f"{_seeds_needed(pair, margin)}{divergences}"
    )


def _seeds_needed(pair: dict[str, Any], margin: float) -> str:
    needed = seeds_to_resolve(pair["difference_sd"], margin, pair["num_tests"])
    if needed <= pair["num_pairs"]:
        return f"; a difference of {100 * margin:g} points would probably have shown"
    if needed > MANY_SEEDS:
        return (
            f"; more than {MANY_SEEDS:,} seeds would be needed to resolve {100 * margin:g} points"
        )
    return f"; about {needed} seeds would resolve {100 * margin:g} points"


def _divergences(pair: dict[str, Any], chance: float) -> str:
    told = [
        f"{pair[side]} diverged on {pair[f'diverged_{side}']} of {pair['num_pairs']}"
        for side in ("a", "b")
        if pair[f"diverged_{side}"]
    ]
    return f"; {' and '.join(told)}, counted as chance ({percent(chance)})" if told else ""


def _remarks(analysis: Analysis) -> Iterator[str]:
    summary = analysis.summary
    rows = summary.to_dict("records")
    completed = summary[summary["num_completed"] > 0]
    if len(completed) > 1:
        means = completed["completed_score"]
        between = means.max() - means.min()
        spread = completed["sd_score"].pow(2).mean() ** 0.5
        seeds = (
            "" if math.isnan(spread) else f"; seed to seed, the same strategy varies by "
            f"{points(spread)} points (standard deviation)"
        )  # fmt: skip
        yield f"From best to worst mean of completed runs: {points(between)} points{seeds}."
    diverged = [
        f"{r['strategy']} {r['num_diverged']} of {r['num_runs']}" for r in rows if r["num_diverged"]
    ]
    if diverged:
        yield (
            f"Diverged: {', '.join(diverged)}. A diverged run counts as guessing "
            f"({percent(analysis.chance)}) in medians, differences and ranks, and loses against "
            "every completed run in P(A > B); means and losses are over the completed runs."
        )
    yield from _tuning_remarks(analysis)
    tests = int(analysis.pairs["num_tests"].iloc[0]) if len(analysis.pairs) else 0
    most = int(analysis.pairs["num_pairs"].max()) if tests else 0
    if tests and smallest_p(most, tests) >= ALPHA:
        yield (
            f"With {most} paired seeds and {tests} comparison{'s' if tests > 1 else ''} no "
            f"difference, however large, can be significant at 0.05; from {fewest_pairs(tests)} "
            "seeds on it can."
        )


def _tuning_remarks(analysis: Analysis) -> Iterator[str]:
    if analysis.sensitivity is None:
        return
    best = analysis.sensitivity[analysis.sensitivity["best"]].to_dict("records")
    chosen = ", ".join(f"{row['strategy']} {number(row['lr'])}" for row in best)
    yield (
        f"Each strategy stands at its own peak lr, chosen on validation ({chosen}), on the very "
        "seeds that are compared here; fresh seeds would be the stricter test."
    )
    edges = [f"{row['strategy']} ({number(row['lr'])})" for row in best if row["edge"]]
    if edges:
        yield f"Best at the edge of the lrs tried, so maybe better beyond: {abridge(edges)}."


def runs_and_divergences(row: dict[str, Any]) -> str:
    """``5 runs``, ``3 runs, 2 diverged``."""
    what = f"{row['num_runs']} run{'s' if row['num_runs'] != 1 else ''}"
    return f"{what}, {row['num_diverged']} diverged" if row["num_diverged"] else what


def points(accuracy: float) -> str:
    """An accuracy or a difference of two in points: 0.0042 → ``0.42``."""
    if math.isnan(accuracy):
        return "–"
    text = f"{100 * accuracy:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def span(low: float, high: float) -> str:
    """``0.21 to 0.63``."""
    return f"{points(low)} to {points(high)}"


def percent(accuracy: float) -> str:
    """``98.41 %``."""
    return "–" if math.isnan(accuracy) else f"{100 * accuracy:.2f} %"


def p_value(p: float) -> str:
    """One or two digits that matter, never 0: ``0.004``, ``0.047``, ``0.38``, ``< 0.0001``."""
    if math.isnan(p):
        return "–"
    if p < 0.0001:
        return "< 0.0001"
    return f"{p:.2f}".removesuffix(".00") if p >= 0.095 else f"{p:.{1 if p < 0.01 else 2}g}"
