"""When a run in training must leave its state for others, which are the same run up to there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lrbench.trainer.course import Course, shared_updates
from lrbench.trainer.journal import Journal

LEAST_SHARED = 0.01  # of a run's updates: to keep and to load a state for less saves no time


@dataclass
class Forks:
    """The runs that a run in training still shares its updates with.

    Each of them is left the state after which the next update, or an evaluation, would be another
    one in it. For a schedule that reads losses that is known from one evaluation to the next.

    Attributes:
        own: the course of the run in training.
        others: those of the runs that go on from it, by name.
        leave: keeps a state for the runs of these names.
        give_up: is told of runs that share nothing more and have been left no state.
        journal: what the run has measured from its first update on.
        points: the updates after which `keep` is given the run's state, whoever may need it.
    """

    own: Course
    others: dict[str, Course]
    leave: Callable[[Sequence[str], dict[str, Any]], None]
    give_up: Callable[[Sequence[str]], None]
    journal: Journal = field(default_factory=Journal)
    points: list[int] = field(default_factory=list)
    keep: Callable[[dict[str, Any]], None] = lambda _: None
    _parts_at: dict[str, float] = field(default_factory=dict)
    _num_heard: int = 0  # evaluations that `_parts_at` takes into account

    def due(
        self, step: int, losses: Sequence[float], steps: Sequence[int], *, ended: bool
    ) -> list[str]:
        """The names of the runs that must be left the state after `step` updates.

        Args:
            losses, steps: the validation losses so far, and the updates taken then.
            ended: the run takes no further update.
        """
        at = self._parts_at
        for name, other in self.others.items():
            reads = self.own.reads_losses or other.reads_losses
            if name not in at:
                at[name] = self._parting(other, losses, steps, 0, step, reads)
            elif reads and len(steps) > self._num_heard:
                at[name] = self._parting(other, losses, steps, step, step, reads)
        self._num_heard = len(steps)
        late = [name for name in self.others if at[name] < step or at[name] == 0]
        now = [n for n in self.others if n not in late and (ended or at[n] == step)]
        for name in (*late, *now):
            del self.others[name]
        if late:  # they parted before the state that this run began with
            self.give_up(late)
        return now

    def over(self, step: int) -> bool:
        """Whether nobody needs a later state of the run than that after `step` updates."""
        return not self.others and all(point <= step for point in self.points)

    def _parting(
        self,
        other: Course,
        losses: Sequence[float],
        steps: Sequence[int],
        start: int,
        step: int,
        reads: bool,
    ) -> float:
        """After how many updates the two part; infinity: not before the next evaluation."""
        horizon = step + self.own.eval_every + 1 if reads else None
        at = shared_updates(self.own, other, losses, steps, start=start, stop=horizon)
        return math.inf if at == horizon else at


def promised(own: Course, others: Mapping[str, Course], had: Mapping[str, int]) -> dict[str, int]:
    """Which of `others` a run of course `own` can leave a state to, and after how many updates.

    Args:
        had: of those that can begin from another run's state, after how many updates.
    """
    found = {}
    for name, other in others.items():
        shared = shared_updates(own, other)
        if shared > had.get(name, 0) and shared >= LEAST_SHARED * other.total_steps:
            found[name] = shared
    return found
