"""What a logged lr looks like: a warmup, one shape of descent with its end and floor, a rise again.

A shape is found by its inverse: through it the descent becomes a straight line over the updates,
whose ends are where the descent began and where it ends, be it beyond the run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FITS = 2e-3  # of the peak: a fit whose largest error is below it
CHANGE = 1e-7  # of the peak: less is rounding
RISE = 1e-3  # of the peak: a rise by more, after the peak, is one
LEAP = 0.1  # of the peak: a change by more from one logged point to the next may be a leap
MIN_POINTS = 6  # of different lr that a shape is fitted to
MAX_POINTS = 400

# What is left of the descent, z from 1 to 0, to the fraction p that has passed, and back.
_ENDING: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "cosine": (lambda z: np.arccos(2 * z - 1) / np.pi, lambda p: (1 + np.cos(np.pi * p)) / 2),
    "linear": (lambda z: 1 - z, lambda p: 1 - p),
    "1-sqrt": (lambda z: (1 - z) ** 2, lambda p: 1 - np.sqrt(p)),
    "quadratic": (lambda z: 1 - np.sqrt(z), lambda p: (1 - p) ** 2),
    "rex": (lambda z: (1 - z) / (1 - z / 2), lambda p: (1 - p) / (1 - p / 2)),
}
_ENDLESS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "exponential": (lambda y: -np.log(y), lambda p: np.exp(-p)),
    "inverse square root": (lambda y: 1 / y**2 - 1, lambda p: 1 / np.sqrt(1 + p)),
}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The form of one lr over a run; places are in updates (or whatever the log counts in).

    Attributes:
        shape: of the descent: ``cosine``, …, ``steps``, ``constant``; empty where none fits.
        peak: the highest lr.
        warmup: where a straight rise from the start reaches the peak; 0 where none is seen.
        rising: whether the lr still rises at the log's end.
        start, end: of the descent, NaN where it has none.
        floor: what it descends to, as a ratio of the peak.
        interval: updates between two changes, where they are further apart than two points.
        again: where it rises again after its peak, NaN where it does not.
        leaps: whether it does so at once.
        before, after: the lr on both sides of `again`, as ratios of the peak.
    """

    shape: str
    peak: float
    warmup: float = 0.0
    rising: bool = False
    start: float = np.nan
    end: float = np.nan
    floor: float = np.nan
    interval: float = 0.0
    again: float = np.nan
    leaps: bool = False
    before: float = np.nan
    after: float = np.nan


def fit(steps: Array, lrs: Array) -> Fit:
    """The form of the lr that was logged at `steps` (N,), rising; N is at least 2."""
    peak = float(lrs.max())
    if peak <= 0 or np.ptp(lrs) <= 1e-6 * peak:
        return Fit(shape="constant", peak=peak)
    y = lrs / peak
    top = int(np.argmax(y >= 1 - 1e-6))
    warmup = _warmup(steps, y, top)
    changes = np.flatnonzero(np.abs(np.diff(y)) > CHANGE) + 1
    interval = _interval(steps, changes)
    last = len(y) - 1 - int(interval / np.median(np.diff(steps)))
    if top >= last and y[0] < 1 - LEAP and (np.diff(y[: top + 1]) > -RISE).all():
        return Fit(shape="", peak=peak, warmup=warmup, rising=True, interval=interval)
    again, leaps = _rise_again(y, top)
    stop = len(y) if again is None else again + 1
    kept = np.unique(np.concatenate([[top], changes[(changes > top) & (changes < stop)]]))
    form = _descent(steps[kept], y[kept], y[top:stop], float(np.median(np.diff(steps))))
    start, end, floor = form[1:]
    found = Fit(
        shape=form[0], peak=peak, warmup=warmup, start=start, end=end, floor=floor,
        interval=interval,
    )  # fmt: skip
    if again is None:
        return found
    at, after = float(steps[again]), float(y[again + 1])
    return Fit(**{**vars(found), "again": at, "leaps": leaps, "before": float(y[again]),
                  "after": after})  # fmt: skip


def _warmup(steps: Array, y: Array, top: int) -> float:
    """Where the straight line through the rising points reaches the peak; 0 where none is seen."""
    rising = np.flatnonzero((y[:top] < 1 - FITS) & (np.diff(y[: top + 1]) > CHANGE))
    if len(rising) < 2:
        return float(steps[top]) if top else 0.0
    slope, first = np.polyfit(steps[rising], y[rising], 1)
    straight = np.abs(first + slope * steps[rising] - y[rising]).max() < 10 * FITS
    return float((1 - first) / slope) if straight and slope > 0 else float(steps[top])


def _interval(steps: Array, changes: NDArray[np.intp]) -> float:
    """The usual distance of two changes where the lr is held in between, else 0."""
    if len(changes) < 3 or len(changes) > 0.6 * (changes[-1] - changes[0] + 1):
        return 0.0
    return float(np.median(np.diff(steps[changes])))


def _rise_again(y: Array, top: int) -> tuple[int | None, bool]:
    """The last point before the lr rises again after its peak, and whether that is a leap."""
    rises = np.flatnonzero(np.diff(y[top:]) > RISE) + top
    if not len(rises):
        return None, False
    at = int(rises[0])
    jump = y[at + 1] - y[at]
    if jump > LEAP and (at + 2 >= len(y) or abs(y[at + 2] - y[at + 1]) < jump / 2):
        return at, True
    fall = y[at - 1] - y[at]  # down to where another warmup begins
    if at > top + 2 and fall > LEAP and fall > 4 * (y[at - 2] - y[at - 1]):
        return at - 1, True
    return at, False


