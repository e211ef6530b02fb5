"""One group's numbers: a row per run, per strategy, per pair of strategies and per peak lr.

How a diverged run counts: as what its network is worth, guessing. Its *score* is what guessing
scores, with which it enters medians, ranks, differences between strategies and the choice of a
peak lr; in P(A better) it loses against every run that completed. Where guessing has no number (a
loss, an RMSE) the score is the worst value there is, infinite: the run ranks last and counts in
medians and in P(A better), while means and differences are over completed runs and say so.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from lrbench.cli.wording import counted
from lrbench.compare import statistics
from lrbench.compare.evaluations import PHASES, Evaluations
from lrbench.compare.find import CompareError
from lrbench.compare.groups import Group, Member
from lrbench.compare.preference import preference
from lrbench.compare.read import Problem
from lrbench.compare.settings import Margin, Settings, metric_name, parse_target
from lrbench.compare.statistics import ALPHA, MeanTest
from lrbench.files.result import split_metric
from lrbench.task.measure import POINTS, Measure

REFERENCE = "constant"  # the strategy that never anneals, against which late gains are held
SOME_DIVERGED = "some diverged"


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
        low, high = statistics.t_interval(known)
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


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A group with its numbers.

    Attributes:
        metric: what strategies are compared by, such as ``test_accuracy``, a value of `measure`,
            whose guess is what a diverged run counts as.
        targets: name to validation value.
        notes: how the metric was chosen, and why there are no targets, in sentences.
        runs: one row per run, all peak lrs.
        chosen: the rows of `runs` that are compared: all, or each strategy's at its best lr.
        standings: one per strategy, best first.
        pairs: one per pair of strategies, the better one first.
        sensitivity: one per strategy and peak lr; empty where the lr was not swept.
    """

    group: Group
    settings: Settings
    metric: str
    measure: Measure
    margin: Margin
    targets: Mapping[str, float]
    notes: tuple[str, ...]
    runs: pd.DataFrame
    chosen: pd.DataFrame
    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]
    sensitivity: tuple[AtLr, ...]

    @property
    def name(self) -> str:
        """``test accuracy``."""
        return metric_name(self.metric)

    @property
    def val_name(self) -> str:
        """``validation accuracy``."""
        return f"validation {self.measure.label}"

    @property
    def axis(self) -> str:
        """What curves are drawn over: ``updates`` or ``epochs``."""
        return "updates" if self.group.axis == "step" else "epochs"


def analyse(group: Group, settings: Settings) -> Analysis:
    """Compute every number of `group`.

    Raises:
        CompareError: no run has the metric, or a setting has no meaning for it.
    """
    metric, measure, group, notes = _metric(group, settings)
    runs, curves = _measure(group, metric, measure)
    sensitivity = _sensitivity(runs, measure) if group.lr_sweep else ()
    best = {row.strategy: row.lr for row in sensitivity if row.best}
    runs["chosen"] = True if not best else runs["lr"] == runs["strategy"].map(best)
    found = [c for c, chosen in zip(curves, runs["chosen"], strict=True) if chosen and c]
    targets, trouble = _targets(runs[runs["chosen"]], found, settings.targets, measure)
    for name, value in targets.items():
        runs[f"to_{name}"] = [math.nan if c is None else c.first_reaching(value) for c in curves]
    chosen = runs[runs["chosen"]].reset_index(drop=True)
    standings = _standings(chosen, list(targets), measure)
    margin = Margin.of(settings.margin, measure, standings[0].mean_score)
    pairs = _pairs(chosen, standings, measure, margin.size, settings.seed, paired=group.paired)
    return Analysis(
        group=group,
        settings=settings,
        metric=metric,
        measure=measure,
        margin=margin,
        targets=targets,
        notes=(*notes, *trouble),
        runs=runs,
        chosen=chosen,
        standings=_marked(standings, pairs),
        pairs=pairs,
        sensitivity=sensitivity,
    )


