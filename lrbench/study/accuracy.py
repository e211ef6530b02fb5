"""How a study says accuracies: the one measure that it compares by."""

from __future__ import annotations

from lrbench.compare.verdict import interval
from lrbench.task.measure import WELL_KNOWN

ACCURACY = WELL_KNOWN["accuracy"]
percent, points = ACCURACY.value, ACCURACY.number


def span(low: float, high: float) -> str:
    """``0.21 to 0.63``, in points."""
    return interval(ACCURACY, low, high)
