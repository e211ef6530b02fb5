"""Cosine annealing with warm restarts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from lrbench.config.checks import require
from lrbench.scheduler.base import Floored, Run, Segment, first_update_at, require_duration
from lrbench.scheduler.shapes import cosine, descend


@dataclass(frozen=True, kw_only=True)
class CosineRestarts(Floored):
    """Cosine annealing that begins anew at the end of each cycle (SGDR).

    Cycle i lasts ``first_cycle · cycle_multiplier^i`` updates and descends by half a cosine wave
    from ``min_factor + (1 - min_factor) · peak_decay^i`` to min_factor. Lengths are not rounded;
    an update belongs to the cycle that its index lies in, and a cycle lasts at least one. The
    cycle that the run's end falls into is cut off there; where the two coincide the factor ends
    at min_factor and does not restart.

    Source: Loshchilov and Hutter 2016 (arXiv:1608.03983). Equal to Keras's CosineDecayRestarts
    (t_mul, m_mul, alpha), to torch's CosineAnnealingWarmRestarts (T_mult) and, with min_factor 0,
    to timm's cycle_mul and cycle_decay. Cycles are counted one by one: the logarithm by which
    torch and timm look them up lands in the wrong one at some boundaries.
    """

    first_cycle: str
    cycle_multiplier: float
    peak_decay: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("first_cycle", self.first_cycle)
        multiplier = self.cycle_multiplier
        require(1 <= multiplier < math.inf, "cycle_multiplier", multiplier, "must be at least 1")
        require(0 < self.peak_decay <= 1, "peak_decay", self.peak_decay, "must be in (0, 1]")

    def body(self, run: Run, start: int) -> Iterator[Segment]:
        length = run.exact(self.first_cycle)
        require(length > 0, "first_cycle", self.first_cycle, "must be longer than 0 steps")
        length = max(length, 1.0)
        begin, peak, first, number = float(start), 1.0, start, 1
        while first < run.total_steps:
            end = begin + length
            stop = first_update_at(end)
            high = self.min_factor + (1 - self.min_factor) * peak
            curve = descend(cosine, begin, length, high, self.min_factor)
            again = number > 1
            reason = f"cycle {number} begins: restart at {high:g} of the base lr" if again else ""
            name = f"cosine cycle {number}"
            yield Segment(name, first, stop, curve, reason=reason, jumps=again)
            begin, first, number = end, stop, number + 1
            length *= self.cycle_multiplier
            peak *= self.peak_decay
