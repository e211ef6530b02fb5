"""The claim "warmup steadies the early phase, the more so the larger the network"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import yaml

from lrbench.cli.wording import counted, listed
from lrbench.compare.inference import Difference
from lrbench.compare.settings import Margin
from lrbench.compare.tables import NOTHING, Table
from lrbench.config import duration
from lrbench.study import settings
from lrbench.study.guide import claim
from lrbench.study.guide.claim import Evidence, Unmeasured, by_seed, override
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
    length = duration.scaled(stage.length, settings.share("warmup_budget", guide.warmup_budget))

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
    frame = _frame(found, runs, outcome.measure)
    effects = _effects(frame, {cell.factor: None for cell in found})
    order = list(dict.fromkeys(frame.sort_values("size", kind="stable")["model"]))
    seen = set(order) == {cell.model for cell in found}
    table = effects.reindex(columns=order).dropna().T.to_numpy()  # (models, seeds)
    if not seen or not table.size:
        raise Unmeasured(
            "runs with trainer.record_grad_norm=true",
            "Not measured: no pair of runs has a gradient norm on every network.",
        )
    wanted = {"steadies": table.mean(axis=0)}
    if len(order) > 1:
        wanted["larger"] = np.polyfit(range(len(order)), table, 1)[0]
    tests = claim.compared(wanted, math.log10(NEGLIGIBLE))
    ratios = {model: 10 ** float(row.mean()) for model, row in zip(order, table, strict=True)}
    return Evidence(
        tests=tests,
        sentences=(
            _steadies(outcome, runs, frame, tests["steadies"]),
            _larger(ratios, tests.get("larger")),
        ),
        table=_table(outcome.measure, frame),
        seeds_key=SEEDS,
        effect=f"a ratio of {NEGLIGIBLE:g}",
        lacks="" if "larger" in tests else "study.guide.models=[a smaller one,a larger one]",
    )


def _frame(found: Sequence[Cell], runs: Runs, measure: Measure) -> pd.DataFrame:
    """One row per finished run, in the order of the cells; without warmup first."""
    rows = [
        {
            "cell": f"{cell.model}, lr {cell.lr:g}",
            "model": cell.model,
            "factor": cell.factor,
            "side": side,
            "seed": seed,
            "diverged": not run.completed,
            "score": score(run, "test", measure),
            "norm": run.result.more.get("largest_grad_norm"),
            "step": run.result.more.get("largest_grad_norm_step"),
            "size": run.result.more.get("num_parameters") or 0,
        }
        for cell in found
        for side, points in (("without", cell.without), ("with", cell.warm))
        for seed, run in by_seed(points, runs).items()
    ]
    columns = ["cell", "model", "factor", "side", "seed", "diverged", "score", "norm", "step"]
    frame = pd.DataFrame(rows, columns=[*columns, "size"])
    numbers = frame[["score", "norm", "step"]].astype(float)
    return frame.assign(**numbers.where(np.isfinite(numbers)))


def _effects(frame: pd.DataFrame, factors: Mapping[float, None]) -> pd.DataFrame:
    """log10 of the ratio of largest gradient norms, a row per seed and a column per network.

    Means over the peak lrs, of the seeds that all of them have. A run that diverged counts as the
    largest norm seen on its network.
    """
    worst = frame.groupby("model")["norm"].transform("max")
    norms = frame["norm"].where(~frame["diverged"].astype(bool), worst)
    known = frame.assign(log=np.log10(norms.where(norms > 0))).dropna(subset="log")
    sides = known.pivot(index=["model", "seed", "factor"], columns="side", values="log")
    sides = sides.reindex(columns=["without", "with"])
    by_factor = (sides["without"] - sides["with"]).unstack("factor").reindex(columns=list(factors))
    return by_factor.dropna().mean(axis=1).unstack("model")


def _steadies(outcome: StudyOutcome, runs: Runs, frame: pd.DataFrame, test: Difference) -> str:
    guide, measure = outcome.guide, outcome.measure
    factors = listed([f"{factor:g}" for factor in guide.warmup_lr_factors])
    counts, means = [], []
    for side in ("with", "without"):
        own = frame[frame["side"] == side]
        counts.append(f"{own['diverged'].sum()} of {len(own)} runs {side} it diverged")
        scores = own.groupby("cell")["score"]
        spread = measure.number(math.sqrt(scores.var(ddof=1).mean()))
        means.append(f"{measure.value(scores.mean().mean())} {side} it (sd over seeds {spread})")
    return (
        f"Tried on {vehicle(outcome, runs)}: a warmup of {guide.warmup} against none, at {factors} "
        f"times the tuned peak lr and {guide.warmup_budget} of the length. {listed(counts)}; "
        f"mean test {measure.label} is {listed(means)}; without it the largest gradient norm is "
        f"{_ratio(test)}."
    )


def _larger(ratios: Mapping[str, float], test: Difference | None) -> str:
    told = ", ".join(f"{ratio:.2f} on {model}" for model, ratio in ratios.items())
    if test is None:
        return f"The ratio is {told}; one network alone shows no trend with size."
    step = "from the smaller to the larger network" if len(ratios) == 2 else "from each to the next"
    return f"The ratio is {told}: {step} it is {_ratio(test)}."


def _ratio(test: Difference) -> str:
    """``2.1 times as large (interval 1.5 to 3.0, n = 6 seeds)``."""
    low, high = (10**value for value in (test.low, test.high))
    interval = f"interval {low:.2f} to {high:.2f}, "
    return (
        f"{10**test.mean:.2f} times as large "
        f"({interval if test.num > 1 else ''}n = {counted(test.num, 'seed')})"
    )


def _table(measure: Measure, frame: pd.DataFrame) -> Table:
    rows = []
    for name, cell in frame.groupby("cell", sort=False):
        sides = [cell[cell["side"] == side].set_index("seed") for side in ("without", "with")]
        gain = (measure.sign * (sides[1]["score"] - sides[0]["score"])).dropna()
        told = (
            (str(own["diverged"].sum()), _median(own["norm"]), _median(own["step"]),
             measure.value(own["score"].mean()) if own["score"].notna().any() else NOTHING,
             measure.number(own["score"].std(ddof=1)))
            for own in sides
        )  # fmt: skip
        cells = (" / ".join(both) for both in zip(*told, strict=True))
        gained = measure.number(float(gain.mean())) if len(gain) else NOTHING
        rows.append((str(name), str(len(gain)), *cells, gained))
    headers = (
        "network, peak lr", "seeds", "diverged", "largest gradient norm", "at update",
        f"test {measure.label}", "sd over seeds", "gain by warmup",
    )  # fmt: skip
    caption = (
        "Without / with warmup. Largest L2 norm of a gradient before any clipping, and the update "
        "at which it was: medians over the runs that have a finite one. Mean test "
        f"{measure.label}, its standard deviation over seeds and the gain{measure.in_unit}: "
        f"{measure.divergence}; in the ratio of norms it counts as the largest norm seen on its "
        "network."
    )
    return Table(f"{CLAIM}: runs", headers, tuple(rows), frozenset(), caption)


def _median(values: pd.Series) -> str:
    return f"{values.median():.3g}" if values.notna().any() else NOTHING
