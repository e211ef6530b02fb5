"""Tuning by grid: every strategy at the same peak lrs, the best of each chosen on validation.

The decisions are functions of trials alone: nothing here knows how a trial is made.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product

from lrbench.compare.preference import preference
from lrbench.study.records import Setting, Trial
from lrbench.study.settings import GRID_RATIO, Study

# Makes trials, all in one batch: (strategy, setting) on so many of the tuning seeds, the first.
Attempt = Callable[[Sequence[tuple[str, Setting]], int], Sequence[Trial]]


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What tuning found; the fields are those of `lrbench.study.records.Stage`."""

    grid: tuple[float, ...]
    extensions: tuple[str, ...]
    trials: Mapping[str, tuple[Trial, ...]]
    chosen: Mapping[str, Setting]


def tune(
    study: Study, default_lr: float, attempt: Attempt, skip: Collection[tuple[str, float]] = ()
) -> Tuned:
    """Try every strategy and reference on one grid, then spend the knob trials.

    Where some strategy is best at an edge of the grid, the grid is extended there by one lr for
    all. It is not for the guide's references, which are not candidates.

    Args:
        skip: names and lrs of the first grid that are not tried.
    """
    names = (*study.strategies, *study.references)
    num_seeds = len(study.tuning_seeds)
    trials: dict[str, list[Trial]] = {name: [] for name in names}

    def add(asked: Sequence[tuple[str, Setting]]) -> None:
        for (name, _), trial in zip(asked, attempt(asked, num_seeds), strict=True):
            trials[name].append(trial)

    lrs = first_grid(study, default_lr)
    add([(name, Setting(lr=lr)) for name in names for lr in lrs if (name, lr) not in skip])
    extensions: list[str] = []
    while len(extensions) < study.max_extensions:
        low, high = (at_edge(study.strategies, trials, end) for end in (lrs[0], lrs[-1]))
        if not low and not high:
            break
        new = outwards(lrs, low=bool(low))
        end, whose = (lrs[0], low) if low else (lrs[-1], high)
        extensions.append(f"the grid grew to lr {new:g}: {_list(whose)} best at lr {end:g}")
        lrs = sorted([*lrs, new])
        add([(name, Setting(lr=new)) for name in names])
    extensions += _at_the_end(study, trials, lrs)
    if study.knob_trials:
        asked = [
            (name, setting)
            for name in names
            for setting in knob_settings(study, name, best(trials[name]).setting.lr, lrs)
        ]
        add(asked)
    return Tuned(
        grid=tuple(lrs),
        extensions=tuple(extensions),
        trials={name: tuple(found) for name, found in trials.items()},
        chosen={name: best(found).setting for name, found in trials.items()},
    )


def first_grid(study: Study, default_lr: float) -> list[float]:
    """The peak lrs that tuning begins with, ascending."""
    return sorted(study.lrs or grid(default_lr, study.num_trials))


def grid(default_lr: float, num_lrs: int) -> list[float]:
    """`num_lrs` lrs a factor of 2 apart, with `default_lr` in the middle (or just above it)."""
    powers = range(-(num_lrs // 2), num_lrs - num_lrs // 2)
    return [default_lr if not p else _rounded(default_lr * GRID_RATIO**p) for p in powers]


def outwards(lrs: Sequence[float], *, low: bool) -> float:
    """The next lr beyond an end of the ascending `lrs`, as far as the end is from its neighbour."""
    if len(lrs) == 1:
        return _rounded(lrs[0] / GRID_RATIO if low else lrs[0] * GRID_RATIO)
    return _rounded(lrs[0] ** 2 / lrs[1] if low else lrs[-1] ** 2 / lrs[-2])


def best(trials: Sequence[Trial]) -> Trial:
    """The trial to choose: of those with all their seeds, the one that `preference` puts first."""
    rated = [t for t in trials if not t.pruned and not math.isnan(t.score)]
    whole = max(len(t.points) for t in rated)
    return min(
        (t for t in rated if len(t.points) == whole),
        key=lambda t: preference(t.measure, t.score, t.loss, t.setting.lr),
    )


def at_edge(names: Sequence[str], trials: Mapping[str, Sequence[Trial]], end: float) -> list[str]:
    """Those of `names` that are best at the lr `end`."""
    return [name for name in names if best(trials[name]).setting.lr == end]


def knob_settings(study: Study, name: str, lr: float, lrs: Sequence[float]) -> list[Setting]:
    """The knob trials of one strategy: values of its knobs at its best `lr`, else lrs in between.

    From the product of its knobs' values, drawn without replacement where there are more than
    trials (by a fixed seed, so that a repeated command draws the same); where there are fewer, the
    rest goes to lrs between `lr` and its neighbours.
    """
    knobs = study.knobs.get(name, {})
    combinations = [dict(zip(knobs, values, strict=True)) for values in product(*knobs.values())]
    combinations = [c for c in combinations if c]
    if len(combinations) > study.knob_trials:
        combinations = random.Random(0).sample(combinations, study.knob_trials)
    settings = [Setting(lr=lr, knobs=c) for c in combinations]
    fine = (value for value in between(lr) if value not in lrs)
    return settings + [Setting(lr=v) for v in islice(fine, study.knob_trials - len(settings))]


def between(lr: float) -> Iterator[float]:
    """lrs round `lr`, ever finer: times √2, by √2, times 2^¼, by 2^¼, times 2^¾, …"""
    parts = 2
    while True:
        for part in range(1, parts, 2):
            factor = GRID_RATIO ** (part / parts)
            yield _rounded(lr * factor)
            yield _rounded(lr / factor)
        parts *= 2


def _at_the_end(
    study: Study, trials: Mapping[str, Sequence[Trial]], lrs: Sequence[float]
) -> Iterator[str]:
    """What is still best at an edge, in words."""
    most = study.max_extensions
    for name in (*study.strategies, *study.references):
        chosen = best(trials[name])
        if chosen.diverged:
            yield f"{name} diverged at every lr from {lrs[0]:g} to {lrs[-1]:g}"
            continue
        if chosen.setting.lr not in (lrs[0], lrs[-1]):
            continue
        limit = f"max_extensions={most}"
        if name in study.references:
            limit = "the grid is not extended for the guide's references"
        yield f"{name} is best at the grid's edge, lr {chosen.setting.lr:g} ({limit})"


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}"


def _rounded(lr: float) -> float:
    """To six digits, as folders name it."""
    return float(f"{lr:.6g}")
