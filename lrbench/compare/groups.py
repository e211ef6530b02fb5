"""Which runs may be compared with which: strategies, groups, and what is uneven about them.

Two runs are comparable if their configs differ in the strategy and the seed alone. Everything
under ``scheduler`` is the strategy; ``dataset.split_seed`` may be swept as the seed is, for another
split is another sample of the same problem. Other keys that vary split the runs into groups, each
compared within itself:

- so do the model, the dataset and the data themselves, the length and lrbench's version;
- `optimizer.lr` is the exception: where every strategy was run at several peak lrs they form one
  group, each strategy standing there at the lr that is best for it on validation;
- keys named in `vary` are part of the strategy (a study that tuned ``optimizer.lr`` elsewhere).

Keys that only steer logging and saving, or say where the run and its data lay, may differ freely,
and so may those named in `ignore`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lrbench.cli.wording import counted
from lrbench.compare.find import CompareError
from lrbench.compare.read import FinishedRun, Problem
from lrbench.compare.settings import X
from lrbench.config.duration import COUNTED
from lrbench.files.reading import plain_text
from lrbench.files.result import split_metric
from lrbench.task.measure import Measure

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


@dataclass(frozen=True)
class Member:
    """A run in its group: under the name of its strategy, at its peak lr."""

    run: FinishedRun
    strategy: str
    lr: float


@dataclass(frozen=True)
class Group:
    """Runs that may be compared.

    Attributes:
        condition: what sets this group apart from the others; empty where there is one group.
        lr_sweep: every strategy was run at several peak lrs.
        notes: what is uneven inside it.
        unknown: what its runs do not record, and what cannot be claimed therefore, in sentences.
        axis: column of history.csv that curves are drawn over: ``step``, or ``epoch`` where the
            runs' lengths in updates differ, or the one that was asked for.
    """

    condition: Mapping[str, Any]
    members: tuple[Member, ...]
    lr_sweep: bool
    notes: tuple[Problem, ...]
    unknown: tuple[str, ...] = ()
    axis: str = "step"

    @property
    def paired(self) -> bool:
        """Whether equal seeds mean equal initial weights and batches in all its runs."""
        return all(member.run.result.paired is True for member in self.members)

    @property
    def unit(self) -> str:
        """What its runs' batches hold: ``images``; empty where unknown."""
        return self.members[0].run.result.unit

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures of its runs; the first is the primary one."""
        return self.members[0].run.result.measures

    @property
    def label(self) -> str:
        """``dataset=mnist, depth=20``; empty where there is one group."""
        return describe(self.condition.items())

    @property
    def strategies(self) -> list[str]:
        """Names of the strategies, sorted."""
        return sorted({member.strategy for member in self.members})


def split(
    runs: Sequence[FinishedRun],
    vary: Sequence[str] = (),
    ignore: Sequence[str] = (),
    metric: str | None = None,
    x: str | None = None,
) -> tuple[list[Group], list[Problem]]:
    """Sort `runs` into groups, largest first; the notes say plainly what was not put together.

    Args:
        vary: config keys that belong to the strategy besides ``scheduler``.
        ignore: config keys that may differ, and groups of them.
        metric: what they are compared by; None: their primary measure.
        x: see `together`.
    """
    conditions = _conditions(runs, _settings(runs, vary, ignore, metric))
    notes = []
    parts: dict[tuple[Any, ...], list[FinishedRun]] = defaultdict(list)
    for run, condition in zip(runs, conditions, strict=True):
        parts[tuple(condition.items())].append(run)
    groups = []
    for key, part in parts.items():
        for lr_key, members in _split_by_lr(part, vary, ignore):
            groups.append(together({**dict(key), **lr_key}, members, vary, name_varied=True, x=x))
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
            hints = " ".join(f"vary={k}" for k in keys if k != VERSION)
            notes.append(
                Problem("", f"alone in its group, so compared with nothing: {what}{more}; where "
                f"such a key is meant to be part of the strategy, say so: {hints or 'vary=KEY'} "
                "(or ignore=KEY where it does not matter)")
            )  # fmt: skip
    return groups, notes


def _settings(
    runs: Sequence[FinishedRun], vary: Sequence[str], ignore: Sequence[str], metric: str | None
) -> list[dict[str, Any]]:
    """For each run everything that must be equal to be compared, peak lr apart.

    What a run does not record of the data is not in its settings: it is unknown, not different.
    """
    free = ("scheduler", "seed", SPLIT, LR, *NOT_COMPARED, *vary, *ignore)
    found = []
    for run in runs:
        settings = {k: v for k, v in run.config.items() if not _is_named(k, free)}
        if not _is_named(VERSION, ignore):
            settings[VERSION] = plain_text(run.result.environment.get("lrbench") or "unknown", 80)
        settings["measure"] = _measured(run, metric)
        settings["config"] = "recorded" if run.config else NOT_RECORDED
        found.append(settings)
    for fact, explained_by in DATA_FACTS.items():
        if _is_named(fact, (*vary, *ignore)):
            continue
        values = [run.result.data.get(fact.removeprefix("data.")) for run in runs]
        alike: dict[Any, set[Any]] = defaultdict(set)
        for run, value in zip(runs, values, strict=True):
            cause = tuple((k, v) for k, v in run.config.items() if _is_named(k, explained_by))
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


def _is_named(key: str, names: Collection[str]) -> bool:
    """Whether `key` or a group that it lies in is among `names`."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _conditions(
    runs: Sequence[FinishedRun], settings: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
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
            **{key: setting.get(key, UNSET) for key in varying if _known(key, setting)},
        }
        for i, setting in enumerate(settings)
    ]


