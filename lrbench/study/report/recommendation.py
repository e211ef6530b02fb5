"""The recommendation: which schedule and peak lr to use, and how sure that is.

Every word follows from the numbers of the tuned runs at the largest budget. Where the best cannot
be told from others, any of them is fine; the one that is named is the least sensitive to its peak
lr among those whose mean lies within one standard error (or the margin) of the best: the
one-standard-error rule (Breiman et al. 1984), with the area of the lr sensitivity for simplicity.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lrbench.cli.wording import counted, listed
from lrbench.compare.analysis import Analysis
from lrbench.compare.rows import Pair
from lrbench.compare.statistics import ALPHA, ENOUGH_SEEDS, p_value, seeds_to_resolve, smallest_p
from lrbench.compare.verdict import MANY_SEEDS
from lrbench.study.guide.claim import by_seed, span
from lrbench.study.records import Setting, StudyOutcome
from lrbench.study.report.tuning import common_range, lr_trials, shortfall_noise, shortfalls
from lrbench.study.runs import Runs, mean, score

MAX_STEPS = 4
LEVEL = ("equivalent", "identical", "not distinguishable")
BEHIND = "behind, too few seeds"


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do.

    Attributes:
        strategy: the one to use; None where nothing trained.
        setting: its peak lr and knobs.
        sure: whether it beats every other strategy.
        paragraph: what it gains, over what, and how sure that is.
        next_steps: what to try next, most useful first.
        command: of a run at the recommended setting; empty where there is none.
    """

    strategy: str | None
    setting: Setting | None
    sure: bool
    paragraph: str
    next_steps: tuple[str, ...]
    command: str


def recommend(outcome: StudyOutcome, tuned: Analysis, runs: Runs) -> Recommendation:
    """What `tuned`, the runs on fresh seeds at the largest budget, recommend.

    Args:
        runs: all finished runs, for those of the guide's references.
    """
    rows = tuned.standings
    if all(row.num_completed == 0 for row in rows):
        return Recommendation(
            strategy=None,
            setting=None,
            sure=False,
            paragraph="No recommendation: every run on the final seeds diverged.",
            next_steps=("lower peak lrs (study.lrs=[...])",),
            command="",
        )
    areas = shortfalls(outcome.full, outcome.study.strategies)
    level = [rows[0].strategy, *_marked(tuned, *LEVEL)]
    noise = shortfall_noise(tuned, len(outcome.study.tuning_seeds))
    name = _safest(tuned, level, areas, noise)
    setting = outcome.full.chosen[name]
    sure = len(_marked(tuned, "worse")) == len(rows) - 1 > 0
    steps = [*_next_steps(outcome, tuned, name, sure), *_references(outcome, tuned, runs)]
    steps += _untried(outcome)
    return Recommendation(
        strategy=name,
        setting=setting,
        sure=sure,
        paragraph=" ".join(_sentences(outcome, tuned, name, level, areas, noise)),
        next_steps=tuple(steps[:MAX_STEPS]),
        command=command(outcome, name, setting),
    )


def command(outcome: StudyOutcome, strategy: str, setting: Setting) -> str:
    """The command of one run of `strategy` at `setting`."""
    own = {f"scheduler.{key}": value for key, value in setting.knobs.items()}
    words = [
        f"scheduler={strategy}",
        f"optimizer.lr={setting.lr!r}",
        *(f"{key}={_quoted(value)}" for key, value in own.items()),
    ]
    if outcome.full.share < 1:
        words.append(f"trainer.length={_quoted(outcome.full.length)}")
    taken = {word.partition("=")[0] for word in words}
    given = [text for text in outcome.overrides if text.partition("=")[0] not in taken]
    return shlex.join(["python", "-m", "lrbench", *given, *words])


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) and " " in value else str(value)


def _marked(tuned: Analysis, *marks: str) -> list[str]:
    """The strategies that stand so against the best, by mean."""
    return [standing.strategy for standing in tuned.standings if standing.mark in marks]


def _safest(tuned: Analysis, level: Sequence[str], areas: Mapping[str, float], noise: float) -> str:
    """Of `level`, the least sensitive to lr within one standard error of the best (or the margin).

    The best itself, unless another is less sensitive by more than `noise`. Strategies with a
    diverged run are passed over where the best has none.
    """
    best = level[0]
    rows = {standing.strategy: standing for standing in tuned.standings}
    near = [best]
    for name in level[1:]:
        pair = _pair(tuned, best, name)
        allowed = tuned.margin.size
        if pair.test.num >= ENOUGH_SEEDS:  # from fewer there is no standard error to speak of
            allowed = max(allowed, pair.test.sd / math.sqrt(pair.test.num))
        steady = rows[name].num_diverged <= rows[best].num_diverged
        if steady and abs(pair.test.mean) <= allowed:
            near.append(name)
    least = min(near, key=lambda name: math.inf if math.isnan(areas[name]) else areas[name])
    return least if areas[best] - areas[least] > noise else best


