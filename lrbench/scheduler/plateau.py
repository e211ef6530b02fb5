"""Cut the lr when the validation loss stops improving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lrbench.config.checks import require, require_choice
from lrbench.scheduler.base import Floored, Run, Segment, levels
from lrbench.scheduler.shapes import constant

MODES = ("min", "max")
THRESHOLD_MODES = ("rel", "abs")
COUNTINGS = ("torch", "keras")


@dataclass(frozen=True, kw_only=True)
class Plateau(Floored):
    """Multiply the lr by cut_factor whenever the validation loss has stopped improving.

    A fold over the evaluations since the warmup: one is an improvement if it beats the best so
    far by more than `threshold`, absolute or relative to |best|; any other is bad, NaN included.
    ``counting: torch`` cuts when more than `patience` evaluations in a row were bad, and the
    `cooldown` evaluations after a cut do not count; ``keras`` cuts when at least `patience` (and
    one) were, and only cooldown - 1 do not count. The factor never falls below min_factor.
    An evaluation made after v updates can act on update v, never on an earlier one; those made
    before the warmup's end are left out.

    Source: torch's ReduceLROnPlateau (with eps=0) and Keras's. In relative mode the margin is
    taken on |best|, so that a negative loss can improve; torch takes it on best, and there every
    evaluation of a steady or slowly falling negative loss counts as one without improvement.
    """

    cut_factor: float
    patience: int
    cooldown: int
    threshold: float
    threshold_mode: str
    mode: str
    counting: str

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.cut_factor < 1, "cut_factor", self.cut_factor, "must be in (0, 1)")
        require(self.patience >= 0, "patience", self.patience, "must be 0 or more evaluations")
        require(self.cooldown >= 0, "cooldown", self.cooldown, "must be 0 or more evaluations")
        require(0 <= self.threshold < math.inf, "threshold", self.threshold, "must be 0 or more")
        require_choice("threshold_mode", self.threshold_mode, THRESHOLD_MODES)
        require_choice("mode", self.mode, MODES)
        require_choice("counting", self.counting, COUNTINGS)

    @property
    def reads_losses(self) -> bool:
        return True

    @property
    def evaluations_to_cut(self) -> int:
        """The number of evaluations that the first cut takes at least."""
        return self.patience + 2 if self.counting == "torch" else max(self.patience, 1) + 1

    def body(self, run: Run, start: int) -> Iterator[Segment]:
        evaluations = zip(run.val_losses, run.val_steps, strict=True)
        cuts = self.cuts((loss, v) for loss, v in evaluations if start <= v < run.total_steps)
        return levels(Segment("plateau", start, run.total_steps, constant(1.0)), cuts)

    def cuts(
        self, evaluations: Iterable[tuple[float, int]]
    ) -> Iterator[tuple[int, float, str, str]]:
        """The cuts that `evaluations` (value and updates taken, oldest first) lead to.

        Of each: the updates taken before it, its factor, its name and why.
        """
        best = math.inf if self.mode == "min" else -math.inf
        factor, bad, cooling = 1.0, 0, 0
        for value, step in evaluations:
            if self.counting == "keras" and cooling > 0:
                cooling -= 1
            improved = self.improves(value, best)
            best = value if improved else best
            bad = 0 if improved or cooling > 0 else bad + 1
            if self.counting == "torch" and cooling > 0:
                cooling -= 1
            limit = self.patience + 1 if self.counting == "torch" else max(self.patience, 1)
            if bad < limit:
                continue
            lowered = max(factor * self.cut_factor, self.min_factor)
            if lowered > factor * (1 - 1e-9):  # at the floor, rounding errors aside: for good
                return
            factor = lowered
            yield step, factor, f"plateau at {factor:g}", _reason(factor, bad, best)
            bad, cooling = 0, self.cooldown

    def improves(self, value: float, best: float) -> bool:
        """Whether `value` beats `best` by more than the threshold; NaN never does."""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "abs" or math.isinf(best):
            target = best + sign * self.threshold
        else:  # one product, so that ties round as in torch
            target = best * (1 + sign * math.copysign(self.threshold, best))
        return value < target if self.mode == "min" else value > target


def _reason(factor: float, bad: int, best: float) -> str:
    evaluations = "1 evaluation" if bad == 1 else f"{bad} evaluations"
    without = f" without improvement on {best:.4g}" if math.isfinite(best) else ", none yet finite"
    return f"cut to {factor:.4g} of the base lr: {evaluations}{without}"
