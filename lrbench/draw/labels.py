"""Where to write each curve's name, so that it stands at its line and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ANCHORS = 48  # places along a curve that are tried
SPACING = 4.0  # between the points that a curve is measured at
SIDES = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)]
PASSES = 2  # a later label may make an earlier one's place the worse one


@dataclass(frozen=True)
class Place:
    """The centre of a label, and the point of its curve that it stands at."""

    x: float
    y: float
    anchor: tuple[float, float]
    distance: float  # from the label's edge to its curve


def place(
    curves: Sequence[np.ndarray],
    sizes: Sequence[tuple[float, float]],
    area: tuple[float, float, float, float],
    gap: float,
) -> list[Place]:
    """One place per curve.

    Each label stands off its own curve by about `gap`, farther from all others, inside the area
    and over no other label, as far as there is such a place.

    Args:
        curves: points (n, 2) of each polyline, in the unit of the other arguments.
        sizes: width and height of each label.
        area: left, bottom, right, top.
    """
    lines = [resample(curve, SPACING * gap / 5) for curve in curves]
    tried = [_candidates(line, size, gap, area) for line, size in zip(lines, sizes, strict=True)]
    costs = [
        _costs(centres, anchors, size, lines, i, gap)
        for i, ((centres, anchors), size) in enumerate(zip(tried, sizes, strict=True))
    ]
    chosen: dict[int, int] = {}
    for _ in range(PASSES):
        for i in range(len(curves)):
            centres = tried[i][0]
            cost = costs[i].copy()
            for j, k in chosen.items():
                if j != i:
                    other = tried[j][0][k], sizes[j]
                    cost += 50 * _overlaps(centres, sizes[i], *other, gap / 2)
                    cost += 3 * _overlaps(centres, sizes[i], *other, 3 * gap)
            chosen[i] = int(cost.argmin())
    places = []
    for i, line in enumerate(lines):
        centre, anchor = tried[i][0][chosen[i]], tried[i][1][chosen[i]]
        distance = float(_distances(centre[None], sizes[i], line).min())
        places.append(Place(float(centre[0]), float(centre[1]), tuple(anchor), distance))
    return places


def resample(points: np.ndarray, spacing: float) -> np.ndarray:
    """Points (m, 2) at most `spacing` apart on the polyline through `points` (n, 2)."""
    if len(points) < 2:
        return points
    lengths = np.hypot(*np.diff(points, axis=0).T)
    travelled = np.concatenate([[0.0], np.cumsum(lengths)])
    moved = np.concatenate([[True], lengths > 0])
    wanted = np.linspace(0, travelled[-1], max(2, int(travelled[-1] / spacing) + 1))
    return np.column_stack(
        [np.interp(wanted, travelled[moved], points[moved, axis]) for axis in (0, 1)]
    ).astype(np.float32)


def _candidates(
    line: np.ndarray,
    size: tuple[float, float],
    gap: float,
    area: tuple[float, float, float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Centres (k, 2) of boxes around points of the curve, moved into the area, and those points."""
    anchors = line[np.linspace(0, len(line) - 1, min(ANCHORS, len(line))).astype(int)]
    half = np.array(size) / 2
    reach = np.array([[x, y] * (half + gap) for x, y in SIDES])
    reach = np.concatenate([reach, reach + 2.5 * gap * np.sign(reach)])
    centres = (anchors[:, None] + reach[None]).reshape(-1, 2)
    low = np.array(area[:2]) + half + gap / 2
    high = np.maximum(np.array(area[2:]) - half - gap / 2, low)
    return np.clip(centres, low, high), np.repeat(anchors, len(reach), axis=0)


def _costs(
    centres: np.ndarray,
    anchors: np.ndarray,
    size: tuple[float, float],
    lines: Sequence[np.ndarray],
    i: int,
    gap: float,
) -> np.ndarray:
    """How bad each centre is for label `i`, other labels not counted; in units of `gap`."""
    own = _distances(centres, size, lines[i]).min(axis=1) / gap
    cost = 2 * np.abs(own - 1)  # near its own line
    cost += np.where(own < 0.6, 20, 0)  # not on it
    others = [line for j, line in enumerate(lines) if j != i]
    if others:
        rest = np.concatenate(others)
        nearest = _distances(centres, size, rest).min(axis=1) / gap
        lone = _distances(anchors[:: 2 * len(SIDES)], (0.0, 0.0), rest).min(axis=1) / gap
        cost += np.where(nearest < 0.6, 30, 0)  # nor on another
        cost += np.where(nearest < 1.6 * own, 10, 0)  # and clearly the own line's
        cost -= np.minimum(nearest, 8) / 2
        cost -= np.repeat(np.minimum(lone, 6), 2 * len(SIDES))  # where the line is by itself
    return cost


def _distances(centres: np.ndarray, size: tuple[float, float], line: np.ndarray) -> np.ndarray:
    """From the edges of the boxes at `centres` (k, 2) to the points of `line` (m, 2): (k, m)."""
    away = [
        np.maximum(np.abs(line[None, :, axis] - centres[:, None, axis]) - size[axis] / 2, 0)
        for axis in (0, 1)
    ]
    return np.sqrt(away[0] ** 2 + away[1] ** 2)


def _overlaps(
    centres: np.ndarray,
    size: tuple[float, float],
    other: np.ndarray,
    other_size: tuple[float, float],
    room: float,
) -> np.ndarray:
    """Whether the boxes at `centres` come closer than `room` to the box of another label."""
    apart = (np.array(size) + np.array(other_size)) / 2 + room
    return (np.abs(centres - other) < apart).all(axis=1)