def _pair(tuned: Analysis, a: str, b: str) -> Pair:
    """The pair, `a` first."""
    found = next(pair for pair in tuned.pairs if {pair.a, pair.b} == {a, b})
    if found.a == a:
        return found
    test = found.test
    turned = replace(test, mean=-test.mean, low=-test.high, high=-test.low)
    return replace(found, a=a, b=b, test=turned)


def _at(setting: Setting) -> str:
    knobs = "".join(f", {key}={value}" for key, value in setting.knobs.items())
    return f"peak lr {setting.lr:g}{knobs}"


def _sentences(
    outcome: StudyOutcome,
    tuned: Analysis,
    name: str,
    level: Sequence[str],
    areas: Mapping[str, float],
    noise: float,
) -> Iterator[str]:
    rows = {standing.strategy: standing for standing in tuned.standings}
    best = next(iter(rows))
    row = rows[name]
    runs = f"n = {row.num_runs} fresh seeds" + (
        f", {row.num_diverged} diverged" if row.num_diverged else ""
    )
    yield (
        f"Use {name} at {_at(outcome.full.chosen[name])}: mean {tuned.name} "
        f"{tuned.measure.value(row.mean_score)} ({runs})."
    )
    if len(rows) == 1:
        yield "It was the only strategy of the study, so there is nothing to compare it with."
        return
    runner_up = list(rows)[1] if name == best else best
    pair = _pair(tuned, name, runner_up)
    if pair.test.num < 2:
        yield f"One seed or none is shared with {runner_up}: this says nothing of other seeds."
        return
    if pair.test.num < ENOUGH_SEEDS:
        yield f"Exploratory: {pair.test.num} paired seeds are too few for a conclusion."
    if len(level) > 1:
        yield from _level_sentences(outcome, tuned, name, level, areas, noise)
        return
    everyone = "every other strategy, the" if len(rows) > 2 else "the"
    lead = f"by {tuned.measure.difference(pair.test.mean)} ({_evidence(tuned, pair)})"
    if behind := _marked(tuned, BEHIND):
        yield (
            f"It is ahead of {everyone} runner-up {runner_up} {lead}; "
            f"{pair.test.num} seeds are too few to be sure of {listed(behind)}."
        )
    else:
        yield f"It beats {everyone} runner-up {runner_up} {lead}."


def _evidence(tuned: Analysis, pair: Pair) -> str:
    return (
        f"95 % interval {span(pair.test, tuned.measure)}, "
        f"n = {pair.test.num} paired seeds, Holm p = {p_value(pair.test.holm_p)}"
    )


def _level_sentences(
    outcome: StudyOutcome,
    tuned: Analysis,
    name: str,
    level: Sequence[str],
    areas: Mapping[str, float],
    noise: float,
) -> Iterator[str]:
    """The best cannot be told from others: say so, and why this one."""
    rows = {standing.strategy: standing for standing in tuned.standings}
    best, other = level[0], level[1] if name == level[0] else level[0]
    pair = _pair(tuned, name, other)
    same = all(rows[other].mark in ("equivalent", "identical") for other in level[1:])
    told = (
        f"equivalent within ± {tuned.margin.text}" if same else "not distinguishable on these seeds"
    )
    apart = []
    if beaten := _marked(tuned, "worse"):
        apart.append(f"sure only that {best} beats {listed(beaten)}")
    if behind := _marked(tuned, BEHIND):
        apart.append(f"{best} is ahead of {listed(behind)}, on too few seeds to be sure")
    also = f" ({'; '.join(apart)})" if apart else ""
    yield f"It is no sure winner: {listed(list(level))} are {told}{also}."
    direction = "ahead of" if pair.test.mean >= 0 else "behind"
    yield (
        f"By mean it is {tuned.measure.difference(abs(pair.test.mean))} {direction} {other} "
        f"({_evidence(tuned, pair)})."
        if not pair.identical
        else f"On every seed it scores what {other} does."
    )
    yield _why(outcome, name, level, areas, noise, same=same)