def _metric(group: Group, settings: Settings) -> tuple[str, Measure, Group, list[str]]:
    """The metric, its measure with the guess that counts, the runs that have it, and notes."""
    completed = [m.run.result for m in group.members if m.run.completed]
    primary = group.measures[0].name
    notes = []
    if settings.metric is not None:
        metric = settings.metric
    else:
        counts = {split: sum(f"{split}_{primary}" in r.values for r in completed)
                  for split in ("test", "val", "best_val")}  # fmt: skip
        split = max(counts, key=lambda name: counts[name])
        metric = f"{split}_{primary}"
        if split != "test" and not counts["test"]:
            notes.append(
                f"No test split: strategies are compared by {metric_name(metric)}, which is "
                "flattering where it also chose settings."
            )
    name = split_metric(metric)[1]
    measure = next((m for m in group.measures if m.name == name), None)
    if measure is None or (completed and not any(metric in r.values for r in completed)):
        known = sorted({key for r in completed for key in r.values if not key.startswith("train_")})
        raise CompareError(f"metric={metric}: no run has it; they have {', '.join(known)}")
    guesses = {m.guess for member in group.members for m in member.run.result.measures
               if m.name == name}  # fmt: skip
    guess = settings.chance if settings.chance is not None else guesses.pop()
    measure = replace(measure, guess=None if guesses and settings.chance is None else guess)
    if measure.unit == POINTS and not 0 <= measure.scale * (measure.guess or 0) < 100:
        raise CompareError(
            f"chance={measure.guess} must lie from 0 to below {100 / measure.scale:g}"
        )
    lacking = [m for m in group.members if m.run.completed and metric not in m.run.result.values]
    told = [Problem(m.run.name, f"has no {metric}: left out") for m in lacking]
    members = tuple(m for m in group.members if m not in lacking)
    return metric, measure, replace(group, members=members, notes=(*group.notes, *told)), notes


def _measure(
    group: Group, metric: str, measure: Measure
) -> tuple[pd.DataFrame, list[Evaluations | None]]:
    """One row per run: what result.json says, the scores, and the phases of its curve."""
    curves = [Evaluations.of(m.run.history, measure, group.axis) for m in group.members]
    totals: dict[str, float] = defaultdict(float)  # a diverged run was planned like the others
    for member, curve in zip(group.members, curves, strict=True):
        if member.run.completed:
            total = _length(member, curve, group.axis)
            totals[member.strategy] = max(totals[member.strategy], total)
    longest = max(totals.values(), default=0.0)
    rows = []
    for member, curve in zip(group.members, curves, strict=True):
        run, completed = member.run, member.run.completed
        value, last = run.result.value(metric), run.result.value(f"val_{measure.name}")
        if last is None and curve is not None:
            last = float(curve.values[-1])
        total = totals.get(member.strategy) or longest
        rows.append(
            {
                "strategy": member.strategy,
                "lr": member.lr,
                "seed": run.seed,
                "status": run.result.status,
                "steps": run.result.steps,
                "score": measure.exact(measure.score(value, completed=completed)),
                "val_score": measure.exact(measure.score(last, completed=completed)),
                **run.result.values,
                "best_val_step": run.result.best_val_step,
                "seconds": run.result.seconds,
                "units_per_second": run.result.units_per_second,
                **(curve.phases(total) if curve else dict.fromkeys(PHASES, math.nan)),
                "folder": run.name,
            }
        )
    table = pd.DataFrame(rows)
    numbers = ["best_val_step", "seconds", "units_per_second"]
    table[numbers] = table[numbers].astype(float)
    return table, curves


def _length(member: Member, curve: Evaluations | None, axis: str) -> float:
    """Where a completed run ends, in updates or epochs."""
    if axis == "step":
        return float(member.run.result.steps)
    return float(curve.at[-1]) if curve is not None else 0.0


def _targets(
    chosen: pd.DataFrame, curves: Sequence[Evaluations], targets: Sequence[str], measure: Measure
) -> tuple[dict[str, float], list[str]]:
    """What each target is as a validation value, and why those on a way are missing."""
    medians = chosen.groupby("strategy")["val_score"].median()
    best = measure.sign * float((measure.sign * medians).max())
    start, whence = measure.guess, "guessing"
    if start is None:
        start = float(np.median([c.values[0] for c in curves])) if curves else math.nan
        whence = "the first evaluations' median"
    found, ways = {}, []
    for target in targets:
        kind, value = parse_target(target)
        if kind == "value":
            found[target.strip()] = value
        elif measure.better(best, start) and math.isfinite(best):
            found[target.strip()] = start + value * (best - start)
        else:
            ways.append(target.strip())
    if not ways or math.isnan(start) or math.isnan(best):
        return found, []
    return found, [
        f"No strategy's median validation {measure.label} ({measure.value(best)} at best) is "
        f"better than {whence} ({measure.value(start)}), so there is no way to go: no "
        f"{', '.join(ways)}."
    ]


