"""A few knots tuned by Optuna on short runs, beside the named schedules on the same ones."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lrbench.cli.mistakes import load_optuna
from lrbench.cli.sweep_folders import quoted
from lrbench.compare.find import find
from lrbench.compare.read import collect
from lrbench.config import ConfigError, duration, trust
from lrbench.forecast.arguments import Request
from lrbench.preview.compose import Choice, compose
from lrbench.search.written import Searched, own_words, train
from lrbench.task import Measure

BATCH = 4  # trials that are asked for before any of them is told
DROP = (0.0, 1.0)  # of a knot, as a share of the one before


@dataclass(frozen=True, kw_only=True)
class Short:
    """Short runs of one problem.

    Attributes:
        words: overrides of all of them.
        positions: of the knots.
        warmup: duration, a share of the run.
    """

    words: tuple[str, ...]
    positions: tuple[str, ...]
    warmup: str
    folder: Path

    def run(
        self, name: str, words: Sequence[str], num_runs: int
    ) -> dict[str, tuple[float, Measure]]:
        """The final validation value of each run of a sweep, by its schedule or its values.

        A run that diverged counts as NaN.

        Raises:
            ConfigError: a run failed.
        """
        folder = self.folder / name
        wrong = train(
            ["-m", *self.words, *words, f"hydra.sweep.dir={quoted(str(folder))}"],
            folder.with_suffix(".log"),
        )
        if wrong and not folder.is_dir():
            raise ConfigError(f"the short runs failed: {wrong}")
        found = {}
        for run in collect(find([folder])).runs:
            measure = run.result.measures[0]
            value = run.result.value(f"val_{measure.name}") if run.completed else None
            key = str(run.choices.get("scheduler"))
            if key == "piecewise":
                key = _key(run.config["scheduler.values"])
            found[key] = (math.nan if value is None else value, measure)
        if len(found) < num_runs:
            raise ConfigError(f"{num_runs - len(found)} of {num_runs} short runs failed: {wrong}")
        return found

    def shapes(self, shapes: Sequence[Sequence[float]]) -> list[str]:
        """The words of a sweep of piecewise schedules with these `values`."""
        values = ",".join(f"[{_key(values)}]" for values in shapes)
        own = any(word.startswith("scheduler.warmup=") for word in self.words)
        return [
            "scheduler=piecewise",
            *([] if own else [f"scheduler.warmup={self.warmup}"]),
            f"scheduler.positions=[{','.join(self.positions)}]",
            f"scheduler.values={values}",
        ]


def search(request: Request, *, knots: int, trials: int, short: float) -> Searched:
    """The best of `trials` shapes with `knots` points, on runs of the share `short` of the length.

    The first trials are a straight line and a fall over the last fifth, a quarter is drawn at
    random, the others by TPE (Bergstra et al. 2011). All runs have the same seed.

    Raises:
        ConfigError: Optuna is not installed, the command does not say one lr and one length, or a
            run failed.
    """
    folder = request.output
    assert folder is not None
    choices = _choices(request)
    lr, length = str(choices[0].cfg.optimizer.lr), str(choices[0].cfg.trainer.length)
    warmup = _warmup(choices[0])
    at = np.linspace(float(warmup.rstrip("%")), 100, knots)
    words = own_words(request.overrides)
    own = (*words, f"optimizer.lr={lr}", f"trainer.length='{duration.scaled(length, short)}'")
    runs = Short(
        words=(*own, "seed=1000", *trust.words()),
        positions=tuple(f"{p:.6g}%" for p in at),
        warmup=warmup,
        folder=folder / "short",
    )
    names = [choice.name for choice in choices]
    named = runs.run("named", [f"scheduler={','.join(names)}"], len(names))
    measure = next(iter(named.values()))[1]
    worst = -math.inf
    ranked = sorted(
        names,
        key=lambda n: worst if math.isnan(v := named[n][0]) else measure.sign * v,
        reverse=True,
    )
    tried = _tried(runs, knots, trials)
    best = max(tried, key=lambda values: tried[values])
    told = [
        f"Best of {len(tried)} shapes on runs of {duration.scaled(length, short)}: validation "
        f"{measure.label} {measure.value(measure.sign * tried[best])}; "
        + ", ".join(f"{n} {measure.value(named[n][0])}" for n in ranked)
        + ".",
    ]
    return Searched(
        values=best,
        positions=runs.positions,
        warmup=warmup,
        start=float(choices[0].cfg.scheduler.get("warmup_start_factor", 0.0)),
        told=told,
        rival=ranked[0],
        words=words,
        lr=lr,
        length=length,
    )


def _tried(runs: Short, knots: int, trials: int) -> dict[tuple[float, ...], float]:
    """Each shape that was tried and did not diverge, and its goodness."""
    optuna = load_optuna("by=trials")
    num_random = max(2, trials // 4)
    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=num_random + 2)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    done = np.linspace(0, 1, knots)
    for start in (1 - done, np.minimum(1, (1 - done) / 0.2)):
        ratios = np.divide(start[1:], start[:-1], out=np.zeros(knots - 1), where=start[:-1] > 0)
        study.enqueue_trial({f"drop{k}": float(1 - ratio) for k, ratio in enumerate(ratios)})
    tried: dict[tuple[float, ...], float] = {}
    made = 0
    while made < trials:
        size = min(BATCH if made else num_random + 2, trials - made)
        asked = [study.ask() for _ in range(size)]
        shapes = [_values(trial, knots) for trial in asked]
        distinct = list(dict.fromkeys(shapes))
        found = runs.run(f"trials_{made}", runs.shapes(distinct), len(distinct))
        made += size
        for trial, values in zip(asked, shapes, strict=True):
            value, measure = found[_key(values)]
            if math.isnan(value):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            tried[values] = measure.sign * value
            study.tell(trial, measure.sign * value)
    if not tried:
        raise ConfigError("every trial diverged: lower optimizer.lr")
    return tried


def _values(trial: Any, knots: int) -> tuple[float, ...]:
    """Factors, from 1 on: each is the one before, less a share of it."""
    drops = [trial.suggest_float(f"drop{k}", *DROP) for k in range(knots - 1)]
    return tuple(float(f"{v:.3g}") for v in np.cumprod([1.0, *(1 - d for d in drops)]))


def _key(values: Any) -> str:
    return ",".join(f"{float(value):g}" for value in values)


def _choices(request: Request) -> list[Choice]:
    """The named schedules, composed; all at one lr and of one length."""
    from lrbench.config import CONF

    choices = compose(request.overrides, conf=CONF, config_dir=request.config_dir)
    for key in ("optimizer.lr", "trainer.length"):
        group, _, name = key.partition(".")
        values = {str(choice.cfg[group][name]) for choice in choices}
        if len(values) > 1:
            raise ConfigError(f"{key}={','.join(sorted(values))}: by=trials takes one: name it")
    if len({choice.name for choice in choices}) < len(choices):
        raise ConfigError("by=trials varies the schedule alone: name each other key's one value")
    return choices


def _warmup(choice: Choice) -> str:
    text = str(choice.cfg.scheduler.get("warmup", "0%"))
    amount, unit = duration.parse(text)
    if amount == 0:
        return "0%"
    if unit != "%":
        raise ConfigError(
            f"scheduler.warmup={shlex.quote(text)}: short runs need it as a share of the run: "
            "scheduler.warmup=5%"
        )
    return f"{amount:g}%"
