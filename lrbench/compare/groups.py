"""Which runs may be compared with which: strategies, groups, and what is uneven about them.

Two runs are comparable if their configs differ in the strategy and the seed alone. Everything
under ``scheduler`` is the strategy. Other keys that vary split the runs into groups, each compared
within itself:

- so do the model, the dataset, the length and lrbench's version;
- `optimizer.lr` is the exception: where every strategy was run at several peak lrs they form one
  group, each strategy standing there at the lr that is best for it on validation;
- keys named in `vary` are part of the strategy (a study that tuned ``optimizer.lr`` elsewhere).

Keys that only steer logging and saving may differ freely.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrbench.compare.read import Problem, Run

LR = "optimizer.lr"
VERSION = "lrbench version"
FREE = (
    "trainer.checkpoint_interval_seconds",
    "trainer.log_interval",
    "trainer.eval_batch_size",
    "trainer.record_grad_norm",
)
CHOICE_GROUPS = ("model", "dataset", "optimizer", "trainer")
UNSET = "unset"


@dataclass(frozen=True)
class Member:
    """A run in its group: under the name of its strategy, at its peak lr."""

    run: Run
    strategy: str
    lr: float


@dataclass(frozen=True)
class Group:
    """Runs that may be compared.

    Attributes:
        condition: what sets this group apart from the others; empty where there is one group.
        lr_sweep: every strategy was run at several peak lrs.
        notes: what is uneven inside it.
    """

    condition: Mapping[str, Any]
    members: tuple[Member, ...]
    lr_sweep: bool
    notes: tuple[Problem, ...]

    @property
    def label(self) -> str:
        """``dataset=mnist, depth=20``; empty where there is one group."""
        return describe(self.condition.items())

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies, sorted."""
        return sorted({member.strategy for member in self.members})


def split(runs: Sequence[Run], vary: Sequence[str] = ()) -> tuple[list[Group], list[Problem]]:
    """Sort `runs` into groups, largest first; the notes say plainly what was not put together.

    Args:
        vary: config keys that belong to the strategy besides ``scheduler``.
    """
    settings = [_settings(run, vary) for run in runs]
    conditions = _conditions(runs, settings)
    notes = []
    parts: dict[tuple[Any, ...], list[Run]] = defaultdict(list)
    for run, condition in zip(runs, conditions, strict=True):
        parts[tuple(condition.items())].append(run)
    groups = []
    for key, part in parts.items():
        for lr_key, members in _split_by_lr(part, vary):
            condition = {**dict(key), **lr_key}
            groups.append(together(condition, members, vary))
    groups.sort(key=lambda group: (-len(group.members), group.label))
    if len(groups) > 1:
        keys = list(dict.fromkeys(key for group in groups for key in group.condition))
        notes.append(
            Problem("", f"runs that differ in {', '.join(keys)} are not compared with each other: "
            f"{len(groups)} groups, each compared within itself")
        )  # fmt: skip
        alone = [g for g in groups if len(g.strategies) == 1]
        if alone and len({s for g in groups for s in g.strategies}) > 1:
            what = "; ".join(f"{g.strategies[0]} ({g.label})" for g in alone[:4])
            more = f" and {len(alone) - 4} more" if len(alone) > 4 else ""
            hints = " ".join(f"--vary {k}" for k in keys if k != VERSION)
            notes.append(
                Problem("", f"alone in its group, so compared with nothing: {what}{more}; where "
                f"such a key is meant to be part of the strategy, say so: {hints or '--vary KEY'}")
            )  # fmt: skip
    return groups, notes


def _settings(run: Run, vary: Sequence[str]) -> dict[str, Any]:
    """Everything that must be equal for two runs to be compared, peak lr apart."""
    settings = {
        key: value
        for key, value in run.config.items()
        if not key.startswith("scheduler.")
        and key not in (LR, "seed", "scheduler", *FREE)
        and not _is_varied(key, vary)
    }
    environment = run.result.get("environment")
    version = environment.get("lrbench") if isinstance(environment, Mapping) else None
    return {**settings, VERSION: version or "unknown"}


def _is_varied(key: str, vary: Sequence[str]) -> bool:
    """Whether `key` or a group that it lies in is named in `vary`."""
    return any(key == name or key.startswith(f"{name}.") for name in vary)