def _standings(chosen: pd.DataFrame, targets: list[str], measure: Measure) -> list[Standing]:
    """One per strategy, best first; marks come later."""
    constant = chosen[chosen["strategy"] == REFERENCE].set_index("seed")["late_gain"]
    metrics = [
        c for c in chosen if c.startswith(("test_", "val_", "best_val_")) and c != "val_score"
    ]
    found = []
    for strategy, runs in chosen.groupby("strategy"):
        completed = runs[runs["status"] == "completed"]
        own = Mean.of(completed["score"])
        scores = runs["score"]
        to = {name: runs[f"to_{name}"].dropna() for name in targets}  # NaN: no curve
        found.append(
            Standing(
                strategy=str(strategy),
                lr=runs["lr"].iloc[0],
                num_runs=len(runs),
                num_completed=len(completed),
                num_diverged=len(runs) - len(completed),
                mean_score=own.value if measure.guess is None else scores.mean(),
                median_score=scores.median(),
                worst_score=measure.sign * (measure.sign * scores).min(),
                # With one run left there is no spread to speak of: NaN, not 0.
                sd_score=completed["score"].std(ddof=1),
                completed_score=own,
                means={metric: Mean.of(completed[metric]) for metric in metrics},
                targets={
                    name: Reached(_censored_median(at), int(np.isfinite(at).sum()), len(at))
                    for name, at in to.items()
                },
                phases={phase: Mean.of(runs[phase]) for phase in PHASES},
                late_gain_over_constant=Mean.of(runs.set_index("seed")["late_gain"] - constant),
                seconds=completed["seconds"].median(),
                units_per_second=completed["units_per_second"].median(),
            )
        )

    def order(standing: Standing) -> tuple[float, float]:
        lost = standing.num_diverged / standing.num_runs if measure.guess is None else 0.0
        mean = standing.mean_score
        return lost, math.inf if math.isnan(mean) else -measure.sign * measure.exact(mean)

    found.sort(key=lambda standing: (order(standing), standing.strategy))
    keys = [order(standing) for standing in found]
    return [replace(s, rank=keys.index(key) + 1) for s, key in zip(found, keys, strict=True)]


def _censored_median(values: pd.Series) -> float:
    """The median where some values are only known to lie beyond the end of the run (inf)."""
    ordered = np.sort(values.to_numpy(dtype=float))
    if len(ordered) == 0:
        return math.nan
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(high) if math.isinf(high) else float((low + high) / 2)


def _marked(standings: Sequence[Standing], pairs: Sequence[Pair]) -> tuple[Standing, ...]:
    """``best`` for the first; for the others what is known about their distance from it."""
    if len(standings) < 2:
        return tuple(standings)
    best = standings[0]
    names = {
        "beats": "worse",
        "equivalent": "equivalent",
        "beats, equivalent": "equivalent",
        "identical": "identical",
        "ahead": "behind, too few seeds",
    }
    found = {p.b: names.get(p.finding, "") for p in pairs if p.a == best.strategy}
    found |= {
        p.a: p.finding
        for p in pairs
        if p.b == best.strategy and p.finding in ("equivalent", "identical")
    }
    left_out = {p.a if p.b == best.strategy else p.b for p in pairs
                if p.num_left_out and best.strategy in (p.a, p.b)}  # fmt: skip
    marked = [replace(best, mark="best")]
    for standing in standings[1:]:
        mark = found.get(standing.strategy, "")
        if mark != "worse" and standing.strategy in left_out and standing.num_diverged:
            mark = SOME_DIVERGED
        marked.append(replace(standing, mark=mark or "not distinguishable"))
    return tuple(marked)


