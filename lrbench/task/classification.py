"""Classification: one of several classes for each example."""

from __future__ import annotations

from lrbench.task.measure import POINTS, Measure


def measures(num_classes: int) -> tuple[Measure, ...]:
    """The share of examples classed right, and the cross-entropy without label smoothing.

    Guessing classes at random gets 1 in `num_classes` right. A run that diverged has no loss.
    """
    accuracy = Measure(
        name="accuracy",
        higher_is_better=True,
        guess=1 / num_classes,
        unit=POINTS,
        scale=100.0,
    )
    return accuracy, Measure(name="loss", higher_is_better=False, unit="nats")
