"""The comparisons inside a study: each budget's tuned runs, its untuned ones, and the gain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lrbench.cli.wording import listed
from lrbench.compare.analysis import Analysis, analyse
from lrbench.compare.conditions import LR
from lrbench.compare.family import EXPLORATORY, Family, reading
from lrbench.compare.groups import together
from lrbench.compare.inference import Difference
from lrbench.compare.settings import Settings
from lrbench.compare.tables import NOTHING, Table
from lrbench.study.guide import claim
from lrbench.study.records import Point, Setting, Stage, StudyOutcome
from lrbench.study.runs import Runs, mean
from lrbench.study.settings import GUIDE_ALPHA
from lrbench.task import Measure


def settings(outcome: StudyOutcome) -> Settings:
    """How a study's runs are compared."""
    study = outcome.study
    return Settings(
        metric=f"test_{outcome.measure.name}",
        margin=study.margin,
        vary=(LR,),
        draws={} if study.tuning_draws == 1 else {s: study.draw(s) for s in study.final_seeds},
    )


def family(outcome: StudyOutcome, stage: Stage, kind: str) -> Family:
    """The error rate of a track: the tuned one at the largest budget has what the guide leaves.

    Seeds that are added once the planned ones were read find nothing left to spend.
    """
    if kind != "tuned" or stage is not outcome.full:
        return EXPLORATORY
    study, found = outcome.study, stage.allocation
    looks = [look for look in study.planned_looks if look <= max(found.num_seeds.values())]
    planned = len(study.final_seeds)
    before = reading(outcome.folder, f"study {outcome.measure.name}", looks[-1], planned)
    if before.alpha == 0:
        return before
    parts = [Family.covers]
    if len(looks) > 1:
        parts.append(f"This holds at any of the looks, at {', '.join(map(str, looks))} seeds.")
    if study.guide is not None:
        parts.append(
            f"{100 * study.alpha:g} % are this comparison's, {100 * GUIDE_ALPHA:g} % the guide's; "
            "other budgets and the untuned runs are exploratory."
        )
    return Family(alpha=found.alpha, covers=" ".join(parts))


def track(
    outcome: StudyOutcome,
    stage: Stage,
    own: Mapping[str, Sequence[Point]],
    runs: Runs,
    kind: str,
) -> Analysis | None:
    """The strategies of one track (`own`: their runs), or None where none has a finished run."""
    found = [
        runs[point.folder]
        for name in outcome.study.strategies
        for point in own.get(name, ())
        if point.folder in runs
    ]
    if not found:
        return None
    condition = {"track": kind, "budget": f"{100 * stage.share:g}%"}
    return analyse(
        together(condition, found, (LR,)), settings(outcome), family(outcome, stage, kind)
    )


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What tuning brought one strategy on the final seeds.

    Attributes:
        test: of tuned − untuned, paired by seed; None where the default was chosen.
    """

    strategy: str
    setting: Setting
    tuned: float
    untuned: float
    measure: Measure
    test: Difference | None

    @property
    def gained(self) -> float:
        """By how much the tuned runs are better, by mean."""
        return self.measure.sign * (self.tuned - self.untuned)


def gains(outcome: StudyOutcome, stage: Stage, tuned: Analysis, untuned: Analysis) -> list[Gain]:
    """What tuning brought each strategy, most first."""
    measure = tuned.measure
    scores = [
        {name: own.set_index("seed")["score"] for name, own in a.chosen.groupby("strategy")}
        for a in (tuned, untuned)
    ]
    names = [name for name in outcome.study.strategies if name in scores[0] and name in scores[1]]
    default = Setting(lr=outcome.default_lr)
    changed = [name for name in names if stage.chosen[name] != default]
    differences = {
        name: measure.sign
        * claim.paired(scores[0][name].to_dict(), scores[1][name].to_dict(), measure)
        for name in changed
    }
    tests = claim.tested(differences, tuned.margin.size, 0.0)
    found = [
        Gain(
            strategy=name,
            setting=stage.chosen[name],
            tuned=mean(scores[0][name]),
            untuned=mean(scores[1][name]),
            measure=measure,
            test=tests.get(name),
        )
        for name in names
    ]
    return sorted(found, key=lambda gain: (-gain.gained, gain.strategy))


def gains_table(found: Sequence[Gain], default_lr: float) -> Table:
    """One row per strategy: at the default lr, at its own, and the difference."""
    measure = found[0].measure
    tuned, untuned = (
        pd.Series({gain.strategy: measure.sign * getattr(gain, key) for gain in found}).rank(
            ascending=False, method="min"
        )
        for key in ("tuned", "untuned")
    )
    rows = tuple(
        (
            gain.strategy,
            f"{measure.value(gain.untuned)} ({untuned[gain.strategy]:.0f})",
            gain.setting.label if gain.test else "the default",
            f"{measure.value(gain.tuned)} ({tuned[gain.strategy]:.0f})",
            measure.number(gain.gained) if gain.test else NOTHING,
            claim.span(gain.test, measure) if gain.test and gain.test.num > 1 else NOTHING,
        )
        for gain in found
    )
    headers = (
        "strategy", f"at lr={default_lr:g} (rank)", "tuned", "at its own (rank)", "gain", "95 %",
    )  # fmt: skip
    caption = (
        f"Mean test {measure.label} on the final seeds, {measure.divergence}, and the rank by it. "
        f"Gain{measure.in_unit}: by how much it is better, paired by seed, with a 95 % interval of "
        "each by itself. Exploratory."
    )
    return Table("What tuning changed", headers, rows, frozenset(), caption)


def gains_sentence(found: Sequence[Gain], default_lr: float) -> str:
    """What tuning changed, in one or two sentences."""
    changed = [gain for gain in found if gain.test]
    if not changed:
        return f"Tuning changed nothing: the default lr={default_lr:g} was best for every strategy."
    measure = found[0].measure
    each = [
        f"{g.strategy} {measure.number(g.gained)} ({claim.span(g.test, measure)})"
        for g in changed
        if g.test
    ]
    order = _leaders(found, "untuned"), _leaders(found, "tuned")
    leader = (
        f"{order[0]} leads with and without it"
        if order[0] == order[1]
        else f"{order[0]} leads at the shared default, {order[1]} when tuned"
    )
    return (
        f"Against lr={default_lr:g} for all, tuning changed test {measure.label} by: "
        f"{listed(each)}{measure.in_unit}, above 0 where tuning helped. By mean, {leader}."
    )


def _leaders(found: Sequence[Gain], key: str) -> str:
    """The strategies with the best mean."""
    values = {gain.strategy: gain.measure.sign * getattr(gain, key) for gain in found}
    best = max((v for v in values.values() if not math.isnan(v)), default=math.nan)
    return listed(sorted(name for name, value in values.items() if value == best))
