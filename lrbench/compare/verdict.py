"""The verdict in words: every sentence follows from the numbers alone.

A tie is said first. What is claimed is read off one set of simultaneous intervals
(`lrbench.compare.inference`): *beats* needs an interval above 0, *equivalent* one within the
margin, and no divergence on either side; everything else is not distinguishable, with the number of
seeds that would help. Below three seeds, and outside of the report's 5 %, nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lrbench.cli.wording import listed
from lrbench.compare.analysis import Analysis, evaluated_on
from lrbench.compare.conditions import abridge, number
from lrbench.compare.inference import LEAST, Difference
from lrbench.compare.pairs import SOME_DIVERGED
from lrbench.compare.rows import Pair, Standing, runs_and_divergences
from lrbench.compare.statistics import expected_largest, largest_rate
from lrbench.task.measure import POINTS, Measure

MANY_SEEDS = 1_000  # no one will run more: then the number is not worth saying


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much picking one strategy may cost.

    Attributes:
        may_be_best: whether no other strategy is better for sure.
        may_lose: at most this much is lost against the best, in the measure; NaN: not known.
        diverged, num_runs: what it diverged on; `largest_rate`: the largest rate that allows.
    """

    strategy: str
    may_be_best: bool
    may_lose: float
    diverged: int
    num_runs: int
    largest_rate: float


@dataclass(frozen=True)
class Verdict:
    """What to say of a group.

    Attributes:
        headline: whether there is a difference, what a wrong pick costs at most, and who leads.
        losses: one per strategy, best first: what the headline follows from.
        pairs: one sentence per pair of strategies.
        remarks: sentences on the error rate, size, tuning and divergences.
    """

    headline: str
    losses: tuple[Loss, ...]
    pairs: tuple[str, ...]
    remarks: tuple[str, ...]


def verdict(analysis: Analysis) -> Verdict:
    """Put `analysis` into words."""
    found = losses(analysis)
    return Verdict(
        headline=_headline(analysis, found),
        losses=found,
        pairs=tuple(pair_sentence(pair, analysis) for pair in analysis.pairs),
        remarks=tuple(_remarks(analysis)),
    )


def losses(analysis: Analysis) -> tuple[Loss, ...]:
    """How much picking each strategy may cost, best first."""
    worse = {p.b for p in analysis.pairs if p.finding.startswith(("beats", "diverges less"))}
    worse |= {p.a for p in analysis.pairs if p.finding == "diverges more"}
    return tuple(
        Loss(
            strategy=s.strategy,
            may_be_best=s.strategy not in worse,
            may_lose=float(lost),
            diverged=s.num_diverged,
            num_runs=s.num_runs,
            largest_rate=largest_rate(s.num_diverged, s.num_runs),
        )
        for s, lost in zip(analysis.standings, analysis.intervals.may_lose, strict=True)
    )


def interval(measure: Measure, low: float, high: float) -> str:
    """``0.21 to 0.63``, in the measure's unit."""
    return f"{measure.number(low)} to {measure.number(high)}"


def _at(analysis: Analysis) -> str:
    """What the findings hold of, where the noise of choosing peak lrs is in no interval."""
    return "(noise of tuning included)" if analysis.settings.draws else "at these peak lrs"


def _headline(analysis: Analysis, found: Sequence[Loss]) -> str:
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
    leader = _leader(analysis, best)
    if most < 2:
        return f"No verdict: one seed shows no difference between strategies. {leader}"
    told = f"{_difference(analysis, found)} {leader}"
    if most < LEAST:
        return f"Exploratory: {told} {_seeds(most, analysis)} are too few for a conclusion."
    return told if analysis.family.alpha > 0 else f"Exploratory: {told}"


