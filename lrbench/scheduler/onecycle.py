"""The 1cycle policy: up to the peak, then down to far below the start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Run, Scheduler, Segment, require_duration
from lrbench.scheduler.shapes import Formula, constant

ANNEALS = ("cos", "linear")
FINAL_DIVISIONS = ("initial", "peak")


@dataclass(frozen=True, kw_only=True)
class OneCycle(Scheduler):
    """The 1cycle policy: lr rises to the peak and falls below its start, momentum the other way.

    With n updates after the warmup, r = pct_start in updates, initial = 1 / div_factor and final =
    initial / final_div_factor (``final_div_of: initial``, as torch) or 1 / final_div_factor
    (``peak``, as fastai): the factor goes from initial at update 0 to 1 at ``r - 1`` to final at
    ``n - 1``; in three phases it goes to 1 at ``r - 1``, back to initial at ``2r - 2`` and to
    final at ``n - 1``. Momentum goes max -> base -> max (and stays at max in the third phase).
    With cycle_momentum off it is left alone, so that only the lr differs between schedules.

    The ends are fractional, as in torch: unless r is whole, the peak lies between two updates.
    A rise that is shorter than one update is no rise, and the cycle begins at its peak (torch
    divides by zero at r = 1 and misses the peak below it). Past the end the factor stays at final
    (torch climbs back at the n-th call and raises at the next).

    Source: Smith and Topin 2017 (arXiv:1708.07120). Equal to torch's OneCycleLR, momentum
    included; fastai's fit_one_cycle places its phases one update later.
    """

    pct_start: str
    div_factor: float
    final_div_factor: float
    final_div_of: str
    three_phase: bool
    anneal: str
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("pct_start", self.pct_start)
        require(1 <= self.div_factor < math.inf, "div_factor", self.div_factor, "must be >= 1")
        final = self.final_div_factor
        require(1 <= final < math.inf, "final_div_factor", final, "must be at least 1")
        require_choice("final_div_of", self.final_div_of, FINAL_DIVISIONS)
        require_choice("anneal", self.anneal, ANNEALS)
        base, top = self.base_momentum, self.max_momentum
        require(0 <= base < 1, "base_momentum", base, "must be in [0, 1)")
        require(base <= top < 1, "max_momentum", top, f"must be in [base_momentum={base}, 1)")

    @property
    def initial(self) -> float:
        return 1 / self.div_factor

    @property
    def floor(self) -> float:
        return min(self.initial, self.final)

    @property
    def final(self) -> float:
        return (self.initial if self.final_div_of == "initial" else 1.0) / self.final_div_factor

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        length = run.total_steps - start
        rise = run.exact(self.pct_start)
        longest = (length + 1) / 2 if self.three_phase else length
        require(
            rise <= longest,
            "pct_start",
            self.pct_start,
            f"must be at most {longest:g} of the run's {run.total_steps} steps"
            + (" when three_phase=true" if self.three_phase else ""),
        )
        peak_at, end = start + max(rise - 1, 0.0), start + length - 1.0
        top, base = self.max_momentum, self.base_momentum
        rising = self._leg("rise to the peak", start, peak_at, (self.initial, 1.0), (top, base))
        if not self.three_phase:
            fall = self._leg("fall to the floor", peak_at, end, (1.0, self.final), (base, top))
            return _joined((rising, fall), start, run.total_steps)
        back_at = start + max(2 * rise - 2, 0.0)
        back = self._leg("return to the start", peak_at, back_at, (1.0, self.initial), (base, top))
        fall = self._leg("fall to the floor", back_at, end, (self.initial, self.final), (top, top))
        return _joined((rising, back, fall), start, run.total_steps)

    def _leg(
        self,
        name: str,
        begin: float,
        end: float,
        factors: tuple[float, float],
        momenta: tuple[float, float],
    ) -> tuple[float, Segment]:
        """One way between two fractional updates, `end` belonging to it; its stop is set later."""
        factor = _anneal(self.anneal, begin, end, *factors)
        momentum = _anneal(self.anneal, begin, end, *momenta) if self.cycle_momentum else None
        return end, Segment(name, 0, 0, factor, momentum)


def _joined(legs: Sequence[tuple[float, Segment]], start: int, stop: int) -> list[Segment]:
    """The legs that hold an update, each from the update after the one before ends; last to stop.

    A first leg of no length holds none: the cycle begins at the peak.
    """
    segments: list[Segment] = []
    for position, (end, leg) in enumerate(legs):
        last = position == len(legs) - 1
        after = stop if last else (math.floor(end) + 1 if end > start else start)
        segments.append(replace(leg, start=start, stop=after))
        start = after
    return segments


def _anneal(kind: str, begin: float, end: float, first: float, last: float) -> Formula:
    """From `first` at `begin` to `last` at `end`; a way of no length stays at `first`."""
    length = end - begin
    if length <= 0:
        return constant(first)
    if kind == "linear":
        return lambda step: first + (last - first) * min((step - begin) / length, 1.0)

    half = (first - last) / 2

    def cosine(step: int) -> float:
        return last + half * (1 + math.cos(math.pi * min((step - begin) / length, 1.0)))

    return cosine
