"""What a run has measured, update by update, from which another run can make its own records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from lrbench.scheduler import Plan
from lrbench.trainer.course import Course
from lrbench.trainer.evaluate import Evaluation, Row

Settings = tuple[float, ...]  # factor and momentum (NaN: left alone) of every schedule, in turn


class Entry(NamedTuple):
    """What was measured of one update."""

    row: Row  # the sums of its losses and scores
    grad_norm: float | None
    seconds: float  # wall time of the run, this update included
    validation: Evaluation | None  # after it; None where none was due


@dataclass
class Journal:
    """The measurements of a run from its first update on; all lists run in parallel.

    Attributes:
        validations: by the number of updates taken.
    """

    settings: list[Settings] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    grad_norms: list[float | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    validations: dict[int, Evaluation] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Entry]:
        columns = (self.rows, self.grad_norms, self.seconds)
        for step, (row, norm, seconds) in enumerate(zip(*columns, strict=True), 1):
            yield Entry(row, norm, seconds, self.validations.get(step))

    def add(self, rows: Sequence[Row], grad_norms: Sequence[float | None], seconds: float) -> None:
        """Add what was measured of the latest updates, after so many `seconds` of the run."""
        self.rows += rows
        self.grad_norms += grad_norms
        self.seconds += [seconds] * len(rows)

    def agrees(self, course: Course) -> bool:
        """Whether a run of `course` is the journal's run, as far as that goes.

        A schedule that reads losses is laid out anew after each evaluation, as in training.
        """
        losses: list[float] = []
        steps: list[int] = []
        plans = course.plans()
        for step, used in enumerate(self.settings):
            if step in self.validations:
                losses.append(self.validations[step]["loss"])
                steps.append(step)
                plans = course.plans(losses, steps) if course.reads_losses else plans
            if step > 0 and course.evaluates(step) != (step in self.validations):
                return False
            if not _same(settings_of(plans, step), used):
                return False
        last = len(self.settings)
        return last <= course.total_steps and course.evaluates(last) == (last in self.validations)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold: plain data and tensors of float64."""
        named = {name: [row[name] for row in self.rows] for name in (self.rows or [{}])[0]}
        norms = [math.nan if norm is None else norm for norm in self.grad_norms]
        return {
            "settings": _tensor(self.settings),
            "rows": {
                name: (_tensor([s for s, _ in cells]), _tensor([n for _, n in cells]))
                for name, cells in named.items()
            },
            "grad_norms": None if None in self.grad_norms else _tensor(norms),
            "seconds": _tensor(self.seconds),
            "validations": dict(self.validations),
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Journal:
        """The journal whose `state` that is."""
        seconds = state["seconds"].tolist()
        columns = {n: (s.tolist(), c.tolist()) for n, (s, c) in state["rows"].items()}
        norms = state["grad_norms"]
        return cls(
            settings=[tuple(each) for each in state["settings"].tolist()],
            rows=[
                {name: (sums[step], counts[step]) for name, (sums, counts) in columns.items()}
                for step in range(len(seconds))
            ],
            grad_norms=[None] * len(seconds) if norms is None else norms.tolist(),
            seconds=seconds,
            validations=dict(state["validations"]),
        )


def settings_of(plans: list[Plan], step: int) -> Settings:
    """What `plans` set for the update after `step` updates."""
    found: list[float] = []
    for plan in plans:
        momentum = plan.momentum(step)
        found += (plan.factor(step), math.nan if momentum is None else momentum)
    return tuple(found)


def _same(one: Settings, other: Settings) -> bool:
    """Whether two settings are equal to the bit, where NaN equals NaN."""
    pairs = zip(one, other, strict=True)
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def _tensor(values: list[Any]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)