def _why(
    outcome: StudyOutcome,
    name: str,
    level: Sequence[str],
    areas: Mapping[str, float],
    noise: float,
    *,
    same: bool,
) -> str:
    """Why `name` of all that are level with the best."""
    every = listed(list(level))
    what = (
        f"Any of {every} will do equally well"
        if same
        else f"On this evidence {every} cannot be told apart"
    )
    if any(math.isnan(areas[other]) for other in level) or math.isnan(noise):
        return f"{what}; {name} is named for its mean."
    others = [other for other in level if other != name]
    least = min(level, key=lambda other: areas[other])
    if name != level[0]:
        among = "" if name == least else " of those close to the best mean"
        reason = f"for being the least sensitive to its peak lr{among}"
    elif areas[name] - areas[least] > noise:
        reason = f"for its mean, though {least} is less sensitive to its peak lr"
    elif all(areas[other] - areas[name] > noise for other in others):
        reason = "for its mean and for being the least sensitive to its peak lr"
    else:
        reason = "for its mean"
    low, high = common_range(outcome.full, outcome.study.strategies)
    num_seeds = counted(len(outcome.study.tuning_seeds), "tuning seed")
    measure = outcome.measure
    told = listed([f"{other} {measure.number(areas[other])}" for other in others])
    return (
        f"{what}; {name} is named {reason}. Over the peak lrs from {low:g} to {high:g} its "
        f"validation {measure.label} is {measure.difference(areas[name])} worse on average than at "
        f"its own best, {told}; with {num_seeds} such numbers differ by up to "
        f"{measure.number(noise)} through seeds alone."
    )


def _next_steps(outcome: StudyOutcome, tuned: Analysis, name: str, sure: bool) -> Iterator[str]:
    edges = [n for n in outcome.study.strategies if _edge(outcome, n)]
    if edges:
        told = listed([f"{n} ({_edge(outcome, n)})" for n in edges])
        more = outcome.study.max_extensions + 3
        yield f"peak lrs beyond those tried, for {told}: study.max_extensions={more}"
    yield from _seeds(tuned, sure)
    diverged = next(s.num_diverged for s in tuned.standings if s.strategy == name)
    if diverged:
        yield f"a lower peak lr or a warmup, for {diverged} of {name}'s final runs diverged"


def _untried(outcome: StudyOutcome) -> Iterator[str]:
    if len(outcome.study.budgets) == 1:
        yield "whether this holds when time is shorter: study.budgets=[10%,30%,100%]"
    if not outcome.study.knob_trials:
        yield "the schedules' own knobs: study.knob_trials=2"


def _edge(outcome: StudyOutcome, name: str) -> str:
    """``best at the highest`` or ``... lowest`` where the chosen lr is one, else nothing."""
    lrs = [trial.setting.lr for trial in lr_trials(outcome.full.trials[name])]
    chosen = outcome.full.chosen[name].lr
    if len(lrs) < 2 or lrs[0] < chosen < lrs[-1]:
        return ""
    return "best at the highest" if chosen >= lrs[-1] else "best at the lowest"


def _seeds(tuned: Analysis, sure: bool) -> Iterator[str]:
    if sure or not tuned.pairs:
        return
    best = tuned.standings[0].strategy
    undecided = ("not distinguishable", "ahead", "one pair", "no pair")
    pairs = [p for p in tuned.pairs if best in (p.a, p.b) and p.finding in undecided]
    if not pairs:
        return
    others = [pair.b if pair.a == best else pair.a for pair in pairs]
    most = max(pair.test.num for pair in pairs)
    tests, size = pairs[0].test.num_tests, tuned.margin.text
    sds = [pair.test.sd for pair in pairs if not math.isnan(pair.test.sd)]
    needed = [seeds_to_resolve(sd, tuned.margin.size, tests) for sd in sds]
    if not needed or most < ENOUGH_SEEDS or smallest_p(most, tests) >= ALPHA:
        fewest = next(n for n in range(ENOUGH_SEEDS, 200) if smallest_p(n, tests) < ALPHA)
        yield (
            f"more seeds: with {most} no difference can be significant, from {fewest} on it can: "
            f"'study.final_seeds=range({fewest})'"
        )
    elif max(needed) > MANY_SEEDS:
        yield f"not more seeds: over {MANY_SEEDS:,} would be needed to resolve {size}"
    elif max(needed) > most:
        yield (
            f"more seeds: about {max(needed)} would resolve {size} between {best} and "
            f"{listed(others)}: 'study.final_seeds=range({max(needed)})'"
        )


def _references(outcome: StudyOutcome, tuned: Analysis, runs: Runs) -> Iterator[str]:
    """A reference of the guide whose mean is above every strategy's is worth a place."""
    measure = tuned.measure
    limit = tuned.standings[0].mean_score
    means = {}
    for name in outcome.study.references:
        found = by_seed(outcome.full.final.get(name, ()), runs).values()
        means[name] = mean(score(run, "test", measure) for run in found)
    ahead = [f"{n} ({measure.value(m)})" for n, m in means.items() if measure.better(m, limit)]
    if ahead:
        yield (
            f"a place in study.strategies for {listed(ahead)}: among the guide's references, and "
            f"by mean ahead of every strategy ({measure.value(limit)})"
        )
