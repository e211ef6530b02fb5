"""The verdict in words: every sentence follows from the numbers alone.

What may be claimed: *beats* needs a Holm-corrected permutation p below 0.05 and an interval
without 0; *equivalent* a Holm-corrected equivalence p below 0.05; everything else is not
distinguishable, with the number of seeds that would help. Both ask for as many seeds as a
permutation test needs; below five a sentence is labelled exploratory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lrbench.cli.wording import counted
from lrbench.compare.analysis import Analysis
from lrbench.compare.groups import abridge, number
from lrbench.compare.pairs import SOME_DIVERGED
from lrbench.compare.rows import Pair, runs_and_divergences
from lrbench.compare.statistics import (
    ALPHA,
    ENOUGH_SEEDS,
    MeanTest,
    fewest_pairs,
    p_value,
    seeds_to_resolve,
    smallest_p,
)
from lrbench.files.result import split_metric
from lrbench.task.measure import POINTS, Measure

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
    return Verdict(
        headline=_headline(analysis),
        pairs=tuple(pair_sentence(pair, analysis) for pair in analysis.pairs),
        remarks=tuple(_remarks(analysis)),
    )


def interval(measure: Measure, low: float, high: float) -> str:
    """``0.21 to 0.63``, in the measure's unit."""
    return f"{measure.number(low)} to {measure.number(high)}"


def _headline(analysis: Analysis) -> str:
    standings, measure = analysis.standings, analysis.measure
    best, name = standings[0], analysis.name
    if all(standing.num_completed == 0 for standing in standings):
        return "No strategy completed a run: all diverged."
    if len(standings) == 1:
        return (
            f"{best.strategy} alone was run: mean {name} {measure.value(best.mean_score)} "
            f"({runs_and_divergences(best)}). There is nothing to compare it with."
        )
    most = max(pair.test.num for pair in analysis.pairs)
    told = {
        "worse": "it beats {}",
        "behind, too few seeds": "ahead of {} (too few seeds to be sure)",
        "equivalent": "equivalent to it: {}",
        "identical": "identical to it: {}",
        "not distinguishable": "not distinguishable from it: {}",
        SOME_DIVERGED: "behind it for runs that diverged: {}",
    }
    parts = []
    for mark, words in told.items():
        others = [standing.strategy for standing in standings if standing.mark == mark]
        everyone = mark == "worse" and len(others) == len(standings) - 1 > 1
        if others:
            parts.append(words.format("every other strategy" if everyone else ", ".join(others)))
    label = "Exploratory: " if most < ENOUGH_SEEDS else ""
    extreme = "highest" if measure.higher_is_better else "lowest"
    among = (
        " of the strategies with the fewest diverged runs"
        if measure.guess is None and any(standing.num_diverged for standing in standings)
        else ""
    )
    sentence = (
        f"{label}{best.strategy} has the {extreme} mean {name}{among}, "
        f"{measure.value(best.mean_score)}; {'; '.join(parts)}."
    )
    if most < 2:
        return f"{sentence} One seed shows no difference between strategies."
    if most < ENOUGH_SEEDS:
        return f"{sentence} {_seeds(most, analysis)} are too few for a conclusion."
    return sentence


def _seeds(num: int, analysis: Analysis) -> str:
    """``5 paired seeds``, or of independent samples ``5 unpaired runs each``."""
    return f"{num} paired seeds" if analysis.group.paired else f"{num} unpaired runs each"


def pair_sentence(pair: Pair, analysis: Analysis) -> str:
    """One pair of strategies in words."""
    measure, margin, test = analysis.measure, analysis.margin, pair.test
    a, b, n, finding = pair.a, pair.b, test.num, pair.finding
    label = "exploratory: " if 2 <= n < ENOUGH_SEEDS else ""
    divergences = _divergences(pair, analysis)
    if finding == "no pair":
        if pair.num_common:
            return f"{a} and {b}: no two runs to compare{divergences}"
        return f"{a} and {b} share no seed: not compared"
    if finding == "one pair":
        on = "on one seed" if pair.paired else "between single runs"
        return f"{minus(pair, measure)}: {measure.difference(test.mean)} {on}, which shows nothing"
    if finding == "identical":
        what = "diverged" if pair.diverged_a == n else f"have the same {measure.label}"
        return f"{label}{a} and {b} {what} on all {n} paired seeds"
    span = interval(measure, test.low, test.high)
    evidence = f"{_seeds(n, analysis)}, Holm p = {p_value(test.holm_p)}"
    size = f"by {measure.difference(test.mean)} (95 % interval {span}"
    within = f"equivalent within ± {margin.text}"
    if finding.startswith("beats"):
        but = f", yet the two are {within}" if "equivalent" in finding else ""
        return f"{label}{a} beats {b} {size}, {evidence}){but}{divergences}"
    if finding == "equivalent":
        return (
            f"{label}{a} and {b} are {within} (difference {measure.number(test.mean)}, 90 % "
            f"interval {interval(measure, test.low90, test.high90)}, {_seeds(n, analysis)}, Holm "
            f"equivalence p = {p_value(test.equivalence_holm_p)}){divergences}"
        )
    tests = test.num_tests
    if finding == "ahead":
        among = f" among {tests} comparisons" if tests > 1 else ""
        least = smallest_p(n, tests, paired=pair.paired)
        return (
            f"{label}{a} is ahead of {b} {size}), but {_seeds(n, analysis)} cannot show it: the "
            f"smallest p they allow{among} is {p_value(least)}; "
            f"{fewest_pairs(tests, paired=pair.paired)} seeds could{divergences}"
        )
    unit = f" {measure.unit}" if measure.unit else ""
    return (
        f"{label}{a} and {b} are not distinguishable: {span}{unit} ({evidence})"
        f"{_seeds_needed(test, margin.text)}{divergences}"
    )


