"""What a scheduler is: a pure function from progress to a multiplier of the base lr."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from lrbench.config import duration
from lrbench.config.checks import require, require_choice
from lrbench.scheduler.shapes import (
    WARMUP_SHAPES,
    Descent,
    Formula,
    constant,
    descend,
    warmup_formula,
)

MOST_SEGMENTS = 100_000  # of a plan: laying out more takes seconds, and in the end all memory


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
class Change:
    """Something that the schedule did at update `step`, and why, in words."""

    step: int
    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """What a schedule may know of the run it is laid out on."""

    total_steps: int
    steps_per_epoch: int
    val_losses: tuple[float, ...] = ()
    val_steps: tuple[int, ...] = ()

    def exact(self, text: str) -> float:
        """The duration in updates, not rounded; a percentage is one of the whole run."""
        return duration.exact_steps(
            text, total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch
        )

    def whole(self, text: str) -> int:
        """The duration in updates, rounded half up."""
        return duration.whole_steps(
            text, total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch
        )

    def remaining(self, text: str, start: int) -> int:
        """The duration in whole updates, where ``"rest"`` is all from update `start` on."""
        return self.total_steps - start if text == "rest" else self.whole(text)


@dataclass(frozen=True, slots=True)
class Segment:
    """Updates `start` to `stop` (exclusive), on which one formula gives the factor.

    `stop` may lie beyond the run: the plan cuts it there and the lint tells.
    """

    name: str
    start: int
    stop: int
    factor: Formula  # of the update's index in the run
    momentum: Formula | None = None
    reason: str = ""  # why it begins, in words; empty: because the one before it ended
    jumps: bool = False  # the factor may leap at its start: a cut or a restart, not a slip


@dataclass(frozen=True)
class Plan:
    """A schedule laid out on one run: segments without gaps from update 0 to the last.

    A loop holds it and asks it at every update; a schedule that reads losses is laid out again
    after each evaluation.
    """

    total_steps: int
    segments: tuple[Segment, ...]
    starts: tuple[int, ...]
    planned_stop: int  # where the last segment would have ended in a longer run

    def at(self, step: int) -> Segment:
        """The segment that update `step` is in; the last one for any update past the end."""
        return self.segments[bisect_right(self.starts, step) - 1]

    def factor(self, step: int) -> float:
        """The factor of update `step`; past the end, the value that the last formula ends at."""
        return self.at(step).factor(min(step, self.total_steps))

    def momentum(self, step: int) -> float | None:
        """The momentum of update `step`, or None."""
        formula = self.at(step).momentum
        return None if formula is None else formula(min(step, self.total_steps))

    def factors(self) -> list[float]:
        """The factor of every update of the run."""
        return [value for s in self.segments for value in map(s.factor, range(s.start, s.stop))]

    def changes(self, step: int) -> tuple[Change, ...]:
        """What the schedule has done up to update `step`, and why, oldest first.

        One for each segment that has begun since update 0, the cuts of a plateau among them.
        """
        return tuple(
            Change(segment.start, segment.reason or f"{before.name} ends, {segment.name} begins")
            for before, segment in pairwise(self.segments)
            if segment.start <= step
        )


@dataclass(frozen=True, kw_only=True)
class Scheduler(ABC):
    """A learning-rate schedule. Subclasses are frozen dataclasses and hold no state.

    Every schedule can begin with a warmup of `warmup` updates: from `warmup_start_factor` times
    the schedule's own first factor up to that factor, which update number `warmup` (0-based)
    takes. The schedule itself spans the updates after it, as in Keras, so that its peak is
    really reached. A subclass lays out only those, in `body`.
    """

    warmup: str
    warmup_shape: str
    warmup_start_factor: float

    def __post_init__(self) -> None:
        require_duration("warmup", self.warmup)
        require_choice("warmup_shape", self.warmup_shape, WARMUP_SHAPES)
        start = self.warmup_start_factor
        require(0 <= start <= 1, "warmup_start_factor", start, "must be between 0 and 1")
        if self.warmup_shape == "exponential":
            require(
                start > 0,
                "warmup_start_factor",
                start,
                "must be above 0: an exponential warmup cannot rise from zero",
            )

    @abstractmethod
    def body(self, run: Run, start: int) -> Iterable[Segment]:
        """The segments from update `start`, where the warmup ends, to the end of the run.

        They follow one another without gaps; empty ones and those past the end are dropped. No
        more than `MOST_SEGMENTS` are taken.

        Raises:
            ValueError: the durations do not fit the run.
        """

    def warmup_segment(self, warmup: int, body: Segment) -> Segment:
        """The warmup, of `warmup` updates, to what `body` begins with; its momentum is held."""
        momentum = None if body.momentum is None else constant(body.momentum(warmup))
        target = body.factor(warmup)
        formula = warmup_formula(self.warmup_shape, warmup, self.warmup_start_factor, target)
        return Segment(f"{self.warmup_shape} warmup", 0, warmup, formula, momentum)

    def paced(self, formula: Formula, run: Run) -> Formula:  # noqa: ARG002
        """`formula` as it is read on the schedule's clock; most clocks tick at every update."""
        return formula

    @property
    def reads_losses(self) -> bool:
        """Whether the schedule depends on the validation losses."""
        return False

    @property
    def floor(self) -> float:
        """The lowest factor that the schedule can take once its warmup is over."""
        return 0.0

    def plan(
        self,
        total_steps: int,
        steps_per_epoch: int,
        val_losses: Sequence[float] = (),
        val_steps: Sequence[int] = (),
    ) -> Plan:
        """The schedule laid out on a run, with the validation losses that it has had so far.

        A loop lays it out once, and again after each evaluation if the schedule `reads_losses`;
        the other methods lay it out at every call.

        Raises:
            ValueError: the durations do not fit a run of `total_steps` updates.
        """
        require(total_steps >= 1, "total_steps", total_steps, "must be at least 1")
        require(steps_per_epoch >= 1, "steps_per_epoch", steps_per_epoch, "must be at least 1")
        if len(val_losses) != len(val_steps):
            raise ValueError(
                f"{len(val_losses)} val_losses need as many val_steps, got {len(val_steps)}"
            )
        run = Run(total_steps, steps_per_epoch, tuple(val_losses), tuple(val_steps))
        warmup = run.whole(self.warmup)
        require(
            warmup < total_steps,
            "warmup",
            self.warmup,
            f"must be shorter than the run ({total_steps} steps)",
        )
        found = list(islice(self.body(run, warmup), MOST_SEGMENTS + 1))
        if len(found) > MOST_SEGMENTS:
            raise ValueError(
                f"{found[-1].name} is one of more than {MOST_SEGMENTS:,} segments of the schedule "
                f"in a run of {total_steps} updates: make its cycles or intervals longer"
            )
        segments = [s for s in found if s.start < min(s.stop, total_steps)]
        planned_stop = segments[-1].stop
        segments[-1] = replace(segments[-1], stop=total_steps)
        if warmup:
            segments.insert(0, self.warmup_segment(warmup, segments[0]))
        segments = [replace(s, factor=self.paced(s.factor, run)) for s in segments]
        starts = tuple(segment.start for segment in segments)
        stops = tuple(segment.stop for segment in segments)
        assert starts == (0, *stops[:-1]), f"{self}: gaps between segments {starts}, {stops}"
        return Plan(total_steps, tuple(segments), starts, planned_stop)

    def factor(self, progress: Progress) -> float:
        """The multiplier of every parameter group's base lr for the next update.

        At and past `total_steps` it stays at its last value.

        Raises:
            ValueError: the durations do not fit a run of `progress.total_steps` updates.
        """
        return self._plan_of(progress).factor(progress.step)

    def momentum(self, progress: Progress) -> float | None:
        """The momentum (Adam: beta1) of the next update, or None to leave the optimizer's own."""
        return self._plan_of(progress).momentum(progress.step)

    def changes(self, progress: Progress) -> tuple[Change, ...]:
        """What the schedule has done up to `progress.step`, and why, oldest first."""
        return self._plan_of(progress).changes(progress.step)

    def phases(self, total_steps: int, steps_per_epoch: int) -> tuple[Segment, ...]:
        """The segments of the schedule, which together cover the run: a name, a start, a stop."""
        return self.plan(total_steps, steps_per_epoch).segments

    def factors(
        self,
        total_steps: int,
        steps_per_epoch: int,
        val_losses: Sequence[float] = (),
        val_steps: Sequence[int] = (),
    ) -> list[float]:
        """The factor of every update of a run: a million in well under a second.

        A plateau is replayed on `val_losses`, measured after `val_steps` updates.
        """
        return self.plan(total_steps, steps_per_epoch, val_losses, val_steps).factors()

    def _plan_of(self, now: Progress) -> Plan:
        return self.plan(now.total_steps, now.steps_per_epoch, now.val_losses, now.val_steps)


