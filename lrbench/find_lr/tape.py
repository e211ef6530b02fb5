"""The loss along a ramp: recorded, smoothed, and stopped where it diverges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lrbench.find_lr.settings import RangeTest


@dataclass(frozen=True, kw_only=True, eq=False)
class Ramp:
    """One ramp's record.

    Attributes:
        lr, loss, smoothed: float64 (n,), one number per update; the last loss, and with it the
            smoothed one, may not be finite.
        diverged: whether the loss ended the ramp before its last update.
        seed: of the run; None in a loop of one's own.
    """

    lr: np.ndarray
    loss: np.ndarray
    smoothed: np.ndarray
    diverged: bool
    seed: int | None = None


class Tape:
    """Records a ramp update by update, and tells when it must stop.

    The smoothed loss is the exponential moving average, divided by 1 - smoothing^n as Adam does
    against its start from zero; so do fastai's.
    """

    def __init__(self, settings: RangeTest) -> None:
        self._settings = settings
        self._average = 0.0
        self._best = math.inf
        self._rows: list[tuple[float, float, float]] = []  # lr, loss, smoothed
        self.diverged = False

    @property
    def done(self) -> bool:
        """Whether the ramp is over."""
        return self.diverged or len(self._rows) == self._settings.num_steps

    def add(self, lr: float, loss: float) -> float:
        """Record an update's lr and the loss that it started from; the smoothed loss.

        The ramp has diverged if the loss is not finite, or the smoothed one exceeds
        `diverge_factor` times its lowest (for negative losses: by as much).
        """
        beta = self._settings.smoothing
        self._average = beta * self._average + (1 - beta) * loss
        smoothed = self._average / (1 - beta ** (len(self._rows) + 1))
        self._rows.append((lr, loss, smoothed))
        allowed = self._best + (self._settings.diverge_factor - 1) * abs(self._best)
        self.diverged = not math.isfinite(smoothed) or smoothed > allowed
        self._best = min(self._best, smoothed)
        return smoothed

    def curve(self, seed: int | None = None) -> Ramp:
        """What was recorded."""
        lr, loss, smoothed = np.array(self._rows, dtype=np.float64).reshape(-1, 3).T
        return Ramp(lr=lr, loss=loss, smoothed=smoothed, diverged=self.diverged, seed=seed)
