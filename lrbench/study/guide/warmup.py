"""The claim "warmup steadies the early phase, the more so the larger the network"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

import numpy as np
import yaml

from lrbench.cli.wording import counted, listed
from lrbench.compare.read import FinishedRun
from lrbench.compare.settings import Margin
from lrbench.compare.statistics import MeanTest, p_value
from lrbench.compare.tables import NOTHING, Table
from lrbench.config import duration
from lrbench.study import settings
from lrbench.study.guide import claim
from lrbench.study.guide.claim import Evidence, Unmeasured, by_seed, override, paired
from lrbench.study.guide.larger import next_larger
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import Runs, score
from lrbench.study.settings import Guide
from lrbench.task import Measure

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
            trials = [t.goodness for t in stage.trials[name] if t.setting == stage.chosen[name]]
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
    guide, stage = outcome.guide, outcome.full
    name = vehicle(outcome, runs)
    if name is None:
        return []
    base = stage.final[name][0]
    length = settings.scaled(stage.length, settings.share("warmup_budget", guide.warmup_budget))

    def points(model: str, lr: float, kind: str, warmup: str) -> tuple[Point, ...]:
        folder = outcome.folder / "guide" / "warmup" / f"model={model},lr={lr:g}"
        return tuple(
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

    found = []
    for model in models(guide, outcome.choices, outcome.overrides):
        for factor in guide.warmup_lr_factors:
            lr = float(f"{factor * stage.chosen[name].lr:.6g}")
            without, warm = (
                points(model, lr, kind, warmup)
                for kind, warmup in (("without", "0 steps"), ("with", guide.warmup))
            )
            found.append(Cell(model=model, factor=factor, lr=lr, without=without, warm=warm))
    return found


def evidence(outcome: StudyOutcome, runs: Runs, margin: Margin) -> Evidence:  # noqa: ARG001
    """The largest gradient norms without warmup against those with it, and over the networks."""
    found = cells(outcome, runs)
    if not found:
        raise Unmeasured(
            "study.strategies with cosine among them",
            "Not measured: no strategy of the study is without a warmup of its own.",
        )
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
        raise Unmeasured(
            "runs with trainer.record_grad_norm=true",
            "Not measured: no pair of runs has a gradient norm on every network.",
        )
    table = np.array([[effects[m][s] for s in seeds] for m in order])  # (models, seeds)
    wanted = {"steadies": table.mean(axis=0)}
    if len(order) > 1:
        wanted["larger"] = np.polyfit(range(len(order)), table, 1)[0]
    tests = claim.compared(wanted, math.log10(NEGLIGIBLE))
    ratios = {model: 10 ** float(row.mean()) for model, row in zip(order, table, strict=True)}
    return Evidence(
        tests=tests,
        sentences=(
            _steadies(outcome, runs, found, tests["steadies"]),
            _larger(ratios, tests.get("larger")),
        ),
        table=_table(outcome.measure, found, runs),
        seeds_key=SEEDS,
        effect=f"a ratio of {NEGLIGIBLE:g}",
        lacks="" if "larger" in tests else "study.guide.models=[a smaller one,a larger one]",
    )


def _norms(
    cell: Cell, found: Sequence[Cell], runs: Runs
) -> tuple[dict[int, float], dict[int, float]]:
    """log10 of the largest gradient norm by seed, without and with warmup.

    A run that diverged counts as the largest norm seen on its network, if not as its own.
    """
    same = [side for c in found if c.model == cell.model for side in (c.without, c.warm)]
    norms = [_norm(run) for side in same for run in by_seed(side, runs).values()]
    worst = max((norm for norm in norms if norm is not None), default=None)

    def logarithms(side: Sequence[Point]) -> dict[int, float]:
        known = {}
        for seed, run in by_seed(side, runs).items():
            own = _norm(run)
            if not run.completed and worst is not None:
                own = worst if own is None else max(own, worst)
            if own:
                known[seed] = math.log10(own)
        return known

    return logarithms(cell.without), logarithms(cell.warm)


def _norm(run: FinishedRun) -> float | None:
    return run.result.more.get("largest_grad_norm")


def _mean_by_seed(effects: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over cells, of the seeds that all cells have."""
    seeds = set.intersection(*(set(effect) for effect in effects))
    return {seed: float(np.mean([effect[seed] for effect in effects])) for seed in sorted(seeds)}


def _by_size(found: Sequence[Cell], runs: Runs) -> list[str]:
    """The networks, fewest weights first; in the order of the config where that is not known."""
    sizes: dict[str, int] = {}
    for cell in found:
        some = next(iter(by_seed(cell.without, runs).values()), None)
        known = some.result.more.get("num_parameters") if some else None
        sizes.setdefault(cell.model, known or 0)
    return sorted(sizes, key=lambda model: sizes[model])


