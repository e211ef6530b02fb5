"""Cyclical learning rates: up and down in straight lines, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Floored, Run, Segment, first_update_at, require_duration
from lrbench.scheduler.shapes import Formula

MODES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True, kw_only=True)
class Cyclic(Floored):
    """Triangles between min_factor and the peak: up over `rise`, down over `fall`, and again.

    ``min_factor + (1 - min_factor) · height · scale``, height going 0 -> 1 -> 0 in each cycle.
    The scale is 1 for ``triangular``, halves with each cycle for ``triangular2``, and is
    ``decay_rate^(t - warmup)`` for ``exp_range``. Rise and fall are not rounded, and last one
    update at least. The cycle that the run's end falls into is cut off there.

    Source: Smith 2015 (arXiv:1506.01186). Equal to torch's CyclicLR, whose base_lr is this
    min_factor and whose max_lr is this base lr; the momentum is left alone.
    """

    rise: str
    fall: str
    mode: str
    decay_rate: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("rise", self.rise)
        require_duration("fall", self.fall)
        require_choice("mode", self.mode, MODES)
        require(0 < self.decay_rate <= 1, "decay_rate", self.decay_rate, "must be in (0, 1]")

    def body(self, run: Run, start: int) -> Iterator[Segment]:
        rise, fall = run.exact(self.rise), run.exact(self.fall)
        require(rise > 0, "rise", self.rise, "must be longer than 0 steps")
        require(fall > 0, "fall", self.fall, "must be longer than 0 steps")
        rise, fall = max(rise, 1.0), max(fall, 1.0)
        for cycle in count():
            begin = start + cycle * (rise + fall)
            first, top, stop = map(first_update_at, (begin, begin + rise, begin + rise + fall))
            if first >= run.total_steps:
                return
            up = self._line(start, begin, rise, cycle)
            down = self._line(start, begin + rise + fall, -fall, cycle)
            yield Segment(f"cycle {cycle + 1}, rising", first, top, up)
            yield Segment(f"cycle {cycle + 1}, falling", top, stop, down)

    def _line(self, start: int, foot: float, length: float, cycle: int) -> Formula:
        """The line through the floor at `foot` and, `length` updates on, through the peak."""
        low, span = self.min_factor, 1 - self.min_factor
        scale = span * (0.5**cycle if self.mode == "triangular2" else 1.0)

        def line(step: int) -> float:
            return low + scale * min(max((step - foot) / length, 0.0), 1.0)

        if self.mode != "exp_range":
            return line
        rate = self.decay_rate
        return lambda step: low + (line(step) - low) * rate ** (step - start)
