"""From rows as logged to a history: one row per update, in order, under the contract's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrbench.cli.wording import counted
from lrbench.importer.names import EPOCHS, tokens, x_column
from lrbench.importer.raw import NOT_FINITE, RawRun

APART = 4  # times as far: then two series of one log are counted in different units


@dataclass(frozen=True, kw_only=True)
class Curves:
    """A run's history as it will be written, and what was done to get there.

    Attributes:
        history: ``step``, rising, and the columns asked for; an empty cell is NaN, and a number
            that was not finite is `NOT_FINITE`.
        axis: what ``step`` counts: ``updates``, or ``epochs`` where nothing tells of updates.
        test: the last value of each column of the test split, which stands for the whole run.
    """

    history: pd.DataFrame
    axis: str
    test: Mapping[str, float]
    notes: tuple[str, ...]


def curves(
    raw: RawRun, columns: Mapping[str, str], step: str | None, steps_per_epoch: int | None
) -> Curves:
    """Put the rows of `raw` in order.

    Args:
        columns: name as logged to name in the history; of one name the first that is logged.
        step: the column that says when; None: the best known name.
        steps_per_epoch: updates in an epoch, for logs that count epochs alone.

    Raises:
        ValueError: no column says when.
    """
    rows, notes = raw.rows, list(raw.notes)
    x_name = step or x_column(rows.columns) or ""
    if x_name not in rows:
        shown = ", ".join(map(str, rows.columns[:8]))
        raise ValueError(
            f"{raw.name}: no column says at which update ({shown}): give step=COLUMN, or add one "
            "to the log where there is none"
        )
    axis = "epochs" if tokens(x_name)[-1:] and tokens(x_name)[-1] in EPOCHS else "updates"
    x = rows[x_name].replace(NOT_FINITE, np.nan).ffill()
    frame = pd.DataFrame({"step": x})
    epoch = next((c for c in rows.columns if c != x_name and str(c).lower() == "epoch"), None)
    if epoch is not None:
        frame["epoch"] = rows[epoch]
    for logged, name in columns.items():
        if logged in rows and name not in frame:
            frame[name] = rows[logged]
    frame = frame[frame["step"].notna()].reset_index(drop=True)
    test = [name for name in frame if str(name).startswith("test_")]
    found = {}
    for name in test:
        values = frame[name].dropna()
        if len(values) and np.isfinite(values.iloc[-1]):
            found[str(name)] = float(values.iloc[-1])
    frame = frame.drop(columns=test)
    frame, told = _one_attempt(frame)
    notes += told + _on_one_axis(frame, axis)
    frame = frame.dropna(how="all", subset=[c for c in frame if c != "step"] or None)
    if frame["step"].duplicated().any() or not frame["step"].is_monotonic_increasing:
        frame = frame.groupby("step", as_index=False).last()
    if axis == "epochs":
        first = 1 if len(frame) and frame["step"].iloc[0] == 0 else 0  # counted from 0: epochs done
        frame.insert(1, "epoch", frame["step"] + first)
        frame["step"] = (frame["step"] + first) * (steps_per_epoch or 1)
        axis = "updates" if steps_per_epoch else axis
        if not steps_per_epoch:
            notes.append("its x is epochs: an epoch is written as one update")
    return Curves(history=frame.reset_index(drop=True), axis=axis, test=found, notes=tuple(notes))


def _one_attempt(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """`frame` with one point of each series at each update, where a run was cut and went on.

    Each series by itself, as series of one log may be counted in different units: where its steps
    go back another attempt begins. The attempt that reached furthest counts; what lies before its
    beginning comes from the others, in whatever order they were logged.
    """
    steps = frame["step"].to_numpy()
    if (np.diff(steps) >= 0).all():
        return frame, []
    frame, lost, most = frame.copy(), 0, 1
    for name in [name for name in frame if name not in ("step", "epoch")]:
        at = np.flatnonzero(frame[name].notna().to_numpy())
        kept, attempts = _chain(steps[at])
        frame.loc[at[~kept], name] = np.nan
        lost, most = lost + int((~kept).sum()), max(most, attempts)
    if most == 1:
        return frame, []
    return frame, [
        f"its steps go back: {most} attempts, of which the one that reached furthest counts, with "
        f"what the others logged before it ({counted(lost, 'point')} left out)"
    ]


def _chain(steps: NDArray[np.float64]) -> tuple[NDArray[np.bool_], int]:
    """Which points of a series count, bool (N,), and how many attempts it has."""
    kept = np.zeros(len(steps), dtype=bool)
    cuts = [0, *(np.flatnonzero(np.diff(steps) < 0) + 1), len(steps)]
    parts = [(a, b) for a, b in pairwise(cuts) if b > a]
    left, limit = list(parts), np.inf
    while left:
        first, stop = max(left, key=lambda part: (min(steps[part[1] - 1], limit), part))
        kept[first:stop] = steps[first:stop] < limit
        limit = steps[first]
        left = [part for part in left if steps[part[0]] < limit]
    return kept, len(parts)


def _on_one_axis(frame: pd.DataFrame, axis: str) -> list[str]:
    """Place validation that was counted in epochs beside a training loss counted in updates."""
    notes: list[str] = []
    vals = [name for name in frame if str(name).startswith("val_")]
    others = [name for name in frame if str(name).startswith(("train_", "lr"))]
    if axis != "updates" or not vals or not others:
        return notes
    steps = frame["step"].to_numpy()
    rows = {name: np.flatnonzero(frame[name].notna().to_numpy()) for name in (*vals, *others)}
    end = max((steps[at].max() for name, at in rows.items() if name in others and len(at)),
              default=0.0)  # fmt: skip
    moved = pd.DataFrame()
    for name in vals:
        at = rows[name]
        counts = len(at) > 1 and (np.diff(steps[at]) == 1).all()
        if counts and end > APART * (steps[at].max() + 1):
            first = steps[at].min()
            per = end / (steps[at].max() + 1 - first)
            again = pd.DataFrame(
                {
                    "step": np.round((steps[at] + 1 - first) * per),
                    name: frame.loc[at, name].to_numpy(),
                }
            )
            moved = pd.concat([moved, again])
            frame.loc[at, name] = np.nan
            notes.append(
                f"{name} is counted in epochs beside a log of {end:,.0f} updates: placed every "
                f"{per:,.0f} updates"
            )
    if len(moved):
        extra = moved.reindex(columns=frame.columns)
        for row in range(len(extra)):
            frame.loc[len(frame)] = extra.iloc[row]
    return notes