@dataclass(frozen=True, kw_only=True)
class Floored(Scheduler):
    """A schedule whose factor never falls below `min_factor` once its warmup is over."""

    min_factor: float  # a ratio of the base lr

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.min_factor <= 1, "min_factor", self.min_factor, "must be between 0 and 1")

    @property
    def floor(self) -> float:
        return self.min_factor


def require_duration(name: str, value: str, *, rest: bool = False) -> None:
    """Raise a ValueError naming `name` unless `value` is a duration (or, if `rest`, ``"rest"``)."""
    if rest and value == "rest":
        return
    try:
        duration.parse(value)
    except ValueError as error:
        hint = ", or 'rest' for all that is left of the run" if rest else ""
        raise ValueError(f"{name}={error}{hint}") from None


def decay_then_hold(
    name: str, run: Run, start: int, decay: str, shape: Descent, ends: tuple[float, float]
) -> list[Segment]:
    """A decay of duration `decay` from update `start`, then its last factor to the run's end.

    `ends` are its first and its last factor. A decay that is longer than the run is cut off by
    the run's end, and one of no updates is left out.
    """
    length = run.remaining(decay, start)
    stop = start + length
    hold = Segment(f"hold at {ends[1]:g}", stop, run.total_steps, constant(ends[1]))
    return [Segment(name, start, stop, descend(shape, start, length, *ends)), hold]


def levels(first: Segment, cuts: Iterable[tuple[int, float, str, str]]) -> Iterator[Segment]:
    """The segment `first`, cut short by constant factors: of each its update, factor, name, why."""
    segment = first
    for step, factor, name, reason in cuts:
        yield replace(segment, stop=step)
        segment = Segment(name, step, first.stop, constant(factor), reason=reason, jumps=True)
    yield segment


def first_update_at(position: float) -> int:
    """The first update at or after a fractional position; rounding errors move it over none."""
    whole = round(position)
    near = math.isclose(position, whole, rel_tol=1e-12, abs_tol=1e-6)
    return whole if near else math.ceil(position)


def require_positions(
    name: str, texts: Sequence[str], steps: Sequence[float], start: int, stop: int
) -> None:
    """Raise a ValueError unless `steps` rise and lie between the warmup's end and the run's."""
    at_least = float(start)
    for i, (text, step) in enumerate(zip(texts, steps, strict=True)):
        if step < at_least:
            after = f"after {texts[i - 1]}" if i else f"after the warmup ({start} steps)"
            raise ValueError(f"{name}={text} must come {after}")
        require(step <= stop, name, text, f"must not lie past the run's end ({stop} steps)")
        at_least = step
