"""Schedules that change at given points of the run: cuts, and lines between points."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import (
    Run,
    Scheduler,
    Segment,
    first_update_at,
    require_duration,
    require_min_factor,
)
from lrbench.scheduler.shapes import Curve, constant, cosine, linear

INTERPOLATIONS = ("linear", "cosine", "constant")


@dataclass(frozen=True, kw_only=True)
class Step(Scheduler):
    """Multiply the lr by cut_factor at regular intervals.

    ``cut_factor^floor((t - warmup) / every)``, but never below min_factor. Intervals are not
    rounded, and last at least one update.

    Source: He et al. 2015 (arXiv:1512.03385) made it the habit. Equal to torch's StepLR, timm's
    StepLRScheduler with warmup_prefix and Keras's ExponentialDecay with staircase=True.
    """

    every: str
    cut_factor: float
    min_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("every", self.every)
        require(0 < self.cut_factor < 1, "cut_factor", self.cut_factor, "must be in (0, 1)")
        require_min_factor(self.min_factor)

    @property
    def floor(self) -> float:
        return self.min_factor

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        interval = run.exact(self.every)
        require(interval > 0, "every", self.every, "must be longer than 0 steps")
        interval = max(interval, 1.0)
        number = math.ceil((run.total_steps - start) / interval)
        cuts = (first_update_at(start + i * interval) for i in range(1, number + 1))
        return _cuts(cuts, self.cut_factor, self.min_factor, start, run.total_steps)


@dataclass(frozen=True, kw_only=True)
class MultiStep(Scheduler):
    """Multiply the lr by cut_factor at each milestone, but never below min_factor.

    Milestones are counted from the start of the run, warmup included, and rounded to updates. The
    first update with the lower lr is the one with the milestone's index; one at the run's very
    end has no effect.

    Equal to torch's MultiStepLR; timm's MultiStepLRScheduler cuts one step earlier.
    """

    milestones: tuple[str, ...]
    cut_factor: float
    min_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        for milestone in self.milestones:
            require_duration("milestones", milestone)
        require(0 < self.cut_factor < 1, "cut_factor", self.cut_factor, "must be in (0, 1)")
        require_min_factor(self.min_factor)

    @property
    def floor(self) -> float:
        return self.min_factor

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        cuts = [run.whole(milestone) for milestone in self.milestones]
        _require_positions("milestones", self.milestones, cuts, start, run.total_steps)
        return _cuts(cuts, self.cut_factor, self.min_factor, start, run.total_steps)


@dataclass(frozen=True, kw_only=True)
class Piecewise(Scheduler):
    """Lines between points: `values[i]` at `positions[i]`, and between them by `interpolation`.

    Positions are counted from the start of the run, warmup included, and not rounded. Before the
    first and after the last the factor is theirs. ``constant`` keeps each value up to the next
    point, the update with the point's index being the first with the new value (Keras's
    PiecewiseConstantDecay changes one update later). Two points at one position make a leap.
    """

    positions: tuple[str, ...]
    values: tuple[float, ...]
    interpolation: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for position in self.positions:
            require_duration("positions", position)
        require(len(self.values) > 0, "values", list(self.values), "must hold at least one factor")
        require(
            len(self.values) == len(self.positions),
            "values",
            list(self.values),
            f"must be as many as positions ({len(self.positions)})",
        )
        for value in self.values:
            require(0 <= value <= 1, "values", value, "must be between 0 and 1")
        require_choice("interpolation", self.interpolation, INTERPOLATIONS)

    @property
    def floor(self) -> float:
        return min(self.values)

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        points = [run.exact(position) for position in self.positions]
        _require_positions("positions", self.positions, points, 0, run.total_steps)
        curve = self._curve(points)
        starts = [0, *map(first_update_at, points), run.total_steps]
        names = [self._name(i) for i in range(-1, len(points))]
        segments = [
            Segment(name, max(begin, start), stop, curve, jumps=self.interpolation == "constant")
            for name, begin, stop in zip(names, starts[:-1], starts[1:], strict=True)
        ]
        return [segment for segment in segments if segment.start < segment.stop]

    def _curve(self, points: Sequence[float]) -> Curve:
        values, last = self.values, len(points) - 1
        constant_between = self.interpolation == "constant"
        shape = linear if self.interpolation == "linear" else cosine

        def curve(step: int) -> float:
            i = bisect_right(points, step + 1e-6) - 1  # as first_update_at rounds
            if i < 0 or i == last or constant_between:
                return values[max(i, 0)]
            left = shape(max(step - points[i], 0.0) / (points[i + 1] - points[i]))
            return values[i + 1] + (values[i] - values[i + 1]) * left

        return curve

    def _name(self, i: int) -> str:
        """What happens from point `i` on, -1 being the start of the run."""
        if i < 0 or i == len(self.values) - 1 or self.interpolation == "constant":
            return f"hold at {self.values[max(i, 0)]:g}"
        return f"{self.interpolation} from {self.values[i]:g} to {self.values[i + 1]:g}"


def _cuts(cuts: Iterable[int], ratio: float, low: float, start: int, stop: int) -> list[Segment]:
    """Levels ``ratio^i``, not below `low`, the i-th from the i-th of `cuts` on."""
    segments = [Segment("full lr", start, stop, constant(1.0))]
    level = 1.0
    for number, cut in enumerate(cuts, 1):
        lower = max(ratio**number, low)
        if lower == level or cut >= stop:
            break
        level = lower
        segments[-1] = replace(segments[-1], stop=cut)
        reason = f"cut {number}: to {level:.4g} of the base lr"
        name = f"{level:.4g} of the lr"
        segments.append(Segment(name, cut, stop, constant(level), reason=reason, jumps=True))
    return segments


def _require_positions(
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