def _varying(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys with more than one value, in the order of the first config."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting))
    found = ((key, [s for s in settings if _known(key, s)]) for key in keys)
    return [k for k, known in found if len({_typed(s.get(k, UNSET)) for s in known}) > 1]


def _known(key: str, settings: Mapping[str, Any]) -> bool:
    """Whether a run says `key`, be it by leaving it out of the config that it recorded."""
    return key in settings or settings.get("config") != NOT_RECORDED


def _typed(value: Any) -> Any:
    """1 and True are different settings, 1 and 1.0 are not."""
    return (value, isinstance(value, bool))


def _split_by_lr(
    runs: Sequence[FinishedRun], vary: Sequence[str], ignore: Sequence[str]
) -> list[tuple[dict[str, Any], list[FinishedRun]]]:
    """One part where the lr is shared, swept or part of the strategy; else one part per lr."""
    if _is_named(LR, (*vary, *ignore)):
        return [({}, list(runs))]
    lrs = defaultdict(set)
    for run in runs:
        lrs[_strategy_key(run, vary)].add(peak_lr(run))
    everything = set().union(*lrs.values())
    if len(everything) == 1 or all(len(found) > 1 for found in lrs.values()):
        return [({}, list(runs))]
    return [({LR: lr}, [r for r in runs if peak_lr(r) == lr]) for lr in sorted(everything)]


def peak_lr(run: FinishedRun) -> float:
    """`optimizer.lr`: what every schedule's factors multiply; NaN if it is no number."""
    try:
        lr = float(run.config.get(LR, math.nan))
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return math.nan if math.isnan(lr) else lr  # one object, for NaN to be equal to itself in sets


def _own(run: FinishedRun, vary: Sequence[str]) -> dict[str, Any]:
    """The settings that are part of the run's strategy."""
    return {k: v for k, v in run.config.items() if _is_named(k, ("scheduler", *vary))}


def _strategy_key(run: FinishedRun, vary: Sequence[str]) -> tuple[Any, ...]:
    return (run.strategy, *((k, _typed(v)) for k, v in _own(run, vary).items()))


def together(
    condition: Mapping[str, Any],
    runs: Sequence[FinishedRun],
    vary: Sequence[str],
    *,
    name_varied: bool = False,
    x: str | None = None,
) -> Group:
    """`runs`, which may be compared, as one group; see `split` for `vary`.

    Args:
        name_varied: whether every strategy's name holds the keys of `vary`, not only those of
            strategies that would have the same name otherwise.
        x: what curves are drawn over, as `lrbench.compare.settings.X` names it; None: as fits.

    Raises:
        CompareError: a run's history does not say it.
    """
    names = _strategy_names(runs, vary, name_varied)
    swept = not _is_named(LR, vary) and len({peak_lr(run) for run in runs}) > 1
    members: list[Member] = []
    notes: list[Problem] = []
    first: dict[tuple[Any, ...], FinishedRun] = {}
    for run in runs:
        member = Member(run, names[_strategy_key(run, vary)], peak_lr(run))
        twin = first.setdefault((member.strategy, member.lr, run.seed, run.config.get(SPLIT)), run)
        if twin is run:
            members.append(member)
        else:
            notes.append(Problem(run.name, f"repeats {twin.name}: the first one counts"))
    axis, trouble = _axis(members, x)
    notes += [*_uneven(members, swept), *trouble]
    members.sort(key=lambda m: (m.strategy, m.lr, m.run.seed, str(m.run.config.get(SPLIT))))
    return Group(
        condition, tuple(members), swept, tuple(notes), tuple(_unknown(members)), axis=axis
    )


def _axis(members: Sequence[Member], x: str | None) -> tuple[str, list[Problem]]:
    """What to draw curves over, and what to say where they end at different places."""
    runs = [member.run for member in members if member.run.completed]
    lengths = {run.result.steps for run in runs}
    notes = [
        Problem(run.name, f"its history.csv ends at update {last:.0f} of {run.result.steps}")
        for run in runs
        if run.history is not None
        and (last := run.history["step"].max() if len(run.history) else 0) != run.result.steps
    ]
    if x is not None:
        for run in (member.run for member in members):
            says = run.history is None or run.history.get(X[x], default=pd.Series()).notna().any()
            if not says or (x in COUNTED and run.result.unit != x):
                raise CompareError(f"x={x}: {run.name} does not record it: compare over updates")
        return X[x], notes
    if len(lengths) < 2:
        return "step", notes
    told = " and ".join(f"{length:,}" for length in sorted(lengths)[:4])
    histories = [m.run.history for m in members if m.run.history is not None]
    if all("epoch" in history and history["epoch"].notna().all() for history in histories):
        what = "curves, targets and phases are in epochs"
        return "epoch", [*notes, Problem("", f"runs take {told} updates: {what}")]
    what = "no epochs are recorded, so curves, targets and phases are in updates nevertheless"
    return "step", [*notes, Problem("", f"runs take {told} updates: {what}")]


def _unknown(members: Sequence[Member]) -> Iterable[str]:
    """What the runs do not record, and what a report then cannot claim."""
    runs = [member.run for member in members]

    facts = (
        ("config", [r for r in runs if not r.config],
         "whether they differ in more than strategy and seed cannot be known"),
        ("checksum", [r for r in runs if not r.sealed],
         "a number that was changed later would not be noticed"),
        ("data digest", [r for r in runs if "digest" not in r.result.data],
         "whether all runs saw the same data cannot be known"),
        ("history.csv", [r for r in runs if r.history is None],
         "there are no curves, targets and phases of them"),
    )  # fmt: skip
    for what, lacking, consequence in facts:
        if len(lacking) == len(runs):
            yield f"No {what}: {consequence}."
        elif lacking:
            yield f"{len(lacking)} of {counted(len(runs), 'run')} without {what}: {consequence}."
    if len({r.config.get("trainer.batch_size") for r in runs if r.config}) > 1:
        yield "Batch sizes differ: equal seeds may mean equal initial weights, not equal batches."
    unpaired = [r for r in runs if r.result.paired is not True]
    if unpaired:
        known = {r.result.paired for r in unpaired} == {False}
        yield (
            "Equal seeds "
            + ("do not mean" if known else "are not known to mean")
            + " equal initial weights and batches here (paired: "
            + ("false" if known else "unknown")
            + "), so strategies are compared as independent samples, not seed by seed: Welch's "
            "intervals, made simultaneous."
        )


def _strategy_names(
    runs: Sequence[FinishedRun], vary: Sequence[str], name_varied: bool
) -> dict[tuple[Any, ...], str]:
    """A name per strategy: the choice's, with the keys that tell its variants apart."""
    found: dict[tuple[Any, ...], FinishedRun] = {}
    for run in runs:
        found.setdefault(_strategy_key(run, vary), run)
    every = list(found.values())
    varied = _conditions(every, [{k: v for k, v in _own(r, vary).items() if _is_named(k, vary)}
                                 for r in every])  # fmt: skip
    names = {}
    for (key, run), own in zip(found.items(), varied, strict=True):
        same = [other for other in every if other.strategy == run.strategy]
        settings = [_own(other, vary) for other in same]
        telling = _conditions(same, settings)[same.index(run)]
        if name_varied:
            telling = {**{k: v for k, v in telling.items() if not _is_named(k, vary)}, **own}
        what = describe(telling.items())
        names[key] = f"{run.strategy} ({what})" if what else run.strategy
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
    paired = all(member.run.result.paired is True for member in members)
    use = "pairs use common seeds only" if paired else "it has fewer runs"
    for (strategy, lr), found in seeds.items():
        if missing := sorted(every - found):
            at = f" at lr={number(lr)}" if lr_sweep else ""
            notes.append(Problem(strategy, f"lacks seed {abridge(missing)}{at}: {use}"))
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
            plain_text(m.run.result.environment[fact], 80)
            for m in members
            if fact in m.run.result.environment
        }
        if len(told) > 1:
            notes.append(Problem("", f"run {what} ({'; '.join(sorted(told))}): {consequence}"))
    return notes


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
