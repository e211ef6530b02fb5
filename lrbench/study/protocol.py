"""The protocol itself: tune, then fresh seeds, then the default lr; for each budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Protocol

from lrbench.cli.wording import counted
from lrbench.compare.settings import Margin
from lrbench.files.result import RunResult
from lrbench.study import screen, tune
from lrbench.study.allocation import allocate
from lrbench.study.composed import StudyConfig
from lrbench.study.noise import NoiseFloor, noise_floor
from lrbench.study.records import Point, Screened, Setting, Stage, StudyOutcome, Trial
from lrbench.study.settings import Study
from lrbench.task import Measure
from lrbench.task.measure import POINTS

NOISE = "noise floor"  # the phase that measures it
SHORT = "short runs"  # the phase that forecasts are made from


class StudyError(ValueError):
    """The study cannot go on, and why, in one line."""


class Maker(Protocol):
    """Who makes runs: `lrbench.study.launcher.Launcher`, or the plan's, which makes none."""

    results: dict[Path, RunResult]
    missing: dict[Path, str]

    def run(self, points: Sequence[Point], title: str) -> None:
        """Make the runs of `points` that have no result yet."""


def noise(config: StudyConfig, runs: Maker) -> NoiseFloor | None:
    """Run one setting on a few seeds of its own, and say what the study can resolve."""
    study = config.study
    if not study.noise_seeds:
        return None
    name, setting = study.strategies[0], Setting(lr=config.default_lr)
    _, length = max(config.lengths())
    points = [config.point("noise", name, setting, seed, length) for seed in study.noise_seeds]
    runs.run(points, f"{length}, {NOISE}")
    measure = next(iter(runs.results.values())).measures[0]
    scores = [s for p in points if math.isfinite(s := _score(runs, p, measure))]
    margin = Margin.of(study.margin, measure, fmean(scores) if scores else math.nan)
    num_seeds = len(study.final_seeds)
    return noise_floor(scores, measure, margin, len(study.strategies), num_seeds)


def conduct(config: StudyConfig, runs: Maker, tell: Callable[[str], None]) -> StudyOutcome:
    """Make all runs of the study's stages, and tell what tuning finds on the way.

    Raises:
        StudyError: a strategy or a phase without any result.
    """
    screens: dict[str, Screened] = {}
    if config.study.screen:
        screens = {length: _screened(config, runs, length) for _, length in config.lengths()}
        config = screen.narrowed(config, list(screens.values()))
        for found in screens.values():
            for line in screen.sentences(found, config.study.strategies):
                tell(f"  {line}")
    stages = tuple(
        _stage(config, runs, tell, share, length, screens.get(length))
        for share, length in config.lengths()
    )
    return StudyOutcome(
        folder=config.folder,
        study=config.study,
        overrides=config.overrides,
        default_lr=config.default_lr,
        choices=config.choices,
        measure=next(iter(runs.results.values())).measures[0],
        stages=stages,
    )


def _screened(config: StudyConfig, runs: Maker, length: str) -> Screened:
    """Make the short runs of a budget, and say what need not be trained in full."""
    points: Sequence[Point] = ()
    known = next(iter(runs.results.values()), None)
    if known is None or known.measures[0].name == screen.MEASURE:
        points = screen.short_points(config, length)
        runs.run(points, f"{length}, {SHORT}")
    done = [p for p in points if p.folder in runs.results and runs.results[p.folder].completed]
    found = screen.screened(config, done, length)
    measure = next(iter(runs.results.values())).measures[0]
    if measure.name != screen.MEASURE:
        why = f"laws foretell the loss, and this task is judged by its {measure.label}"
        return replace(found, law="", forecasts=(), unknown=(why,))
    return found


def _stage(
    config: StudyConfig,
    runs: Maker,
    tell: Callable[[str], None],
    share: float,
    length: str,
    screened: Screened | None,
) -> Stage:
    study = config.study
    attempts = _Attempts(config, runs, length)
    if config.tuner == "grid":
        left_out = screened.left_out if screened else ()
        tuned = tune.tune(study, config.default_lr, attempts, left_out)
    else:
        from lrbench.study import optuna_tuner

        tuned = optuna_tuner.tune(study, config.default_lr, attempts)
    for line in _found(tuned):
        tell(line)
    draws = _draws(study, runs, tuned)
    default = Setting(lr=config.default_lr)

    def final(name: str, num_seeds: int) -> tuple[Point, ...]:
        seeds = study.final_seeds[:num_seeds]
        return tuple(
            config.point("final", name, draws[study.draw(seed)][name], seed, length)
            for seed in seeds
        )

    def untuned(name: str, num_seeds: int) -> tuple[Point, ...]:
        own = final(name, num_seeds) if study.untuned else ()
        return tuple(
            point
            if draws[study.draw(point.seed)][name] == default
            else config.point("untuned", name, default, point.seed, length)
            for point in own
        )

    scores: dict[str, list[float]] = {name: [] for name in study.strategies}
    some = next(iter(runs.results.values()))
    measure, size = some.measures[0], some.data.get("test")
    resolution = 1 / size if measure.unit == POINTS and isinstance(size, int) and size else 0.0
    while not (step := allocate(study, scores, measure, resolution)).ended:
        given = dict(step.num_seeds)
        paired_with = given.get("cosine", max(given.values()))  # the guide's claim is about it
        given |= dict.fromkeys(study.references, paired_with)
        asked = [point for name, num in given.items() for point in final(name, num)]
        asked += [point for name in study.strategies for point in untuned(name, given[name])]
        runs.run(asked, f"{length}, fresh seeds")
        for name, num in given.items():
            _require_results(runs, name, final(name, num), "run on fresh seeds")
        scores = {
            name: [_score(runs, point, measure) for point in final(name, given[name])]
            for name in study.strategies
        }
    tell(f"  {step.ended}")
    return Stage(
        share=share,
        length=length,
        grid=tuned.grid,
        extensions=tuned.extensions,
        trials=tuned.trials,
        chosen=tuned.chosen,
        draws=draws,
        final={name: final(name, num) for name, num in given.items()},
        untuned={name: untuned(name, given[name]) for name in study.strategies if study.untuned},
        allocation=step,
        screened=screened,
    )


def _draws(study: Study, runs: Maker, tuned: tune.Tuned) -> tuple[Mapping[str, Setting], ...]:
    """What each draw's own tuning seeds choose, of each strategy and reference."""
    if study.tuning_draws == 1:
        return (tuned.chosen,)
    found = []
    for number in range(study.tuning_draws):
        seeds = study.tuning_seeds[number :: study.tuning_draws]
        chosen = {}
        for name, trials in tuned.trials.items():
            own = [
                rate(t.setting, [p for p in t.points if p.seed in seeds], runs.results, t.measure)
                for t in trials
            ]
            chosen[name] = (
                tune.best(own) if any(t.points for t in own) else tune.best(trials)
            ).setting
        found.append(chosen)
    return tuple(found)


def _score(runs: Maker, point: Point, measure: Measure) -> float:
    """The test value of the run of `point`; NaN where it has none or diverged."""
    result = runs.results.get(point.folder)
    value = result.value(f"test_{measure.name}") if result and result.completed else None
    return math.nan if value is None else value


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
