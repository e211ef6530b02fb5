"""Fewer points for drawing, with every peak and every jump still there."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

BUCKETS = 700  # about one for each pixel or two of a picture's width


def thin(values: np.ndarray, *, keep: Iterable[int] = (), buckets: int = BUCKETS) -> np.ndarray:
    """Indices to draw `values` (n,) at: int64, ascending, the first and last among them.

    The series is cut into `buckets` stretches. Of each stay its first and last point, its lowest
    and highest, and both sides of its largest step, so that a jump stays upright and at its
    place; so do the points in `keep` and their predecessors.
    """
    n = len(values)
    if n <= 6 * buckets:
        return np.arange(n)
    edges = np.linspace(0, n, buckets + 1).astype(np.int64)
    starts, stops = edges[:-1], edges[1:]
    width = int((stops - starts).max())
    # Short rows repeat their last point, which changes neither extremes nor steps.
    index = np.minimum(starts[:, None] + np.arange(width), (stops - 1)[:, None])
    rows = values[index]
    row = np.arange(buckets)
    step = np.abs(np.diff(rows, axis=1)).argmax(axis=1)
    chosen = [starts, stops - 1]
    chosen += [index[row, at] for at in (rows.argmin(1), rows.argmax(1), step, step + 1)]
    kept = np.fromiter(keep, dtype=np.int64)
    chosen += [kept, kept - 1]
    result = np.unique(np.concatenate(chosen))
    return result[(result >= 0) & (result < n)]
