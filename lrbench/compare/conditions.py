"""What must be equal of two runs to be compared, and in what they differ.

Keys that only steer logging and saving, or say where the run and its data lay, may differ freely.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lrbench.compare.read import FinishedRun
from lrbench.files.reading import plain_text
from lrbench.files.result import split_metric

LR = "optimizer.lr"
SPLIT = "dataset.split_seed"  # swept like the seed: another sample of the same problem
VERSION = "lrbench version"
NOT_COMPARED = (  # logging and saving, and places
    "trainer.checkpoint_interval_seconds",
    "trainer.log_interval",
    "trainer.eval_batch_size",
    "trainer.record_grad_norm",
    "trainer.device",
    "trainer.num_threads",
    "dataset.path",
    "dataset.root",
    "dataset.cache",
    "dataset.download",
)
# Facts of the data, and the settings that explain a difference in them.
DATA_FACTS = {
    "data.digest": ("dataset",),
    "data.steps_per_epoch": ("dataset", "trainer.batch_size", "trainer.accumulate"),
}
CHOICE_GROUPS = ("model", "dataset", "optimizer", "trainer")
UNSET, NOT_RECORDED = "unset", "not recorded"


def settings_of(
    runs: Sequence[FinishedRun], vary: Sequence[str], ignore: Sequence[str], metric: str | None
) -> list[dict[str, Any]]:
    """For each run everything that must be equal to be compared, peak lr apart.

    What a run does not record of the data is not in its settings: it is unknown, not different.
    """
    free = ("scheduler", "seed", SPLIT, LR, *NOT_COMPARED, *vary, *ignore)
    found = []
    for run in runs:
        settings = {k: v for k, v in run.config.items() if not is_named(k, free)}
        if not is_named(VERSION, tuple(ignore)):
            settings[VERSION] = plain_text(run.result.environment.get("lrbench") or "unknown", 80)
        settings["measure"] = _measured(run, metric)
        settings["config"] = "recorded" if run.config else NOT_RECORDED
        found.append(settings)
    for fact, explained_by in DATA_FACTS.items():
        if is_named(fact, (*vary, *ignore)):
            continue
        values = [run.result.data.get(fact.removeprefix("data.")) for run in runs]
        alike: dict[Any, set[Any]] = defaultdict(set)
        for run, value in zip(runs, values, strict=True):
            cause = tuple((k, v) for k, v in run.config.items() if is_named(k, explained_by))
            if isinstance(value, (str, int)):
                alike[cause].add(value)
        if any(len(known) > 1 for known in alike.values()):
            for settings, value in zip(found, values, strict=True):
                settings[fact] = UNSET if value is None else plain_text(value, 80)
    return found


def _measured(run: FinishedRun, metric: str | None) -> str:
    """What must be equal of two runs' measures to be held against each other."""
    measures = run.result.measures
    wanted = split_metric(metric)[1] if metric else measures[0].name
    measure = next((m for m in measures if m.name == wanted), measures[0])
    direction = "higher" if measure.higher_is_better else "lower"
    scale = "" if measure.scale == 1 else f" times {measure.scale:g}"
    return f"{measure.name} ({direction} is better{scale})"


@lru_cache(maxsize=2**16)
def is_named(key: str, names: tuple[str, ...]) -> bool:
    """Whether `key` or a group that it lies in is among `names`."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def conditions(
    runs: Sequence[FinishedRun], settings: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """For each run the settings that vary over the runs, by the group's choice where that is all.

    ``{"model": "resnet20"}`` instead of ``{"model.depth": 20, "model.width": 16}`` where the
    choice's name tells as much as the keys.
    """
    kinds: list[tuple[Any, ...]] = [
        (tuple(said.items()), *(run.choices.get(name, "") for name in CHOICE_GROUPS))
        for run, said in zip(runs, settings, strict=True)
    ]
    distinct = {_typed_kind(kind): kind for kind in kinds}  # few, where there are many seeds
    own: list[dict[str, Any]] = [dict(items) for items, *_ in distinct.values()]
    varying = _varying(own)
    by_choice = {}
    for number, name in enumerate(CHOICE_GROUPS, start=1):
        keys = [key for key in varying if key.startswith(f"{name}.")]
        choices = [kind[number] for kind in distinct.values()]
        together = {
            (choice, *(s.get(key, UNSET) for key in keys))
            for choice, s in zip(choices, own, strict=True)
        }
        if keys and len(together) == len(set(choices)) > 1:
            by_choice[name] = choices
            varying = [key for key in varying if key not in keys]
    found = {
        key: {name: choices[i] for name, choices in by_choice.items()}
        | {name: own[i].get(name, UNSET) for name in varying if _known(name, own[i])}
        for i, key in enumerate(distinct)
    }
    return [found[_typed_kind(kind)] for kind in kinds]


def _typed_kind(kind: tuple[Any, ...]) -> tuple[Any, ...]:
    items, *choices = kind
    return (*((key, typed(value)) for key, value in items), *choices)


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys with more than one value, in the order of the first config."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    found = ((key, [s for s in settings if _known(key, s)]) for key in keys)
    return [k for k, known in found if len({typed(s.get(k, UNSET)) for s in known}) > 1]


def _known(key: str, settings: Mapping[str, Any]) -> bool:
    """Whether a run's `key` is known: it is set, or the recorded config leaves it out."""
    return key in settings or settings.get("config") != NOT_RECORDED


def typed(value: Any) -> Any:
    """1 and True are different settings, 1 and 1.0 are not."""
    return (value, isinstance(value, bool))


def peak_lr(run: FinishedRun) -> float:
    """`optimizer.lr`: what every schedule's factors multiply; NaN if it is no number."""
    try:
        lr = float(run.config.get(LR, math.nan))
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return math.nan if math.isnan(lr) else lr  # one object, for NaN to be equal to itself in sets


def own_settings(run: FinishedRun, vary: Sequence[str]) -> dict[str, Any]:
    """The settings that are part of the run's strategy."""
    return {k: v for k, v in run.config.items() if is_named(k, ("scheduler", *vary))}


def describe(items: Iterable[tuple[str, Any]]) -> str:
    """``lr=0.1, depth=20``: short names of keys, whole ones where short ones clash."""
    items = list(items)
    short = [key.rpartition(".")[2] for key, _ in items]
    return ", ".join(
        f"{name if short.count(name) == 1 else key}={number(value)}"
        for (key, value), name in zip(items, short, strict=True)
    )


def number(value: Any) -> str:
    """Numbers without noise, anything else as it is."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def abridge(values: Sequence[Any], limit: int = 8) -> str:
    """``1, 2, 3``; what exceeds `limit` is counted."""
    shown = ", ".join(map(str, values[:limit]))
    return f"{shown} and {len(values) - limit} more" if len(values) > limit else shown