def _conditions(runs: Sequence[Run], settings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each run the settings that vary over the runs, by the group's choice where that is all.

    ``{"model": "resnet20"}`` instead of ``{"model.depth": 20, "model.width": 16}`` where the
    choice's name tells as much as the keys.
    """
    varying = _varying(settings)
    by_choice = {}
    for name in CHOICE_GROUPS:
        keys = [key for key in varying if key.startswith(f"{name}.")]
        if not keys:
            continue
        choices = [run.choices.get(name, "") for run in runs]
        together = {
            (choice, *(s.get(key, UNSET) for key in keys))
            for choice, s in zip(choices, settings, strict=True)
        }
        if len(together) == len(set(choices)) > 1:
            by_choice[name] = choices
            varying = [key for key in varying if key not in keys]
    return [
        {
            **{name: choices[i] for name, choices in by_choice.items()},
            **{key: setting.get(key, UNSET) for key in varying},
        }
        for i, setting in enumerate(settings)
    ]


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys with more than one value, in the order of the first config."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    return [key for key in keys if len({_typed(s.get(key, UNSET)) for s in settings}) > 1]


def _typed(value: Any) -> Any:
    """1 and True are different settings, 1 and 1.0 are not."""
    return (value, isinstance(value, bool))


def _split_by_lr(
    runs: Sequence[Run], vary: Sequence[str]
) -> list[tuple[dict[str, Any], list[Run]]]:
    """One part where the lr is shared, swept or part of the strategy; else one part per lr."""
    if _is_varied(LR, vary):
        return [({}, list(runs))]
    lrs = defaultdict(set)
    for run in runs:
        lrs[_strategy_key(run, vary)].add(peak_lr(run))
    everything = set().union(*lrs.values())
    if len(everything) == 1 or all(len(found) > 1 for found in lrs.values()):
        return [({}, list(runs))]
    return [({LR: lr}, [r for r in runs if peak_lr(r) == lr]) for lr in sorted(everything)]


def peak_lr(run: Run) -> float:
    """`optimizer.lr`: what every schedule's factors multiply; NaN if it is no number."""
    try:
        return float(run.config.get(LR, math.nan))
    except (TypeError, ValueError):
        return math.nan


def _strategy_key(run: Run, vary: Sequence[str]) -> tuple[Any, ...]:
    own = ((k, _typed(v)) for k, v in run.config.items() if k.startswith("scheduler."))
    varied = ((k, _typed(v)) for k, v in run.config.items() if _is_varied(k, vary))
    return (run.scheduler, *own, *varied)


def together(condition: Mapping[str, Any], runs: Sequence[Run], vary: Sequence[str]) -> Group:
    """`runs`, which may be compared, as one group; see `split` for `vary`."""
    names = _strategy_names(runs, vary)
    members: list[Member] = []
    notes: list[Problem] = []
    first: dict[tuple[str, float, int], Run] = {}
    for run in runs:
        member = Member(run, names[_strategy_key(run, vary)], peak_lr(run))
        twin = first.setdefault((member.strategy, member.lr, run.seed), run)
        if twin is run:
            members.append(member)
        else:
            notes.append(Problem(run.name, f"repeats {twin.name}: the first one counts"))
    lr_sweep = not _is_varied(LR, vary) and len({m.lr for m in members}) > 1
    notes += _uneven(members, lr_sweep)
    members.sort(key=lambda m: (m.strategy, m.lr, m.run.seed))
    return Group(condition, tuple(members), lr_sweep, tuple(notes))


def _strategy_names(runs: Sequence[Run], vary: Sequence[str]) -> dict[tuple[Any, ...], str]:
    """A name per strategy: the choice's, with the keys that tell its variants apart."""
    variants: dict[str, dict[tuple[Any, ...], Run]] = defaultdict(dict)
    for run in runs:
        variants[run.scheduler].setdefault(_strategy_key(run, vary), run)
    names = {}
    for scheduler, found in variants.items():
        if len(found) == 1:
            names[next(iter(found))] = scheduler
            continue
        own = [
            {
                k: v
                for k, v in run.config.items()
                if k.startswith("scheduler.") or _is_varied(k, vary)
            }
            for run in found.values()
        ]
        varying = _varying(own)
        for key, config in zip(found, own, strict=True):
            what = describe((k, config.get(k, UNSET)) for k in varying)
            names[key] = f"{scheduler} ({what})"
    return names


def _uneven(members: Sequence[Member], lr_sweep: bool) -> list[Problem]:
    """Seeds and peak lrs that some strategies have and others lack; differing hardware."""
    notes = []
    seeds: dict[tuple[str, float], set[int]] = defaultdict(set)
    lrs: dict[str, set[float]] = defaultdict(set)
    for member in members:
        seeds[member.strategy, member.lr].add(member.run.seed)
        lrs[member.strategy].add(member.lr)
    every = set().union(*seeds.values())
    for (strategy, lr), found in seeds.items():
        if missing := sorted(every - found):
            at = f" at lr={number(lr)}" if lr_sweep else ""
            notes.append(
                Problem(strategy, f"lacks seed {abridge(missing)}{at}: pairs use common seeds only")
            )
    if lr_sweep:
        for strategy, tried in lrs.items():
            if lost := sorted(set().union(*lrs.values()) - tried):
                values = abridge([number(lr) for lr in lost])
                notes.append(
                    Problem(strategy, f"was not run at lr={values}, as others were: unequal tuning")
                )
    for fact, what, consequence in (
        ("device", "on different hardware", "compare no seconds"),
        ("precision", "in different precisions", "a difference may be theirs"),
    ):
        told = {
            str(e[fact])
            for m in members
            if isinstance(e := m.run.result.get("environment"), Mapping) and fact in e
        }
        if len(told) > 1:
            notes.append(Problem("", f"run {what} ({'; '.join(sorted(told))}): {consequence}"))
    return notes


def chance_accuracy(members: Sequence[Member]) -> tuple[float, str]:
    """Accuracy of guessing, and where the number is from.

    One over the number of classes: as result.json gives it, else from the first training loss,
    which is about ln(classes) for a network that knows nothing yet.
    """
    recorded = {m.run.result.get("measures", {}).get("accuracy", {}).get("guess") for m in members}
    if len(recorded) == 1 and (guess := recorded.pop()):
        return guess, f"{round(1 / guess)} classes"
    firsts = []
    for member in members:
        history = member.run.history
        if history is not None and len(losses := history["train_loss"].dropna()):
            firsts.append(losses.iloc[0])
    if not firsts:
        return 0.0, "unknown, taken as 0"
    classes = max(2, round(math.exp(min(float(np.median(firsts)), 12.0))))
    return 1 / classes, "from the first training loss"


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
