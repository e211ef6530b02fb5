"""The claim "warmup steadies the early phase, the more so the larger the network"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import yaml

from lrbench.compare.read import FinishedRun
from lrbench.compare.statistics import MeanTest, p_value
from lrbench.compare.tables import NOTHING, Table
from lrbench.config import duration
from lrbench.study import settings
from lrbench.study.accuracy import percent, points
from lrbench.study.guide import claim
from lrbench.study.guide.claim import ClaimVerdict, by_seed, listed, override, paired
from lrbench.study.guide.larger import next_larger
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs
from lrbench.study.settings import Guide

CLAIM = "Warmup steadies the early phase, the more so the larger the network"
COSINE = "cosine"
NEGLIGIBLE = 1.1  # a ratio of largest gradient norms this close to 1 is no effect worth the name
SEEDS = "study.guide.warmup_seeds"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is run with and without warmup: a network, at a multiple of the tuned peak lr."""

    model: str
    factor: float
    lr: float
    without: tuple[Point, ...]  # one per seed
    warm: tuple[Point, ...]


def points_of(outcome: StudyOutcome, runs: Runs) -> list[Point]:
    """Every network × peak lr × seed, with warmup and without."""
    return [point for cell in cells(outcome, runs) for point in (*cell.without, *cell.warm)]


def vehicle(outcome: StudyOutcome, runs: Runs) -> str | None:
    """The strategy that is run: cosine, else the best on validation of those without a warmup."""
    stage = outcome.full
    if stage.final.get(COSINE) and COSINE in outcome.study.strategies:
        return COSINE
    scores = {}
    for name in outcome.study.strategies:
        found = by_seed(stage.final.get(name, ()), runs).values()
        warmup = next((str(run.config.get("scheduler.warmup", "")) for run in found), "")
        if found and warmup and duration.parse(warmup)[0] == 0:
            trials = [t.score for t in stage.trials[name] if t.setting == stage.chosen[name]]
            scores[name] = max(trials, default=-math.inf)
    return max(scores, key=lambda name: scores[name], default=None)


def models(guide: Guide, choices: Mapping[str, str], overrides: Sequence[str]) -> tuple[str, ...]:
    """The networks to try: the guide's, or the study's own and the next larger one."""
    if guide.models is not None:
        return guide.models
    own = choices["model"]
    changes = {}
    for text in overrides:
        key, _, value = text.partition("=")
        if key.startswith("model."):
            changes[key.removeprefix("model.")] = yaml.safe_load(value)
    larger = next_larger(own, changes)
    return (own,) if larger is None else (own, larger)


def cells(outcome: StudyOutcome, runs: Runs) -> list[Cell]:
    """What to run; nothing where no strategy is without a warmup of its own."""
    guide, stage = outcome.study.guide, outcome.full
    assert guide is not None
    name = vehicle(outcome, runs)
    if name is None:
        return []
    base = stage.final[name][0]
    length = settings.scaled(stage.length, settings.share("warmup_budget", guide.warmup_budget))
    found = []
    for model in models(guide, outcome.choices, outcome.overrides):
        for factor in guide.warmup_lr_factors:
            lr = float(f"{factor * stage.chosen[name].lr:.6g}")
            folder = outcome.folder / "guide" / "warmup" / f"model={model},lr={lr:g}"
            both = []
            for kind, warmup in (("without", "0 steps"), ("with", guide.warmup)):
                both.append(
                    tuple(
                        replace(
                            base,
                            seed=seed,
                            folder=folder / f"{kind},seed={seed}",
                            overrides=override(
                                base,
                                model=model,
                                optimizer__lr=f"{lr:g}",
                                scheduler__warmup=f"'{warmup}'",
                                trainer__length=f"'{length}'",
                                trainer__record_grad_norm="true",
                                seed=str(seed),
                            ),
                        )
                        for seed in guide.warmup_seeds
                    )
                )
            found.append(Cell(model=model, factor=factor, lr=lr, without=both[0], warm=both[1]))
    return found


