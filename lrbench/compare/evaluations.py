"""What one run's curve says: its early, middle and late phase, and when it reached a target.

The three phases are where the strategies' claims lie: warmup steadies the start, a schedule that
keeps the lr high shakes in the middle, annealing gains at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.optimize import isotonic_regression

from lrbench.task.measure import Measure

EARLY_END = 1 / 3  # of the run
LATE_START = 4 / 5
PHASES = ("early_loss", "middle_spread", "late_loss_gain", "late_gain", "half_gain")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Evaluations:
    """A run's evaluations.

    Attributes:
        at: when each was made, (E,): updates taken, or epochs.
        losses: validation losses, (E,); the measure's values where no loss is recorded.
        values: validation values of `measure`, (E,).
    """

    at: Array
    losses: Array
    values: Array
    measure: Measure

    @classmethod
    def of(
        cls, history: pd.DataFrame | None, measure: Measure, axis: str = "step"
    ) -> Evaluations | None:
        """The rows of history.csv that hold a validation value; None where there is none.

        Args:
            axis: the column that says when.
        """
        column = f"val_{measure.name}"
        if history is None or column not in history:
            return None
        loss = "val_loss" if "val_loss" in history else column
        at, losses, values = (history[c].to_numpy() for c in (axis, loss, column))
        if np.isnan(values).all():
            return None
        known = ~(np.isnan(values) | np.isnan(at))
        return cls(at[known], losses[known], values[known], measure)

    def reaches(self, at: float) -> bool:
        """Whether there are evaluations on both sides of `at`, or at it."""
        return len(self.at) > 0 and self.at[0] <= at <= self.at[-1]

    def first_reaching(self, target: float) -> float:
        """When the curve was first as good as `target`; inf: it never was.

        The curve is the monotone one that is closest to the values (isotonic regression): the first
        value that is good enough comes sooner the noisier the values are, its own does not.
        """
        worth = self._monotone
        goal = self.measure.exact(target) * self.measure.sign
        noise = 5e-7 if self.measure.exact(1e-9) == 0 else 0.0  # of shares in float32
        reached = np.flatnonzero(worth >= goal - noise)
        return float(self.at[reached[0]]) if len(reached) else math.inf

    @cached_property
    def _monotone(self) -> Array:
        """The monotone curve that is closest to the values' worth, (E,)."""
        found: Array = isotonic_regression(self.measure.sign * np.nan_to_num(self.values)).x
        return found

    def phases(self, total: float) -> dict[str, float]:
        """The three phases of a run that was planned to end at `total`; NaN where unseen.

        - ``early_loss``: area under the validation loss from the first evaluation to a third of
          the run, divided by its width (so it is a mean loss).
        - ``middle_spread``: standard deviation of the change of validation loss between
          neighbouring evaluations, from a third to four fifths. A steady descent has none.
        - ``late_loss_gain``, ``late_gain``: fall of the validation loss and gain of the measure
          over the last fifth.
        - ``half_gain``: gain of the measure since the run's mid-point.
        """
        early_end, late_start = EARLY_END * total, LATE_START * total
        found = dict.fromkeys(PHASES, math.nan)
        if self.reaches(early_end):
            inside = self.at < early_end
            at = np.append(self.at[inside], early_end)
            losses = np.append(self.losses[inside], np.interp(early_end, self.at, self.losses))
            width = at[-1] - at[0]
            found["early_loss"] = float(trapezoid(losses, at) / width if width else losses[0])
        if self.reaches(late_start):
            middle = (self.at >= early_end) & (self.at <= late_start)
            changes = np.diff(self.losses[middle])
            if len(changes) >= 2:
                found["middle_spread"] = float(changes.std(ddof=1))
            if self.reaches(total):
                loss = np.interp(late_start, self.at, self.losses)
                found["late_loss_gain"] = float(loss - self.losses[-1])
                for name, start in (("late_gain", late_start), ("half_gain", total / 2)):
                    if self.reaches(start):
                        before = np.interp(start, self.at, self.values)
                        found[name] = float(self.measure.sign * (self.values[-1] - before))
        return found
