"""Schedules one after the other, each on its part of the run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Plan, Run, Scheduler, Segment, require_duration
from lrbench.scheduler.shapes import Formula

SCALES = ("previous", "base")


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a chain: a schedule, how long it lasts, and what its factor multiplies.

    ``scale: previous`` multiplies it by the factor that the part before ended at (1 for the first
    part), so that a cooldown after a plateau starts from the plateau's last factor; ``base``
    multiplies the base lr itself.
    """

    duration: str
    scheduler: Scheduler
    scale: str

    def __post_init__(self) -> None:
        require_duration("duration", self.duration, rest=True)
        require_choice("scale", self.scale, SCALES)


@dataclass(frozen=True, kw_only=True)
class Chain(Scheduler):
    """Schedules one after the other, each on its part of the run.

    Each part is a run of its own for its schedule: percentages and ``rest`` inside it are of the
    part, and an evaluation belongs to the part whose updates it was made before. So a plateau
    counts only its own evaluations, and no later one changes its factor once its part is over.
    One part may last ``rest``: what the others leave. The parts' ends, added up, are rounded to
    updates; a part of no updates is left out.
    """

    parts: Mapping[str, Part]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.parts) > 0, "parts", dict(self.parts), "must hold at least one part")
        for name, part in self.parts.items():
            if not isinstance(part, Part):
                raise ValueError(f"parts.{name}={part} must be a part (lrbench.scheduler.Part)")
        rests = [name for name, part in self.parts.items() if part.duration == "rest"]
        if len(rests) > 1:
            raise ValueError(f"parts.{rests[1]}.duration=rest, but parts.{rests[0]} has it too")

    @property
    def reads_losses(self) -> bool:
        return any(part.scheduler.reads_losses for part in self.parts.values())

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        segments: list[Segment] = []
        scale = 1.0
        for name, (first, stop) in self.spans(run.total_steps, run.steps_per_epoch, start).items():
            if first == stop:
                continue
            part = self.parts[name]
            plan = _plan_of(part, f"parts.{name}.scheduler", run, first, stop)
            scale = 1.0 if part.scale == "base" else scale
            segments += [
                _moved(s, name, len(plan.segments) > 1, first, scale) for s in plan.segments
            ]
            scale *= plan.factor(plan.total_steps)
        return segments

    def spans(
        self, total_steps: int, steps_per_epoch: int, start: int
    ) -> dict[str, tuple[int, int]]:
        """Each part's first update and the one after its last; the first part is from `start`.

        Raises:
            ValueError: the parts together are longer than the run, or shorter without a rest.
        """
        run = Run(total_steps, steps_per_epoch)
        lengths = {
            name: 0.0 if part.duration == "rest" else run.exact(part.duration)
            for name, part in self.parts.items()
        }
        rest = total_steps - start - sum(lengths.values())
        flexible = [name for name, part in self.parts.items() if part.duration == "rest"]
        if rest < -0.5 or (rest >= 0.5 and not flexible):
            remedy = "shorten one" if rest < 0 else "let one of them last 'rest'"
            durations = ", ".join(part.duration for part in self.parts.values())
            raise ValueError(
                f"parts={durations} take {sum(lengths.values()):g} steps, but the run has "
                f"{total_steps - start} for them: {remedy}"
            )
        for name in flexible:
            lengths[name] = max(rest, 0.0)
        spans: dict[str, tuple[int, int]] = {}
        position, first = float(start), start
        for name, length in lengths.items():
            position += length
            stop = min(math.floor(position + 0.5), total_steps)
            spans[name] = (first, stop)
            first = stop
        return spans


def _plan_of(part: Part, path: str, run: Run, first: int, stop: int) -> Plan:
    """The part's schedule on its own run: updates `first` to `stop`, and the evaluations there."""
    own = [
        (loss, step - first)
        for loss, step in zip(run.val_losses, run.val_steps, strict=True)
        if first <= step < stop
    ]
    losses, steps = [loss for loss, _ in own], [step for _, step in own]
    try:
        return part.scheduler.plan(stop - first, run.steps_per_epoch, losses, steps)
    except ValueError as error:
        raise ValueError(f"{path}.{error}") from None


def _moved(segment: Segment, part: str, several: bool, first: int, scale: float) -> Segment:
    """The segment of a part's own run, in the chain's run."""

    def shifted(formula: Formula, by: float) -> Formula:
        return lambda step: by * formula(step - first)

    name = segment.name if segment.name.startswith(part) else f"{part}: {segment.name}"
    return Segment(
        name if several else part,
        segment.start + first,
        segment.stop + first,
        shifted(segment.factor, scale),
        None if segment.momentum is None else shifted(segment.momentum, 1.0),
        f"{part}: {segment.reason}" if segment.reason else "",
        segment.jumps,
    )
