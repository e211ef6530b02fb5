"""Which of several peak lrs is the best one, seen on validation alone."""

from __future__ import annotations

import math


def preference(score: float, loss: float, lr: float) -> tuple[float, float, float]:
    """A key to sort by, best first: higher score, then lower loss, then smaller lr.

    Args:
        score: mean validation accuracy, a diverged run as guessing.
        loss: mean validation loss of the completed runs; NaN where there is none.
    """
    # Accuracies are counts rounded to float32: without its noise ties are ties.
    return (-round(score, 6), math.inf if math.isnan(loss) else loss, lr)