def judge(outcome: StudyOutcome, runs: Runs) -> ClaimVerdict:
    """Compare the largest gradient norms with and without warmup, and over the networks."""
    found = cells(outcome, runs)
    if not found:
        why = "no strategy of the study is without a warmup of its own"
        return claim.untold(CLAIM, why, "study.strategies with cosine among them")
    norms = {cell: _norms(cell, found, runs) for cell in found}
    order = _by_size(found, runs)
    effects = {
        model: _mean_by_seed(
            [
                {s: without[s] - warm[s] for s in without.keys() & warm.keys()}
                for cell, (without, warm) in norms.items()
                if cell.model == model
            ]
        )
        for model in order
    }
    seeds = sorted(set.intersection(*(set(effect) for effect in effects.values())))
    if not seeds:
        why = "no pair of runs has a gradient norm on every network"
        return claim.untold(CLAIM, why, "runs with trainer.record_grad_norm=true")
    whole = np.array([np.mean([effects[m][s] for m in order]) for s in seeds])
    wanted = {"steadies": whole}
    if len(order) > 1:
        table = np.array([[effects[m][s] for s in seeds] for m in order])  # (models, seeds)
        wanted["larger"] = np.polyfit(range(len(order)), table, 1)[0]
    tests = claim.tested(wanted, math.log10(NEGLIGIBLE))
    finding, remedy = _finding(tests)
    return ClaimVerdict(
        claim=CLAIM,
        finding=finding,
        num_seeds=len(seeds),
        sentences=(
            _steadies(outcome, runs, found, tests["steadies"]),
            _larger(order, effects, seeds, tests.get("larger")),
        ),
        remedy=remedy,
        tables=(_table(outcome, found, runs),),
    )


def _finding(tests: Mapping[str, MeanTest]) -> tuple[str, str]:
    remedy = claim.more_seeds(tests.values(), SEEDS, f"a ratio of {NEGLIGIBLE:g}")
    if "larger" in tests:
        finding = claim.finding(tests)
        return finding, remedy if finding == claim.CANNOT_TELL else ""
    if claim.finding(tests) == claim.NOT_SUPPORTED:
        return claim.NOT_SUPPORTED, ""
    larger = "study.guide.models=[a smaller one,a larger one]"
    return claim.CANNOT_TELL, larger if tests["steadies"].above else f"{larger}; {remedy}"


def _norms(
    cell: Cell, found: Sequence[Cell], runs: Runs
) -> tuple[dict[int, float], dict[int, float]]:
    """log10 of the largest gradient norm by seed, without and with warmup.

    A run that diverged counts as the largest norm seen on its network, if not as its own.
    """
    same = [runs[p.folder] for c in found if c.model == cell.model for p in (*c.without, *c.warm)
            if p.folder in runs]  # fmt: skip
    finite = [
        value for run in same if (value := run.result.more.get("largest_grad_norm")) is not None
    ]
    worst = max(finite, default=math.nan)

    def of(run: FinishedRun) -> float:
        own = run.result.more.get("largest_grad_norm")
        if not run.completed:
            own = max(own or 0.0, worst)
        return math.log10(own) if own else math.nan

    sides = (by_seed(own, runs) for own in (cell.without, cell.warm))
    without, warm = (
        {seed: value for seed, run in side.items() if not math.isnan(value := of(run))}
        for side in sides
    )
    return without, warm


