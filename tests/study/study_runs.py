"""Studies whose truth is known: made-up runs for whatever points a study asks for.

A *world* says what a run comes to; `imagine` builds a study in it, in memory, and `write` puts its
runs into folders as lrbench would.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import yaml

sys.path.append(str(Path(__file__).parents[1] / "compare"))
from comparison_runs import config_of, write_run

from lrbench.compare.read import FinishedRun
from lrbench.config import CONF, build, flatten
from lrbench.files.result import history_columns, parse_result
from lrbench.study import Study, guide
from lrbench.study.allocation import Allocation
from lrbench.study.records import Point, Setting, Stage, StudyOutcome, Trial
from lrbench.study.runs import fresh
from lrbench.task import Measure
from lrbench.task.classification import measures

STEPS = 100  # updates of a run
EVERY = 5  # updates from one evaluation to the next
CHANCE = 0.1
Kinds = Sequence[Measure]  # the primary one first
MEASURES: Kinds = measures(10)  # accuracy and loss
SIZES = {"resnet8": 77_850, "resnet20": 272_474}


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a run comes to.

    Attributes:
        test, val: final values of the primary measure; the validation's is the test's if None.
        late_gain: improvement of the validation over the last fifth of the run.
        diverged: whether it diverged half-way.
        cuts: updates after which a plateau cut its lr by 10.
        gain_at_cut: improvement of the validation that each cut brings by its end.
        norm: the largest gradient norm.
        size: examples in the test set.
    """

    test: float = 0.9
    val: float | None = None
    late_gain: float = 0.01
    diverged: bool = False
    cuts: tuple[int, ...] = ()
    gain_at_cut: float = 0.0
    norm: float | None = None
    size: int = 1000


World = Callable[[Point, Mapping[str, str]], Truth]
"""What the run of a point comes to; the mapping holds its overrides."""


def keys(point: Point) -> dict[str, str]:
    """The overrides of `point` by key."""
    pairs = (text.partition("=") for text in point.overrides)
    return {key: value.strip("'") for key, _, value in pairs}


def study(**changes: Any) -> Study:
    """conf/study/four_way.yaml with some keys changed; ``guide__KEY`` changes the guide's."""
    node = yaml.safe_load((CONF / "study" / "four_way.yaml").read_text())
    node |= {"final_seeds": list(range(8)), "looks": [], "noise_seeds": []}
    for key, value in changes.items():
        group, _, inner = key.partition("__")
        if inner:
            node[group][inner] = value
        else:
            node[key] = value
    built = build(node, "study")
    assert isinstance(built, Study)
    return built


def history_of(truth: Truth, lr: float, kinds: Kinds = MEASURES) -> pd.DataFrame:
    """A history whose validation measure improves in a line, then by the late gain to the end."""
    last, sign = STEPS // 2 if truth.diverged else STEPS, kinds[0].sign
    steps = np.arange(EVERY, last + 1, EVERY)
    final = truth.test if truth.val is None else truth.val
    knots = (0, 0.8 * STEPS, STEPS)
    start = CHANCE if sign > 0 else final + 1
    values = np.interp(steps, knots, (start, final - sign * truth.late_gain, final))
    factors = np.ones(len(steps))
    for cut in truth.cuts:
        factors[steps > cut] /= 10
        values[steps > cut] += sign * truth.gain_at_cut
    columns = dict.fromkeys(history_columns(kinds), np.full(len(steps), 0.5))
    columns |= {"step": steps, "lr": np.float32(lr) * factors.astype(np.float32)}
    if kinds is MEASURES:
        columns["val_loss"] = 2.3 - 2 * values
        values = np.clip(values, 0, 1)
    columns[f"val_{kinds[0].name}"] = values
    return pd.DataFrame(columns).astype(float)


def result_of(point: Point, truth: Truth, kinds: Kinds = MEASURES) -> dict[str, Any]:
    """result.json of the run of `point`."""
    val = truth.test if truth.val is None else truth.val
    model = keys(point).get("model", "resnet8")
    values: dict[str, float | None] = {f"best_val_{measure.name}": 0.3 for measure in kinds}
    for measure in kinds:
        first = measure is kinds[0]
        for split, own in (("val", val), ("test", truth.test)):
            value = own if first else 2.3 - 2 * val if split == "val" else 0.4
            values[f"{split}_{measure.name}"] = None if truth.diverged else value
    return {
        "status": "diverged" if truth.diverged else "completed",
        "strategy": point.strategy,
        "seed": point.seed,
        "steps": STEPS // 2 if truth.diverged else STEPS,
        **values,
        f"best_val_{kinds[0].name}": val,
        "best_val_step": STEPS,
        "largest_grad_norm": truth.norm,
        "largest_grad_norm_step": None if truth.norm is None else 10,
        "seconds": 2.0,
        "units_per_second": 9000.0,
        "measures": {m.name: m.as_json() for m in kinds},
        "num_parameters": SIZES.get(model, 1),
        "environment": {"lrbench": "0.1.0", "device": "cpu"},
        "paired": True,
        "unit": "images" if kinds is MEASURES else "rows",
        "data": {"digest": "d1", "test": truth.size},
    }


def changes_of(point: Point) -> dict[str, Any]:
    """What the config of the run of `point` has besides the usual, with dotted keys."""
    found = keys(point)
    changes = {
        "optimizer.lr": float(found["optimizer.lr"]),
        "trainer.length": found["trainer.length"],
        "scheduler.warmup": found.get("scheduler.warmup", "0 steps"),
    }
    if point.strategy == "plateau":
        changes |= {
            "scheduler.patience": int(found.get("scheduler.patience", 3)),
            "scheduler.cut_factor": 0.1,
            "scheduler.min_factor": float(found.get("scheduler.min_factor", 1e-4)),
        }
    if "scheduler.cycle_momentum" in found:
        changes["scheduler.cycle_momentum"] = found["scheduler.cycle_momentum"] == "true"
    return changes


