"""Warmup-stable-decay: a warmup, most of the run at the peak, and a short cooldown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Floored, Run, Segment, require_duration
from lrbench.scheduler.shapes import constant, cosine, descend, linear, one_minus_sqrt

COOLDOWN_SHAPES = {"linear": linear, "cosine": cosine, "1-sqrt": one_minus_sqrt}


@dataclass(frozen=True, kw_only=True)
class WSD(Floored):
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

    def __post_init__(self) -> None:
        super().__post_init__()
        require_duration("cooldown", self.cooldown)
        require_choice("cooldown_shape", self.cooldown_shape, COOLDOWN_SHAPES)

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
        formula = descend(COOLDOWN_SHAPES[self.cooldown_shape], turn, length, 1.0, self.min_factor)
        return [
            Segment("stable", start, turn, constant(1.0)),
            Segment(f"{self.cooldown_shape} cooldown", turn, run.total_steps, formula),
        ]