def _mean_by_seed(effects: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over cells, of the seeds that all cells have."""
    seeds = set.intersection(*(set(effect) for effect in effects))
    return {seed: float(np.mean([effect[seed] for effect in effects])) for seed in sorted(seeds)}


def _by_size(found: Sequence[Cell], runs: Runs) -> list[str]:
    """The networks, fewest weights first; in the order of the config where that is not known."""
    sizes: dict[str, tuple[int, int]] = {}
    for number, cell in enumerate(found):
        some = next((runs[p.folder] for p in cell.without if p.folder in runs), None)
        known = some.result.more.get("num_parameters") if some else None
        sizes.setdefault(cell.model, (known or 0, number))
    return sorted(sizes, key=lambda model: sizes[model])


def _steadies(outcome: StudyOutcome, runs: Runs, found: Sequence[Cell], test: MeanTest) -> str:
    guide = outcome.study.guide
    assert guide is not None
    factors = listed([f"{factor:g}" for factor in guide.warmup_lr_factors])
    counts, accuracies = [], []
    for side in ("with", "without"):
        of_cells = [_side(cell, side, runs) for cell in found]
        diverged = sum(not run.completed for own in of_cells for run in own)
        counts.append(f"{diverged} of {sum(map(len, of_cells))} runs {side} it diverged")
        scores = [pd.Series(_scores(own, outcome.chance), dtype=float) for own in of_cells if own]
        mean = np.mean([own.mean() for own in scores])
        spread = math.sqrt(np.mean([own.var(ddof=1) for own in scores]))  # NaN of single runs
        accuracies.append(f"{percent(float(mean))} {side} it (sd over seeds {points(spread)})")
    return (
        f"Tried on {vehicle(outcome, runs)}: a warmup of {guide.warmup} against none, at {factors} "
        f"times the tuned peak lr and {guide.warmup_budget} of the length. {listed(counts)}; "
        f"mean test accuracy is {listed(accuracies)}; without it the largest gradient norm is "
        f"{_ratio(test)}."
    )


def _scores(side: Sequence[FinishedRun], chance: float) -> dict[int, float]:
    """MeanTest accuracy by seed, a diverged run as guessing."""
    return {
        run.seed: run.result.values["test_accuracy"] if run.completed else chance for run in side
    }


def _larger(
    order: Sequence[str],
    effects: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
    test: MeanTest | None,
) -> str:
    means = {m: 10 ** float(np.mean([effects[m][s] for s in seeds])) for m in order}
    told = ", ".join(f"{ratio:.2f} on {model}" for model, ratio in means.items())
    if test is None:
        return f"The ratio is {told}; one network alone shows no trend with size."
    step = "from the smaller to the larger network" if len(order) == 2 else "from each to the next"
    return f"The ratio is {told}: {step} it is {_ratio(test)}."


def _ratio(test: MeanTest) -> str:
    """``2.1 times as large (95 % interval 1.5 to 3.0, Holm p = 0.03, n = 6 seeds)``."""
    low, high = (10**value for value in (test.low, test.high))
    interval = f"95 % interval {low:.2f} to {high:.2f}, Holm p = {p_value(test.holm_p)}, "
    return (
        f"{10**test.mean:.2f} times as large "
        f"({interval if test.num > 1 else ''}n = {claim.seeds(test.num)})"
    )


def _side(cell: Cell, side: str, runs: Runs) -> list[FinishedRun]:
    return list(by_seed(cell.without if side == "without" else cell.warm, runs).values())


def _table(outcome: StudyOutcome, found: Sequence[Cell], runs: Runs) -> Table:
    rows = []
    for cell in found:
        sides = [_side(cell, side, runs) for side in ("without", "with")]
        scores = [_scores(side, outcome.chance) for side in sides]
        gain = paired(scores[1], scores[0])
        rows.append(
            (
                f"{cell.model}, lr {cell.lr:g}",
                str(len(gain)),
                " / ".join(str(sum(not r.completed for r in side)) for side in sides),
                " / ".join(_median(side, "largest_grad_norm") for side in sides),
                " / ".join(_median(side, "largest_grad_norm_step") for side in sides),
                " / ".join(percent(pd.Series(s, dtype=float).mean()) for s in scores),
                " / ".join(points(pd.Series(s, dtype=float).std(ddof=1)) for s in scores),
                points(gain.mean()) if len(gain) else NOTHING,
            )
        )
    headers = (
        "network, peak lr", "seeds", "diverged", "largest gradient norm", "at update",
        "test accuracy", "sd over seeds", "gain by warmup",
    )  # fmt: skip
    caption = (
        "Without / with warmup. Largest L2 norm of a gradient before any clipping, and the update "
        "at which it fell: medians over the runs that have a finite one. MeanTest accuracy, its "
        "standard deviation over seeds and the gain in points count a diverged run as guessing; in "
        "the ratio of norms it counts as the largest norm seen on its network."
    )
    return Table(f"{CLAIM}: runs", headers, tuple(rows), frozenset(), caption)


def _median(side: Sequence[FinishedRun], key: str) -> str:
    values = [value for run in side if (value := run.result.more.get(key)) is not None]
    return f"{np.median(values):.3g}" if values else NOTHING
