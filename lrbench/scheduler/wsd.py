"""Warmup, a stable stretch at the peak, and a short cooldown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Run, Scheduler, Segment, require_duration, require_min_factor
from lrbench.scheduler.shapes import constant, cosine, descend, linear, one_minus_sqrt

COOLDOWN_SHAPES = {"linear": linear, "cosine": cosine, "1-sqrt": one_minus_sqrt}


@dataclass(frozen=True, kw_only=True)
class WSD(Scheduler):
    """Warmup, stable, decay: the peak until the last `cooldown` of the run, then to the floor.

    1 until the cooldown, then ``min_factor + (1 - min_factor) · shape(p)``, p being the fraction
    of the cooldown that has passed: linear ``1 - p``, cosine ``½(1 + cos πp)`` or 1-sqrt
    ``1 - √p``. A cooldown of no updates stays at the peak. With a linear cooldown it is the
    trapezoid.

    Source: Hu et al. 2024 (arXiv:2404.06395); Hägele et al. 2024 (arXiv:2405.18392) for the
    1-sqrt shape over 20 %; Xing et al. 2018 (arXiv:1802.08770) for the trapezoid. Equal to
    transformers' get_wsd_schedule.
    """

    cooldown: str
    cooldown_shape: str
    min_factor: float

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("cooldown", self.cooldown)
        require_choice("cooldown_shape", self.cooldown_shape, COOLDOWN_SHAPES)
        require_min_factor(self.min_factor)

    @property
    def floor(self) -> float:
        return self.min_factor

    def body(self, run: Run, start: int) -> Sequence[Segment]:
        length = run.whole(self.cooldown)
        require(
            start + length <= run.total_steps,
            "cooldown",
            self.cooldown,
            f"must fit between the warmup ({start} steps) and the run's end "
            f"({run.total_steps} steps)",
        )
        turn = run.total_steps - length
        stable = Segment("stable", start, turn, constant(1.0))
        if length == 0:
            return [stable]
        shape = COOLDOWN_SHAPES[self.cooldown_shape]
        curve = descend(shape, turn, length, 1.0, self.min_factor)
        return [stable, Segment(f"{self.cooldown_shape} cooldown", turn, run.total_steps, curve)]
