"""What is uneven about the runs of a group, or not recorded, and what then cannot be claimed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lrbench.cli.wording import counted
from lrbench.compare.conditions import abridge, number
from lrbench.compare.find import CompareError
from lrbench.compare.read import Problem
from lrbench.compare.settings import X
from lrbench.config.duration import COUNTED
from lrbench.files.reading import plain_text

if TYPE_CHECKING:
    from lrbench.compare.groups import Member


def axis_of(members: Sequence[Member], x: str | None) -> tuple[str, list[Problem]]:
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
            says = run.history is None or (X[x] in run.history and run.history[X[x]].notna().any())
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


def unknown(members: Sequence[Member]) -> Iterable[str]:
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


def uneven(members: Sequence[Member], lr_sweep: bool) -> list[Problem]:
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