def _leader(analysis: Analysis, best: Standing) -> str:
    extreme = "highest" if analysis.measure.higher_is_better else "lowest"
    uneven = len({s.num_runs for s in analysis.standings}) > 1
    steady = any(s.num_diverged > best.num_diverged for s in analysis.standings)
    return (
        f"{best.strategy} has the {extreme} mean {analysis.name}"
        f"{' of those with the fewest diverged runs' * steady}"
        f"{', on the runs that can be compared' * uneven}: "
        f"{analysis.measure.value(best.completed_score.value)}."
    )


def _difference(analysis: Analysis, found: Sequence[Loss]) -> str:
    """Whether there is a difference, and what a wrong pick costs at most."""
    measure, num = analysis.measure, len(found)
    level = [loss for loss in found if loss.may_be_best]
    names = [loss.strategy for loss in level]
    beaten = [loss.strategy for loss in found if not loss.may_be_best]
    most = max(loss.may_lose for loss in level)
    if len(level) == 1:
        every = "every other strategy" if num > 2 else beaten[0]
        return f"{names[0]} beats {every} {_at(analysis)}."
    if math.isnan(most):
        what = "How much a wrong pick could cost is not known"
    else:
        what = (
            f"whichever of {listed(names)} you pick {_at(analysis)}, you lose at most "
            f"{measure.difference(most)} against the best"
        )
    same = not beaten and all(
        p.finding in ("equivalent", "identical", "beats, equivalent") for p in analysis.pairs
    )
    no = "All are equivalent" if same else f"No difference found{' among the best' * bool(beaten)}"
    also = f" Worse for sure: {listed(beaten)}." if beaten else ""
    return f"{no}: {what}.{also}"


def _seeds(num: int, analysis: Analysis) -> str:
    """``5 paired seeds``, or of independent samples ``5 unpaired runs each``."""
    return f"{num} paired seeds" if analysis.group.paired else f"{num} unpaired runs each"


def pair_sentence(pair: Pair, analysis: Analysis) -> str:
    """One pair of strategies in words."""
    measure, margin, test = analysis.measure, analysis.margin, pair.test
    a, b, n, finding = pair.a, pair.b, test.num, pair.finding
    label = "exploratory: " if n >= 2 and not test.claims else ""
    divergences = _divergences(pair)
    if finding == "no pair":
        if pair.num_common:
            return f"{a} and {b}: no two runs to compare{divergences}"
        return f"{a} and {b} share no seed: not compared"
    if finding == "one pair":
        on = "on one seed" if pair.paired else "between single runs"
        return f"{minus(pair, measure)}: {measure.difference(test.mean)} {on}, which shows nothing"
    if finding == "identical":
        same = f"have the same {measure.label}"
        what = "diverged" if pair.diverged_a == pair.num_common else same
        return f"{label}{a} and {b} {what} on all {pair.num_common} paired seeds"
    if finding.startswith("diverges"):
        rare, often = (a, b) if finding == "diverges less" else (b, a)
        return f"{often} diverges more often than {rare} {_at(analysis)}{divergences}"
    span = interval(measure, test.low, test.high)
    size = f"by {measure.difference(test.mean)} ({span}, {_seeds(n, analysis)})"
    within = f"equivalent within ± {margin.text}"
    if finding.startswith("beats"):
        but = f", yet the two are {within}" if "equivalent" in finding else ""
        return f"{a} beats {b} {_at(analysis)} {size}{but}{divergences}"
    if finding == "equivalent":
        return (
            f"{a} and {b} are {within} {_at(analysis)} (difference "
            f"{measure.number(test.mean)}, {span}, {_seeds(n, analysis)})"
        )
    if finding in ("ahead", SOME_DIVERGED):
        where = " where both trained" if divergences else ""
        return f"{label}{a} is ahead of {b}{where} {size}, which is not sure{divergences}"
    unit = f" {measure.unit}" if measure.unit else ""
    worst = max(abs(test.low), abs(test.high))
    return (
        f"{label}{a} and {b} are not distinguishable: {span}{unit} ({_seeds(n, analysis)}), so "
        f"neither is ahead by more than {measure.difference(worst)}"
        f"{_seeds_needed(test, margin.text)}{divergences}"
    )