def _descent(steps: Array, y: Array, whole: Array, gap: float) -> tuple[str, float, float, float]:
    """The shape that fits the points at which the lr changes: its name, start, end and floor."""
    tail = int(np.argmax(np.append(np.abs(whole[::-1] - whole[-1]) > CHANGE, True)))
    usual = (len(whole) - tail) / max(len(y) - 1, 1)  # points for which the lr is held before
    held = tail > max(2.0, 1.5 * usual) and whole[-1] < 1 - RISE
    floor = float(y[-1]) if held else np.nan
    if len(y) < MIN_POINTS:
        return "steps", np.nan, np.nan, floor
    chosen = np.unique(np.linspace(0, len(y) - 1, MAX_POINTS).astype(int))
    steps, y = steps[chosen], y[chosen]
    found: list[tuple[float, str, float, float, float]] = []
    for name, (inverse, shape) in _ENDING.items():
        lows = np.array([floor]) if held else np.append(0.0, np.linspace(0, y[-1], 12)[1:])
        tried = _tried(steps, y, inverse, shape, lows, gap)
        best = int(np.argmin(tried[0]))
        if not held and best and tried[0][0] > FITS / 20:
            near = np.linspace(lows[best - 1], lows[min(best + 1, len(lows) - 1)], 15)
            lows = np.append(lows, near)
            tried = np.append(tried, _tried(steps, y, inverse, shape, near, gap), axis=1)
            best = int(np.argmin(tried[0]))
        best = 0 if tried[0][0] < FITS / 20 else best
        error, start, end = map(float, tried[:, best])
        found.append((error, name, start, end, float(lows[best])))
    for name, (inverse, shape) in _ENDLESS.items():
        above = y > max(floor if held else 0.0, 1e-6) + CHANGE
        error, start, _ = _tried(steps[above], y[above], inverse, shape, np.zeros(1), np.inf)[:, 0]
        found.append((float(error), name, float(start), np.nan, floor))
    error, name, start, end, low = min(found, key=lambda form: form[0])
    return (name, start, end, low) if error < FITS else ("", np.nan, np.nan, floor)


def _tried(
    steps: Array,
    y: Array,
    inverse: Callable[[Array], Array],
    shape: Callable[[Array], Array],
    lows: Array,
    gap: float,
) -> Array:
    """One shape with each of the floors `lows` (F,): its largest error, start and end, (3, F).

    The error is infinite where the shape cannot be fitted. Of one with an infinite `gap` the
    descent has no end.
    """
    if not len(y):
        return np.tile([[np.inf], [np.nan], [np.nan]], len(lows))
    low = np.minimum(lows, 1 - RISE)[:, None]
    z = (y - low) / (1 - low)  # (F, N)
    inside = (z > 0.005) & (z < 0.995)
    straight = inverse(np.clip(z, 0.005, 0.995))
    num = np.maximum(inside.sum(axis=1, keepdims=True), 1)
    middle = (inside * steps).sum(axis=1, keepdims=True) / num
    height = (inside * straight).sum(axis=1, keepdims=True) / num
    away = inside * (steps - middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (away * straight).sum(axis=1, keepdims=True) / (away**2).sum(axis=1, keepdims=True)
        start, length = middle - height / slope, 1 / slope
        passed = np.maximum((steps - start) / length, 0.0)
        ends = np.isfinite(gap)
        drawn = low + (1 - low) * shape(np.minimum(passed, 1.0) if ends else passed)
        error = np.abs(drawn - y).max(axis=1)
    fits = (inside.sum(axis=1) >= MIN_POINTS - 2) & (slope[:, 0] > 0) & (lows < 1 - RISE)
    if ends:
        fits &= start[:, 0] >= steps[0] - 3 * gap - 0.02 * (steps[-1] - steps[0])
    return np.where(
        fits, [error, start[:, 0], (start + length)[:, 0]], [[np.inf], [np.nan], [np.nan]]
    )


def shape_of(form: Fit) -> str:
    """``a cosine``."""
    return f"a {form.shape}" if form.shape != "exponential" else "an exponential"


def with_warmup(form: Fit) -> str:
    """What is said of its warmup behind the shape; nothing where it has none."""
    return f" with {form.warmup:,.0f} of warmup" if form.warmup > 1 else ""


def describe(form: Fit, length: float) -> str:
    """What the lr did, in words."""
    if form.shape == "constant":
        return f"constant at {form.peak:.4g}"
    if form.rising:
        return f"rising to its end, to {form.peak:.4g}"
    peak, warm = f", peak {form.peak:.4g}", with_warmup(form)
    if form.shape in ("", "steps"):
        return f"{'held in steps' if form.shape else 'of no known shape'}{warm}{peak}"
    if math.isnan(form.end):
        return f"{form.shape} decay{warm}{peak}"
    stable = form.start - form.warmup > 0.05 * (form.end - form.warmup)
    begins = f" from {form.start:,.0f} on" if stable else ""
    again = "" if math.isnan(form.again) else f", rising again at {form.again:,.0f}"
    return (
        f"{form.shape}{begins} over {form.end:,.0f} updates{warm}, to {form.floor:.3g} of its peak"
        f"{again}{peak}; the run took {length:,.0f}"
    )