def _pairs(
    chosen: pd.DataFrame,
    standings: Sequence[Standing],
    measure: Measure,
    margin: float,
    seed: int,
    *,
    paired: bool,
) -> tuple[Pair, ...]:
    """One per pair of strategies, over their common seeds if they are `paired`."""
    of = {str(s): runs.set_index("seed").sort_index() for s, runs in chosen.groupby("strategy")}
    ranks = {standing.strategy: number for number, standing in enumerate(standings)}
    found = []
    for number, names in enumerate(combinations(sorted(of), 2)):
        own = {name: of[name] for name in sorted(names, key=lambda name: ranks[name])}
        if paired:
            common = sorted(set.intersection(*(set(runs.index) for runs in own.values())))
            own = {name: runs.loc[common] for name, runs in own.items()}
        rng = np.random.default_rng([seed, number])
        found.append(_pair(own, measure, margin, rng, paired=paired))
    tests = statistics.corrected([pair.test for pair in found])
    found = [replace(pair, test=test) for pair, test in zip(found, tests, strict=True)]
    found = [replace(pair, finding=_finding(pair)) for pair in found]
    return tuple(sorted(found, key=lambda pair: (ranks[pair.a], ranks[pair.b])))


def _pair(
    own: Mapping[str, pd.DataFrame],
    measure: Measure,
    margin: float,
    rng: np.random.Generator,
    *,
    paired: bool,
) -> Pair:
    """Two strategies' runs, the one that stands better first, held against each other."""
    (first, a), (second, b) = own.items()
    x, y = (measure.sign * runs["score"].to_numpy() for runs in (a, b))
    known_x, known_y = np.isfinite(x), np.isfinite(y)
    if paired:
        known_x = known_y = known_x & known_y
    left_out = int((~known_x).sum() + (0 if paired else (~known_y).sum()))
    if known_x.any() and known_y.any() and measure.exact(x[known_x].mean() - y[known_y].mean()) < 0:
        first, a, x, known_x, second, b, y, known_y = second, b, y, known_y, first, a, x, known_x
    identical = False
    if paired:
        # Scores of shares are exact: so are their differences, and ties are ties.
        differences = np.array([measure.exact(d) for d in x[known_x] - y[known_x]])
        test = statistics.paired_test(differences, margin, rng)
        identical = len(differences) == len(x) > 0 and not differences.any()
    else:
        test = statistics.unpaired_test(x[known_x], y[known_y], margin, rng)
    lost = [np.where(r["status"] == "completed", z, -math.inf) for r, z in ((a, x), (b, y))]
    return Pair(
        a=first,
        b=second,
        num_common=min(len(a), len(b)),
        test=test,
        num_left_out=left_out,
        probability=statistics.probability_of_improvement(*lost, paired=paired),
        correlation=statistics.seed_correlation(x[known_x], y[known_x]) if paired else math.nan,
        diverged_a=int((a["status"] == "diverged").sum()),
        diverged_b=int((b["status"] == "diverged").sum()),
        identical=identical,
    )


def _finding(pair: Pair) -> str:
    test = pair.test
    if test.num < 2:
        return "one pair" if test.num else "no pair"
    if pair.identical:
        return "identical"
    if test.above or test.negligible:
        return ", ".join(["beats"] * test.above + ["equivalent"] * test.negligible)
    least = statistics.smallest_p(test.num, test.num_tests, paired=test.paired)
    return "ahead" if least >= ALPHA and test.low > 0 else "not distinguishable"


def _sensitivity(runs: pd.DataFrame, measure: Measure) -> tuple[AtLr, ...]:
    """One per strategy and peak lr: scores with a diverged run as guessing.

    ``best`` is the lr with the best mean validation score, among equals the one with the lower
    validation loss, then the smaller.
    """
    rows = []
    for strategy, own in runs.groupby("strategy"):
        found, order = [], []
        for lr, at in own.groupby("lr"):
            completed = at["status"] == "completed"
            loss = at.loc[completed, "val_loss"].mean() if "val_loss" in at else math.nan
            mean = Mean.of(at["score"])
            found.append(
                AtLr(
                    strategy=str(strategy),
                    lr=float(str(lr)),
                    score=mean.value,
                    score_high=mean.high,
                    num_diverged=int((~completed).sum()),
                    best=False,
                    val_score=at["val_score"].mean(),
                )
            )
            order.append(preference(measure, found[-1].val_score, loss, found[-1].lr))
        best = order.index(min(order))
        for i, row in enumerate(found):
            edge = i == best and best in (0, len(found) - 1)
            rows.append(replace(row, best=i == best, edge=edge))
    return tuple(rows)


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
