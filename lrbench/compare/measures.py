"""What one run's curve says: its early, middle and late phase, and when it reached a target.

The three phases are where the strategies' claims lie: warmup steadies the start, a schedule that
keeps the lr high shakes in the middle, annealing gains at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import trapezoid

EARLY_END = 1 / 3  # of the run's updates
LATE_START = 4 / 5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A run's evaluations: updates taken, validation loss and accuracy, each of shape (E,)."""

    steps: Array
    losses: Array
    accuracies: Array

    @classmethod
    def of(cls, history: pd.DataFrame) -> Curve:
        """The rows of history.csv that hold a validation result."""
        rows = history["val_loss"].notna().to_numpy()
        columns = (history[c].to_numpy()[rows] for c in ("step", "val_loss", "val_accuracy"))
        return cls(*columns)

    def reaches(self, step: float) -> bool:
        """Whether there are evaluations on both sides of `step`, or at it."""
        return len(self.steps) > 0 and self.steps[0] <= step <= self.steps[-1]


def phases(curve: Curve, total_steps: int) -> dict[str, float]:
    """The three phases of a run that was planned for `total_steps` updates; NaN where unseen.

    - ``early_loss``: area under the validation loss from the first evaluation to a third of the
      run, divided by its width (so it is a mean loss).
    - ``middle_spread``: standard deviation of the change of validation loss between neighbouring
      evaluations, from a third to four fifths of the run. A steady descent has none.
    - ``late_loss_gain``, ``late_gain``: fall of the validation loss and rise of the validation
      accuracy over the last fifth.
    - ``half_gain``: rise of the accuracy since the run's mid-point.
    """
    early_end, late_start = EARLY_END * total_steps, LATE_START * total_steps
    found = dict.fromkeys(
        ("early_loss", "middle_spread", "late_loss_gain", "late_gain", "half_gain"), math.nan
    )
    if curve.reaches(early_end):
        inside = curve.steps < early_end
        steps = np.append(curve.steps[inside], early_end)
        losses = np.append(curve.losses[inside], np.interp(early_end, curve.steps, curve.losses))
        width = steps[-1] - steps[0]
        found["early_loss"] = float(trapezoid(losses, steps) / width if width else losses[0])
    if curve.reaches(late_start):
        middle = (curve.steps >= early_end) & (curve.steps <= late_start)
        changes = np.diff(curve.losses[middle])
        if len(changes) >= 2:
            found["middle_spread"] = float(changes.std(ddof=1))
        if curve.reaches(total_steps):
            loss = np.interp(late_start, curve.steps, curve.losses)
            found["late_loss_gain"] = float(loss - curve.losses[-1])
            for name, start in (("late_gain", late_start), ("half_gain", total_steps / 2)):
                if curve.reaches(start):
                    before = np.interp(start, curve.steps, curve.accuracies)
                    found[name] = float(curve.accuracies[-1] - before)
    return found


def steps_to(curve: Curve, target: float) -> float:
    """Updates at the first evaluation with validation accuracy >= `target`; inf: not reached."""
    reached = np.flatnonzero(curve.accuracies >= target)
    return float(curve.steps[reached[0]]) if len(reached) else math.inf
