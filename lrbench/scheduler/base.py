"""What a scheduler is: a pure function from progress to a multiplier of the base lr."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; the one clock is optimizer updates.

    `val_losses` and `val_steps` run in parallel: the validation loss of each evaluation so far,
    oldest first, and the number of updates that had been taken when it was measured.
    """

    step: int  # updates already taken; the factor is for the next one
    total_steps: int
    steps_per_epoch: int
    val_losses: tuple[float, ...] = ()
    val_steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the schedule: updates `start` to `stop` (exclusive), and its name in words."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Change:
    """Something that the schedule did at update `step`, and why, in words."""

    step: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Scheduler(ABC):
    """A learning-rate schedule. Subclasses are frozen dataclasses and hold no state."""

    @abstractmethod
    def factor(self, progress: Progress) -> float:
        """The multiplier of every parameter group's base lr for the next update.

        At and past `total_steps` it stays at its last value.

        Raises:
            ValueError: the durations do not fit a run of `progress.total_steps` updates.
        """

    def momentum(self, progress: Progress) -> float | None:  # noqa: ARG002
        """The momentum (Adam: beta1) of the next update, or None to leave the optimizer's own."""
        return None

    @abstractmethod
    def phases(self, total_steps: int, steps_per_epoch: int) -> tuple[Phase, ...]:
        """The schedule in words and updates, for the run's header; together they cover the run.

        Raises:
            ValueError: the durations do not fit a run of `total_steps` updates.
        """