def run_of(point: Point, world: World, folder: Path, kinds: Kinds = MEASURES) -> FinishedRun:
    """The run of `point`, as it would be read back from its folder."""
    truth = world(point, keys(point))
    lr = float(keys(point)["optimizer.lr"])
    return FinishedRun(
        path=point.folder,
        name=point.folder.relative_to(folder).as_posix(),
        config=flatten(config_of(point.strategy, point.seed, changes_of(point))),
        choices={"model": keys(point).get("model", "resnet8"), "dataset": "digits"},
        result=parse_result(result_of(point, truth, kinds)),
        history=history_of(truth, lr, kinds),
    )


def write(points: Iterable[Point], world: World, kinds: Kinds = MEASURES) -> None:
    """The folders of the runs of `points`, as lrbench would leave them."""
    for point in {point.folder: point for point in points}.values():
        truth = world(point, keys(point))
        write_run(
            point.folder,
            scheduler=point.strategy,
            seed=point.seed,
            diverged_at=STEPS // 2 if truth.diverged else None,
            changes=changes_of(point),
            choices={"model": keys(point).get("model", "resnet8")},
            kinds=kinds,
            result=result_of(point, truth, kinds),
        )
        history = history_of(truth, float(keys(point)["optimizer.lr"]), kinds)
        history.to_csv(point.folder / "history.csv", index=False)


def imagine(
    folder: Path,
    world: World,
    settings: Study | None = None,
    *,
    overrides: tuple[str, ...] = (),
    lrs: tuple[float, ...] = (0.025, 0.05, 0.1, 0.2, 0.4),
    chosen: Mapping[str, float] | None = None,
    kinds: Kinds = MEASURES,
) -> StudyOutcome:
    """A study done in `world`: tuned on its tuning seeds unless `chosen` says what came of it."""
    settings = settings or study()
    names = (*settings.strategies, *settings.references)
    stages = []
    for text in settings.budgets:
        share = float(text.rstrip("%")) / 100
        length = f"{15 * share:g} epochs"

        def point(kind: str, name: str, setting: Setting, seed: int, length: str = length) -> Point:
            knobs = (f"scheduler.{key}={value}" for key, value in setting.knobs.items())
            where = folder / length.replace(" ", "_") / kind / name
            return Point(
                folder=where / f"{setting.label},seed={seed}",
                strategy=name,
                seed=seed,
                overrides=(
                    f"scheduler={name}",
                    f"optimizer.lr={setting.lr!r}",
                    *knobs,
                    f"seed={seed}",
                    f"trainer.length='{length}'",
                ),
            )

        trials = {
            name: tuple(
                _trial(
                    world,
                    Setting(lr=lr),
                    [point("tune", name, Setting(lr=lr), s) for s in settings.tuning_seeds],
                    kinds[0],
                )
                for lr in lrs
            )
            for name in names
        }
        best = {n: max(own, key=lambda trial: trial.goodness).setting for n, own in trials.items()}
        best |= {name: Setting(lr=lr) for name, lr in (chosen or {}).items()}
        default = Setting(lr=0.1)
        final = {
            n: tuple(point("final", n, best[n], s) for s in settings.final_seeds) for n in names
        }
        untuned = {
            n: final[n]
            if best[n] == default
            else tuple(point("untuned", n, default, s) for s in settings.final_seeds)
            for n in (settings.strategies if settings.untuned else ())
        }
        stages.append(
            Stage(
                share=share, length=length, grid=lrs, extensions=(), trials=trials, chosen=best,
                draws=(best,), final=final, untuned=untuned,
                allocation=Allocation(
                    num_seeds=dict.fromkeys(names, len(settings.final_seeds)), dropped={},
                    ended="all seeds are used", alpha=settings.alpha,
                ),
            )
        )  # fmt: skip
    return StudyOutcome(
        folder=folder,
        study=settings,
        overrides=overrides,
        default_lr=0.1,
        choices={"model": "resnet8", "dataset": "digits", "optimizer": "sgd"},
        measure=kinds[0],
        stages=tuple(stages),
    )


def _trial(world: World, setting: Setting, points: list[Point], measure: Measure) -> Trial:
    truths = [world(point, keys(point)) for point in points]
    values = [t.test if t.val is None else t.val for t in truths]
    pairs = zip(values, truths, strict=True)
    scores = [measure.score(value, completed=not t.diverged) for value, t in pairs]
    return Trial(
        setting=setting,
        measure=measure,
        points=tuple(points),
        score=fmean(scores),
        loss=2.3 - 2 * fmean(scores),
        num_diverged=sum(t.diverged for t in truths),
        pruned=False,
    )


def runs_of(
    outcome: StudyOutcome, world: World, claims: Iterable[Any] = guide.CLAIMS
) -> dict[Path, FinishedRun]:
    """The runs of the stages on the final seeds, and those that the guide's `claims` ask for."""
    points = [point for stage in outcome.stages for point in fresh(stage)]
    runs = {point.folder: run_of(point, world, outcome.folder) for point in points}
    if outcome.study.guide is not None:
        for module in claims:
            for point in module.points_of(outcome, runs):
                runs[point.folder] = run_of(point, world, outcome.folder)
    return runs


def steady(world: World, **changes: Any) -> World:
    """`world` with the same changes to every run."""
    return lambda point, given: replace(world(point, given), **changes)
