"""The protocol itself: tune, then fresh seeds, then the default lr; for each budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from lrbench.cli.wording import counted
from lrbench.files.result import RunResult
from lrbench.study import tune
from lrbench.study.composed import StudyConfig
from lrbench.study.records import Point, Setting, Stage, StudyOutcome, Trial
from lrbench.task import Measure


class StudyError(ValueError):
    """The study cannot go on, and why, in one line."""


class Maker(Protocol):
    """Who makes runs: `lrbench.study.launcher.Launcher`, or the plan's, which makes none."""

    results: dict[Path, RunResult]
    missing: dict[Path, str]

    def run(self, points: Sequence[Point], title: str) -> None:
        """Make the runs of `points` that have no result yet."""


def conduct(config: StudyConfig, runs: Maker, tell: Callable[[str], None]) -> StudyOutcome:
    """Make all runs of the study's stages, and tell what tuning finds on the way.

    Raises:
        StudyError: a strategy or a phase without any result.
    """
    stages = tuple(_stage(config, runs, tell, share, length) for share, length in config.lengths())
    return StudyOutcome(
        folder=config.folder,
        study=config.study,
        overrides=config.overrides,
        default_lr=config.default_lr,
        choices=config.choices,
        measure=next(iter(runs.results.values())).measures[0],
        stages=stages,
    )


def _stage(
    config: StudyConfig, runs: Maker, tell: Callable[[str], None], share: float, length: str
) -> Stage:
    study = config.study
    tuned = _tuner(config)(study, config.default_lr, _Attempts(config, runs, length))
    for line in _found(tuned):
        tell(line)
    default = Setting(lr=config.default_lr)
    final = {
        name: tuple(config.point("final", name, s, seed, length) for seed in study.final_seeds)
        for name, s in tuned.chosen.items()
    }
    untuned = {
        name: final[name]
        if tuned.chosen[name] == default
        else tuple(
            config.point("untuned", name, default, seed, length) for seed in study.final_seeds
        )
        for name in (study.strategies if study.untuned else ())
    }
    asked = [point for kind in (final, untuned) for points in kind.values() for point in points]
    runs.run(asked, f"{length}, fresh seeds")
    for name, points in final.items():
        _require_results(runs, name, points, "run on fresh seeds")
    return Stage(
        share=share,
        length=length,
        grid=tuned.grid,
        extensions=tuned.extensions,
        trials=tuned.trials,
        chosen=tuned.chosen,
        final=final,
        untuned=untuned,
    )


def _found(tuned: tune.Tuned) -> Iterator[str]:
    """What tuning found, a line for each strategy and reference."""
    width = max(map(len, tuned.chosen))
    for name, setting in tuned.chosen.items():
        trials = tuned.trials[name]
        trial = tune.best(trials)
        diverged = sum(t.num_diverged for t in trials)
        yield (
            f"  {name:{width}}  best at {setting.label.replace(',', ', ')}: validation "
            f"{trial.measure.label} {trial.measure.value(trial.score)}, "
            f"mean of {counted(len(trial.points), 'seed')}, "
            f"of {counted(len(trials), 'trial')}"
            + (f", {counted(diverged, 'run')} diverged" if diverged else "")
        )
    for line in tuned.extensions:
        yield f"  {line}"


def _tuner(config: StudyConfig) -> Any:
    if config.tuner == "optuna":
        from lrbench.study import optuna_tuner

        return optuna_tuner.tune
    return tune.tune


class _Attempts:
    """Trials as `lrbench.study.tune` asks for them, made by runs."""

    def __init__(self, config: StudyConfig, runs: Maker, length: str) -> None:
        self._config = config
        self._runs = runs
        self._length = length
        self._rated: set[str] = set()  # strategies with a result

    def __call__(self, asked: Sequence[tuple[str, Setting]], num_seeds: int) -> list[Trial]:
        seeds = self._config.study.tuning_seeds[:num_seeds]
        of_each = [
            [self._config.point("tune", name, setting, seed, self._length) for seed in seeds]
            for name, setting in asked
        ]
        self._runs.run([p for points in of_each for p in points], f"{self._length}, tuning")
        results = self._runs.results
        trials = [
            rate(setting, points, results, next(iter(results.values())).measures[0])
            for (_, setting), points in zip(asked, of_each, strict=True)
        ]
        self._rated |= {name for (name, _), t in zip(asked, trials, strict=True) if t.points}
        for (name, _), points in zip(asked, of_each, strict=True):
            if name not in self._rated:
                _require_results(self._runs, name, points, "tuning run")
        return trials


def _require_results(runs: Maker, name: str, points: Sequence[Point], what: str) -> None:
    if any(point.folder in runs.results for point in points):
        return
    reason = next((runs.missing[p.folder] for p in points if p.folder in runs.missing), "")
    raise StudyError(f"no {what} of {name} ended in a result: {reason}")


def rate(
    setting: Setting, points: Sequence[Point], results: Mapping[Path, RunResult], measure: Measure
) -> Trial:
    """What the results of `points` say of `setting`, seen on final validation alone."""
    done = [point for point in points if point.folder in results]
    found = [results[point.folder] for point in done]
    metric = f"val_{measure.name}"
    scores = [measure.score(run.value(metric), completed=run.completed) for run in found]
    losses = [run.value("val_loss") for run in found if run.completed]
    known = [loss for loss in losses if loss is not None]
    return Trial(
        setting=setting,
        measure=measure,
        points=tuple(done),
        score=fmean(scores) if scores else math.nan,
        loss=fmean(known) if known else math.nan,
        num_diverged=sum(not run.completed for run in found),
        pruned=False,
    )
