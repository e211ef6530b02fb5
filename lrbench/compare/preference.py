"""Which of several peak lrs is the best one, seen on validation alone."""

from __future__ import annotations

import math

from lrbench.task.measure import Measure


def preference(
    measure: Measure, score: float, loss: float, lr: float
) -> tuple[float, float, float]:
    """A key to sort by, best first: better score, then lower loss, then smaller lr.

    Args:
        score: mean validation value of `measure`, a diverged run as guessing.
        loss: mean validation loss of the completed runs; NaN where there is none.
    """
    worth = math.inf if math.isnan(score) else -measure.sign * measure.exact(score)
    return (worth, math.inf if math.isnan(loss) else loss, lr)