def minus(pair: Pair, measure: Measure) -> str:
    """The difference that is above 0 where the pair's first strategy is the better one."""
    names = (pair.a, pair.b) if measure.higher_is_better else (pair.b, pair.a)
    return " − ".join(names)


def _seeds_needed(test: MeanTest, margin: str) -> str:
    if math.isnan(test.sd):
        return ""
    needed = seeds_to_resolve(test.sd, test.margin, test.num_tests, paired=test.paired)
    if needed <= test.num:
        return f"; a difference of {margin} would probably have shown"
    if needed > MANY_SEEDS:
        return f"; more than {MANY_SEEDS:,} seeds would be needed to resolve {margin}"
    return f"; about {needed} seeds would resolve {margin}"


def _divergences(pair: Pair, analysis: Analysis) -> str:
    sides = ((pair.a, pair.diverged_a), (pair.b, pair.diverged_b))
    told = [f"{name} diverged on {lost} of {pair.num_common}" for name, lost in sides if lost]
    if not told:
        return ""
    guess = analysis.measure.guess
    counts = (
        f"left out of the difference, for a diverged run has no {analysis.measure.label}"
        if guess is None
        else f"counted as chance ({analysis.measure.value(guess)})"
    )
    return f"; {' and '.join(told)}, {counts}"


def _remarks(analysis: Analysis) -> Iterator[str]:
    measure, standings = analysis.measure, analysis.standings
    completed = [standing for standing in standings if standing.num_completed]
    if len(completed) > 1:
        means = [standing.completed_score.value for standing in completed]
        variances = [s.sd_score**2 for s in completed if not math.isnan(s.sd_score)]
        spread = math.sqrt(sum(variances) / len(variances)) if variances else math.nan
        seeds = (
            "" if math.isnan(spread) else f"; seed to seed, the same strategy varies by "
            f"{measure.difference(spread)} (standard deviation)"
        )  # fmt: skip
        between = measure.difference(max(means) - min(means))
        yield f"From best to worst mean of completed runs: {between}{seeds}."
    diverged = [
        f"{s.strategy} {s.num_diverged} of {s.num_runs}" for s in standings if s.num_diverged
    ]
    if diverged and measure.guess is not None:
        yield (
            f"Diverged: {', '.join(diverged)}. A diverged run counts as guessing "
            f"({measure.value(measure.guess)}) in medians, differences and ranks, and loses "
            "against every completed run in P(A better); means over completed runs leave it out."
        )
    elif diverged:
        yield (
            f"Diverged: {', '.join(diverged)}. A diverged run has no {measure.label}: it ranks "
            "last, and counts so in medians and in P(A better); means, intervals and differences "
            "are over completed runs."
        )
    yield from analysis.notes
    yield from analysis.group.unknown
    yield from _resolution(analysis)
    yield from _tuning_remarks(analysis)
    tests = [pair.test for pair in analysis.pairs if not math.isnan(pair.test.p)]
    most = max((test.num for test in tests), default=0)
    if tests and smallest_p(most, len(tests), paired=tests[0].paired) >= ALPHA:
        yield (
            f"With {_seeds(most, analysis)} and {counted(len(tests), 'comparison')} no difference, "
            "however large, can be significant at 0.05; from "
            f"{fewest_pairs(len(tests), paired=tests[0].paired)} seeds on it can."
        )


def evaluated_on(analysis: Analysis) -> tuple[int, str]:
    """How many examples the metric is measured on, 0 if unknown, and what they are called."""
    split = split_metric(analysis.metric)[0].removeprefix("best_")
    result = analysis.group.members[0].run.result
    size = result.data.get(split)
    named = "test" if split == "test" else "validation"
    known = size if isinstance(size, int) and size > 0 else 0
    return known, f"{named} {result.unit or 'examples'}"


def _resolution(analysis: Analysis) -> Iterator[str]:
    """A share moves in steps of one example: say where the margin is finer than that."""
    measure, (size, examples) = analysis.measure, evaluated_on(analysis)
    if measure.unit != POINTS or not size:
        return
    step = 100 / measure.scale / size
    if analysis.margin.size < step:
        yield (
            f"The margin, {analysis.margin.text}, is finer than the data can show: one of "
            f"{size:,} {examples} is {measure.difference(step)}."
        )


def _tuning_remarks(analysis: Analysis) -> Iterator[str]:
    best = [row for row in analysis.sensitivity if row.best]
    if not best:
        return
    chosen = ", ".join(f"{row.strategy} {number(row.lr)}" for row in best)
    yield (
        f"Each strategy stands at its own peak lr, chosen on validation ({chosen}), on the very "
        "seeds that are compared here; fresh seeds would be the stricter test."
    )
    edges = [f"{row.strategy} ({number(row.lr)})" for row in best if row.edge]
    if edges:
        yield f"Best at the edge of the lrs tried, so maybe better beyond: {abridge(edges)}."