def minus(pair: Pair, measure: Measure) -> str:
    """The difference that is above 0 where the pair's first strategy is the better one."""
    names = (pair.a, pair.b) if measure.higher_is_better else (pair.b, pair.a)
    return " − ".join(names)


def _seeds_needed(test: Difference, margin: str) -> str:
    needed = test.seeds_needed
    if needed > MANY_SEEDS:
        return f"; {margin} is too small to be seen against this noise"
    if needed <= test.num:
        return f"; a difference of {margin} would probably have shown"
    return f"; about {needed} seeds, planned beforehand, would resolve {margin}"


def _divergences(pair: Pair) -> str:
    sides = ((pair.a, pair.diverged_a), (pair.b, pair.diverged_b))
    told = [f"{name} diverged on {lost} of {pair.num_common}" for name, lost in sides if lost]
    return f"; {' and '.join(told)}, left out of the difference" if told else ""


def _remarks(analysis: Analysis) -> Iterator[str]:
    measure, standings = analysis.measure, analysis.standings
    if analysis.pairs:
        yield analysis.family.covers
        yield (
            "The noise of choosing peak lrs is in no interval: all of this holds at these lrs, not "
            "of the schedules tuned anew."
        )
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
    yield from _flattery(analysis)
    yield from _divergence_remarks(analysis)
    yield from analysis.notes
    yield from analysis.group.unknown
    yield from _resolution(analysis)
    yield from _tuning_remarks(analysis)


def _flattery(analysis: Analysis) -> Iterator[str]:
    """By how much being picked as the leader flatters one of several that may be equal."""
    level = [n for n, loss in enumerate(losses(analysis)) if loss.may_be_best]
    errors = [analysis.intervals.sd[0, n] / max(1, analysis.intervals.num[0, n]) ** 0.5
              for n in level if n]  # fmt: skip
    if errors and not any(map(math.isnan, errors)):
        size = expected_largest(len(level)) * sum(errors) / len(errors) / math.sqrt(2)
        yield (
            f"Picked as the leader of {len(level)} that may be equal, "
            f"{analysis.standings[0].strategy} would look {analysis.measure.difference(size)} "
            "better than it is."
        )


def _divergence_remarks(analysis: Analysis) -> Iterator[str]:
    """How often strategies diverged, and how often they may: it matters where any run did."""
    standings = analysis.standings
    if not any(s.num_diverged for s in standings):
        return
    rates = ", ".join(
        f"{s.strategy} {s.num_diverged} of {s.num_runs} (up to "
        f"{100 * largest_rate(s.num_diverged, s.num_runs):.0f} %)"
        for s in standings
    )
    yield (
        f"Diverged: {rates}. In brackets the largest rate that this allows (exact, 95 %). A "
        "diverged run is in no difference: divergences are compared as rates, and lose against "
        "every completed run in P(A better)."
    )


def _resolution(analysis: Analysis) -> Iterator[str]:
    """How coarse the test set is, and how noisy by itself."""
    measure, (size, examples) = analysis.measure, evaluated_on(analysis.group, analysis.metric)
    if measure.unit != POINTS or not size:
        return
    step = 100 / measure.scale / size
    if analysis.margin.size < step:
        yield (
            f"The margin, {analysis.margin.text}, is finer than the data can show: one of "
            f"{size:,} {examples} is {measure.difference(step)}."
        )
    share = analysis.standings[0].completed_score.value * measure.scale / 100
    if 0 < share < 1:
        noise = 100 / measure.scale * 1.96 * math.sqrt(share * (1 - share) / size)
        yield (
            f"Intervals speak of other seeds on the same {size:,} {examples}; on as many other "
            f"ones every {measure.label} may shift by ± {measure.difference(noise)} (95 %)."
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
