"""Screening: short runs first, and only what a forecast does not put behind is trained in full.

The laws of `lrbench.forecast` are fitted to a few short runs: at each of some lengths, one for each
peak lr, of one schedule in turn. Their error is that of the longest of these runs, foretold from
the shorter ones. A setting is left out if its forecast is behind the best one by more than the
error of such a difference, in all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from lrbench.cli.wording import counted, listed
from lrbench.compare.find import CompareError
from lrbench.config import duration
from lrbench.forecast import Forecast, ForecastError, Recording, learn
from lrbench.forecast.runs import read_runs
from lrbench.preview.arguments import Arguments
from lrbench.preview.compose import Choice
from lrbench.preview.curve import lay_out
from lrbench.run.parts import build_part
from lrbench.scheduler import Scheduler
from lrbench.study.composed import StudyConfig
from lrbench.study.records import Foretold, Point, Screened, Setting
from lrbench.study.settings import Study, share
from lrbench.study.tune import first_grid

Lrs = Mapping[tuple[str, float], NDArray[np.float64]]  # the lr of every update, by name and peak
MEASURE = "loss"  # what the laws foretell


def short_points(config: StudyConfig, length: str) -> list[Point]:
    """The short runs of the budget `length`, on the first tuning seed."""
    study = config.study
    names = _foretold(config)
    lrs = first_grid(study, config.default_lr)
    lengths = [
        duration.scaled(length, share("screen_lengths", text)) for text in study.screen_lengths
    ]
    return [
        config.point("short", names[(i + j) % len(names)], Setting(lr=lr), _seed(study), short)
        for j, short in enumerate(lengths)
        for i, lr in enumerate(lrs)
        if names
    ]


def screened(config: StudyConfig, points: Sequence[Point], length: str) -> Screened:
    """What `points`, the finished short runs, say of every strategy and reference at every lr."""
    study = config.study
    nothing = Screened(
        num_runs=len(points),
        updates=_updates(study, len(points)),
        law="",
        behind=math.inf,
        risk=share("screen_risk", study.screen_risk),
        forecasts=(),
        unknown=(),
    )
    if not points:
        return replace(nothing, unknown=("there are no short runs that completed",))
    try:
        recorded = read_runs([point.folder for point in points])
        targets = _targets(config, length, recorded.steps_per_epoch or 1)
        return foretell(nothing, recorded.runs, targets, study.references)
    except (ForecastError, CompareError) as error:
        return replace(nothing, unknown=(str(error),))


def foretell(
    nothing: Screened, runs: Sequence[Recording], targets: Lrs, references: Collection[str] = ()
) -> Screened:
    """`nothing`, with the forecasts of `targets` from short `runs`, and which are left out.

    Args:
        references: names that are no candidates, but held against their own best forecast.

    Raises:
        ForecastError: no law can be fitted to the runs.
    """
    forecaster = learn(runs, ahead=True)
    found: dict[tuple[str, float], Forecast] = {}
    unknown = []
    for (name, lr), lrs in targets.items():
        try:
            found[name, lr] = forecaster.forecast(f"{name} at {lr:g}", lrs)
        except ForecastError as error:
            unknown.append(str(error))
    behind = forecaster.least_difference(nothing.risk / max(1, len(found) - 1))
    best = _best(found, references)
    told = [
        Foretold(
            strategy=name,
            lr=lr,
            loss=forecast.final[0],
            low=forecast.final[1],
            high=forecast.final[2],
            left_out=math.log(forecast.final[0] / best[name]) > behind,
        )
        for (name, lr), forecast in found.items()
    ]
    return replace(
        nothing,
        law=forecaster.fit.name,
        behind=behind,
        forecasts=tuple(sorted(told, key=lambda one: one.loss)),
        unknown=tuple(unknown),
    )


def narrowed(config: StudyConfig, found: Sequence[Screened]) -> StudyConfig:
    """`config` without the strategies that are left out at all of their lrs and all budgets."""
    study = config.study
    lrs = first_grid(study, config.default_lr)
    kept = [
        name
        for name in study.strategies
        if any((name, lr) not in one.left_out for one in found for lr in lrs)
    ]
    return replace(config, study=replace(study, strategies=tuple(kept)))


def sentences(found: Screened, strategies: Sequence[str]) -> list[str]:
    """What was foretold and left out, in words.

    Args:
        strategies: those that are trained.
    """
    runs = f"{counted(found.num_runs, 'short run')} ({found.updates:.3g} full lengths of updates)"
    if not found.law:
        return [f"nothing was left out by forecasts: {why}" for why in found.unknown]
    unknown = [f"not foretold, so trained: {why}" for why in found.unknown]
    if not found.left_out:
        return [
            f"nothing was left out after {runs}: by how the {found.law} law erred on the longest "
            f"of them, only what it forecasts more than {100 * found.behind:.2g} % behind could be",
            *unknown,
        ]
    left_out = gone(found, strategies)
    told = (
        f"left out after {runs}, as the {found.law} law forecasts them more than "
        f"{100 * found.behind:.2g} % behind the best: {len(found.left_out)} of "
        f"{counted(len(found.forecasts), 'pair')} of schedule and peak lr"
    )
    if left_out:
        told += f", with them all of {listed(left_out)}"
    told += f"; the best is among them with a chance of {100 * found.risk:g} % at most, if the "
    told += "law errs on full runs as it did on the longest short ones"
    return [told, *unknown]


def gone(found: Screened, strategies: Sequence[str]) -> list[str]:
    """The names that are left out at all of their lrs, and so are not among `strategies`."""
    names = dict.fromkeys(f.strategy for f in found.forecasts)
    return [
        name
        for name in names
        if name not in strategies and all(f.left_out for f in found.forecasts if f.strategy == name)
    ]


def _best(
    found: Mapping[tuple[str, float], Forecast], references: Collection[str]
) -> dict[str, float]:
    """What each name is held against: a reference's own lowest forecast, else all strategies'."""
    finals: dict[str, list[float]] = {}
    for (name, _), forecast in found.items():
        finals.setdefault(name, []).append(forecast.final[0])
    candidates = [value for name, own in finals.items() if name not in references for value in own]
    return {name: min(own if name in references else candidates) for name, own in finals.items()}


def _foretold(config: StudyConfig) -> list[str]:
    """Strategies and references whose lrs are known before they are trained."""
    names = (*config.study.strategies, *config.study.references)
    return [name for name in names if not _scheduler(config, name).reads_losses]


def _scheduler(config: StudyConfig, name: str) -> Scheduler:
    scheduler: Scheduler = build_part(
        config.compose([*config.overrides, f"scheduler={name}"]), "scheduler"
    )
    return scheduler


def _targets(config: StudyConfig, length: str, steps_per_epoch: int) -> Lrs:
    """The lr of every update of each full run that could be trained."""
    arguments = Arguments(steps_per_epoch=steps_per_epoch)
    found = {}
    lrs = first_grid(config.study, config.default_lr)
    for name in _foretold(config):
        point = config.point("tune", name, Setting(lr=lrs[0]), _seed(config.study), length)
        cfg = config.compose(config.words(point))  # once: composing is slow
        for lr in lrs:
            cfg.optimizer.lr = lr
            choice = Choice(name, name, config.choices["dataset"], cfg)
            found[name, lr] = lay_out(choice, arguments, None).lr
    return found


def _updates(study: Study, num_runs: int) -> float:
    """Of so many short runs, in runs of the full length."""
    return num_runs * fmean(share("screen_lengths", text) for text in study.screen_lengths)


def _seed(study: Study) -> int:
    return study.tuning_seeds[0]
