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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lrbench.compare.conditions import SPLIT
from lrbench.compare.evaluations import PHASES, Evaluations
from lrbench.compare.family import Family
from lrbench.compare.find import CompareError
from lrbench.compare.groups import Group, Member
from lrbench.compare.inference import Intervals
from lrbench.compare.pairs import BLOCK, compared, marked, ordered
from lrbench.compare.preference import preference
from lrbench.compare.read import Problem
from lrbench.compare.rows import AtLr, Mean, Pair, Reached, Standing
from lrbench.compare.settings import Margin, Settings, X, metric_name, parse_target
from lrbench.files.result import split_metric
from lrbench.task.measure import POINTS, Measure

REFERENCE = "constant"  # the strategy that never anneals, against which late gains are held


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
        family: the error rate of what is claimed, and what it is shared with.
        intervals: of the differences between strategies, in the order of `standings`; all that is
            claimed is read off them.
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
    family: Family
    intervals: Intervals
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
        """What curves are drawn over: ``updates``, ``epochs``, ``seconds``, ``images``, …"""
        names = {column: name for name, column in X.items()}
        return names[self.group.axis] if self.group.axis != "units" else self.group.unit


def analyse(group: Group, settings: Settings, family: Family) -> Analysis:
    """Compute every number of `group`.

    Args:
        family: how much may be claimed.

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
    size, _ = evaluated_on(group, metric)
    resolution = 1 / size if measure.unit == POINTS and size else 0.0
    standings, intervals = ordered(
        chosen, _standings(chosen, list(targets), measure), measure, family.alpha, resolution,
        paired=group.paired, draws=settings.draws,
    )  # fmt: skip
    margin = Margin.of(settings.margin, measure, standings[0].mean_score)
    pairs = compared(chosen, standings, intervals, measure, margin.size)
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
        standings=marked(standings, pairs),
        family=family,
        intervals=intervals,
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


def evaluated_on(group: Group, metric: str) -> tuple[int, str]:
    """How many examples the metric is measured on, 0 if unknown, and what they are called."""
    split = split_metric(metric)[0].removeprefix("best_")
    result = group.members[0].run.result
    size = result.data.get(split)
    named = "test" if split == "test" else "validation"
    known = size if isinstance(size, int) and size > 0 else 0
    return known, f"{named} {result.unit or 'examples'}"


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
                "split": str(run.config.get(SPLIT, "")),
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
        elif math.isfinite(start) and math.isfinite(best) and measure.better(best, start):
            found[target.strip()] = start + value * (best - start)
        else:
            ways.append(target.strip())
    if not ways or not math.isfinite(start) or math.isnan(best):
        return found, []
    return found, [
        f"No strategy's median validation {measure.label} ({measure.value(best)} at best) is "
        f"better than {whence} ({measure.value(start)}), so there is no way to go: no "
        f"{', '.join(ways)}."
    ]


def _standings(chosen: pd.DataFrame, targets: list[str], measure: Measure) -> list[Standing]:
    """One per strategy; ranks and marks come later."""
    constant = chosen[chosen["strategy"] == REFERENCE].set_index(BLOCK)["late_gain"]
    metrics = [
        c for c in chosen if c.startswith(("test_", "val_", "best_val_")) and c != "val_score"
    ]
    found = []
    for strategy, runs in chosen.groupby("strategy"):
        completed = runs[runs["status"] == "completed"]
        own = Mean.of(completed["score"])
        scores = runs["score"]
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
                targets={name: Reached.of(runs[f"to_{name}"]) for name in targets},
                phases={phase: Mean.of(runs[phase]) for phase in PHASES},
                late_gain_over_constant=Mean.of(runs.set_index(BLOCK)["late_gain"] - constant),
                seconds=completed["seconds"].median(),
                units_per_second=completed["units_per_second"].median(),
            )
        )

    return found


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
