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

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.compare.conditions import (
    LR,
    SPLIT,
    VERSION,
    conditions,
    describe,
    is_named,
    own_settings,
    peak_lr,
    settings_of,
    typed,
)
from lrbench.compare.read import FinishedRun, Problem
from lrbench.compare.uneven import axis_of, uneven, unknown
from lrbench.task.measure import Measure


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
    found = conditions(runs, settings_of(runs, vary, ignore, metric))
    notes = []
    parts: dict[tuple[Any, ...], list[FinishedRun]] = defaultdict(list)
    for run, condition in zip(runs, found, strict=True):
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


def _split_by_lr(
    runs: Sequence[FinishedRun], vary: Sequence[str], ignore: Sequence[str]
) -> list[tuple[dict[str, Any], list[FinishedRun]]]:
    """One part where the lr is shared, swept or part of the strategy; else one part per lr."""
    if is_named(LR, (*vary, *ignore)):
        return [({}, list(runs))]
    lrs = defaultdict(set)
    for run in runs:
        lrs[_strategy_key(run, vary)].add(peak_lr(run))
    everything = set().union(*lrs.values())
    if len(everything) == 1 or all(len(found) > 1 for found in lrs.values()):
        return [({}, list(runs))]
    return [({LR: lr}, [r for r in runs if peak_lr(r) == lr]) for lr in sorted(everything)]


def _strategy_key(run: FinishedRun, vary: Sequence[str]) -> tuple[Any, ...]:
    return (run.strategy, *((k, typed(v)) for k, v in own_settings(run, vary).items()))


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
    swept = not is_named(LR, tuple(vary)) and len({peak_lr(run) for run in runs}) > 1
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
    axis, trouble = axis_of(members, x)
    notes += [*uneven(members, swept), *trouble]
    members.sort(key=lambda m: (m.strategy, m.lr, m.run.seed, str(m.run.config.get(SPLIT))))
    return Group(condition, tuple(members), swept, tuple(notes), tuple(unknown(members)), axis=axis)


def _strategy_names(
    runs: Sequence[FinishedRun], vary: Sequence[str], name_varied: bool
) -> dict[tuple[Any, ...], str]:
    """A name per strategy: the choice's, with the keys that tell its variants apart."""
    found: dict[tuple[Any, ...], FinishedRun] = {}
    for run in runs:
        found.setdefault(_strategy_key(run, vary), run)
    every = list(found.values())
    varied = conditions(every, [{k: v for k, v in own_settings(run, vary).items()
                                 if is_named(k, tuple(vary))} for run in every])  # fmt: skip
    names = {}
    for (key, run), own in zip(found.items(), varied, strict=True):
        same = [other for other in every if other.strategy == run.strategy]
        settings = [own_settings(other, vary) for other in same]
        telling = conditions(same, settings)[same.index(run)]
        if name_varied:
            telling = {**{k: v for k, v in telling.items() if not is_named(k, tuple(vary))}, **own}
        what = describe(telling.items())
        names[key] = f"{run.strategy} ({what})" if what else run.strategy
    return names