def _steadies(outcome: StudyOutcome, runs: Runs, found: Sequence[Cell], test: MeanTest) -> str:
    guide, measure = outcome.guide, outcome.measure
    factors = listed([f"{factor:g}" for factor in guide.warmup_lr_factors])
    counts, means = [], []
    for side in ("with", "without"):
        of_cells = [_side(cell, side, runs) for cell in found]
        diverged = sum(not run.completed for own in of_cells for run in own)
        counts.append(f"{diverged} of {sum(map(len, of_cells))} runs {side} it diverged")
        scores = [own for side_runs in of_cells if (own := _scores(side_runs, measure))]
        mean = fmean(fmean(own.values()) for own in scores) if scores else math.nan
        spread = math.sqrt(fmean(map(_variance, scores))) if scores else math.nan
        told = f"(sd over seeds {measure.number(spread)})"
        means.append(f"{measure.value(mean)} {side} it {told}")
    return (
        f"Tried on {vehicle(outcome, runs)}: a warmup of {guide.warmup} against none, at {factors} "
        f"times the tuned peak lr and {guide.warmup_budget} of the length. {listed(counts)}; "
        f"mean test {measure.label} is {listed(means)}; without it the largest gradient norm is "
        f"{_ratio(test)}."
    )


def _larger(ratios: Mapping[str, float], test: MeanTest | None) -> str:
    told = ", ".join(f"{ratio:.2f} on {model}" for model, ratio in ratios.items())
    if test is None:
        return f"The ratio is {told}; one network alone shows no trend with size."
    step = "from the smaller to the larger network" if len(ratios) == 2 else "from each to the next"
    return f"The ratio is {told}: {step} it is {_ratio(test)}."


def _ratio(test: MeanTest) -> str:
    """``2.1 times as large (95 % interval 1.5 to 3.0, Holm p = 0.03, n = 6 seeds)``."""
    low, high = (10**value for value in (test.low, test.high))
    interval = f"95 % interval {low:.2f} to {high:.2f}, Holm p = {p_value(test.holm_p)}, "
    return (
        f"{10**test.mean:.2f} times as large "
        f"({interval if test.num > 1 else ''}n = {counted(test.num, 'seed')})"
    )


def _side(cell: Cell, side: str, runs: Runs) -> list[FinishedRun]:
    return list(by_seed(cell.without if side == "without" else cell.warm, runs).values())


def _scores(side: Sequence[FinishedRun], measure: Measure) -> dict[int, float]:
    """The test's score by seed, of the runs that have one."""
    scores = {run.seed: score(run, "test", measure) for run in side}
    return {seed: value for seed, value in scores.items() if math.isfinite(value)}


def _variance(scores: Mapping[int, float]) -> float:
    return variance(scores.values()) if len(scores) > 1 else math.nan


def _table(measure: Measure, found: Sequence[Cell], runs: Runs) -> Table:
    rows = []
    for cell in found:
        sides = [_side(cell, side, runs) for side in ("without", "with")]
        scores = [_scores(side, measure) for side in sides]
        gain = measure.sign * paired(scores[1], scores[0], measure)
        rows.append(
            (
                f"{cell.model}, lr {cell.lr:g}",
                str(len(gain)),
                " / ".join(str(sum(not run.completed for run in side)) for side in sides),
                " / ".join(_median(side, "largest_grad_norm") for side in sides),
                " / ".join(_median(side, "largest_grad_norm_step") for side in sides),
                " / ".join(measure.value(fmean(s.values())) if s else NOTHING for s in scores),
                " / ".join(measure.number(math.sqrt(_variance(s))) for s in scores),
                measure.number(float(gain.mean())) if len(gain) else NOTHING,
            )
        )
    headers = (
        "network, peak lr", "seeds", "diverged", "largest gradient norm", "at update",
        f"test {measure.label}", "sd over seeds", "gain by warmup",
    )  # fmt: skip
    caption = (
        "Without / with warmup. Largest L2 norm of a gradient before any clipping, and the update "
        "at which it was: medians over the runs that have a finite one. MeanTest "
        f"{measure.label}, its standard deviation over seeds and the gain{measure.in_unit}: "
        f"{measure.divergence}; in the ratio of norms it counts as the largest norm seen on its "
        "network."
    )
    return Table(f"{CLAIM}: runs", headers, tuple(rows), frozenset(), caption)


def _median(side: Sequence[FinishedRun], key: str) -> str:
    values = [value for run in side if (value := run.result.more.get(key)) is not None]
    return f"{np.median(values):.3g}" if values else NOTHING
