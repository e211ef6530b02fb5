"""A schedule of lines between given points of the run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import (
    Run,
    Scheduler,
    Segment,
    first_update_at,
    require_duration,
    require_positions,
)
from lrbench.scheduler.shapes import Formula, cosine, linear

INTERPOLATIONS = ("linear", "cosine", "constant")


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
        require_positions("positions", self.positions, points, 0, run.total_steps)
        curve = self._curve(points)
        starts = [0, *map(first_update_at, points), run.total_steps]
        names = [self._name(i) for i in range(-1, len(points))]
        segments = [
            Segment(name, max(begin, start), stop, curve, jumps=self.interpolation == "constant")
            for name, begin, stop in zip(names, starts[:-1], starts[1:], strict=True)
        ]
        return [segment for segment in segments if segment.start < segment.stop]

    def _curve(self, points: Sequence[float]) -> Formula:
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
