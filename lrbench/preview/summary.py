"""The preview in numbers and words: the table, the warnings, the CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from lrbench.preview.curve import ScheduleCurve

CSV_COLUMNS = ("schedule", "step", "epoch", "lr", "momentum")


def warmup_updates(factors: np.ndarray) -> int:
    """Updates before the top of the rise that `factors` (n,) begin with; 0 if they do not rise."""
    falls = np.flatnonzero(np.diff(factors) < 0)
    rise = factors[: falls[0] + 1] if len(falls) else factors
    return int(np.isclose(rise, rise[-1], rtol=1e-9, atol=0.0).argmax())


def area(factors: np.ndarray) -> float:
    """The sum of the lr over the run, as a ratio of that of the base lr held throughout."""
    return float(factors.mean())


def table(curves: Sequence[ScheduleCurve]) -> Table:
    """One row per schedule."""
    result = Table(box=None, pad_edge=False, header_style="bold")
    result.add_column("schedule", overflow="fold")
    names = [
        "peak lr",
        "first lr",
        "last lr",
        "warmup\nupdates",
        "total\nupdates",
        "area vs\nconstant",
    ]
    replayed = any(curve.replayed for curve in curves)
    for name in names + (["replay valid\nto update"] if replayed else []):
        result.add_column(name, justify="right")
    for curve in curves:
        lr = curve.lr
        row = [curve.label, f"{lr.max():.4g}", f"{lr[0]:.4g}", f"{lr[-1]:.4g}"]
        row += [f"{warmup_updates(curve.factors):,}", f"{curve.total_steps:,}"]
        row += [f"{area(curve.factors):.1%}"]
        if replayed:
            row.append(_validity(curve))
        result.add_row(*row)
    return result


def as_json(curve: ScheduleCurve) -> dict[str, Any]:
    """The table's row of one schedule, for programs."""
    lr = curve.lr
    return {
        "schedule": curve.label,
        "peak_lr": float(lr.max()),
        "first_lr": float(lr[0]),
        "last_lr": float(lr[-1]),
        "warmup_updates": warmup_updates(curve.factors),
        "total_updates": curve.total_steps,
        "steps_per_epoch": curve.steps_per_epoch,
        "area": area(curve.factors),
        "replay_valid_to": None if curve.mark is None else curve.mark.step,
        "warnings": list(curve.warnings),
    }


def _validity(curve: ScheduleCurve) -> str:
    if not curve.replayed:
        return "reads no loss"
    return "the end" if curve.mark is None else f"{curve.mark.step:,}"


def notes(curves: Sequence[ScheduleCurve], differences: str) -> Iterator[str]:
    """The assumptions behind the picture, and how the schedules reacted to the losses.

    Args:
        differences: between the recorded run's config and the one drawn; empty where none.
    """
    guessed = [c.label for c in curves if c.scheduler.reads_losses and not c.replayed]
    if guessed:
        yield (
            f"{', '.join(guessed)}: drawn as if the validation loss kept improving; "
            "history=FOLDER replays a recorded run's losses"
        )
    for decay in sorted({c.layer_decay for c in curves if c.layer_decay is not None}):
        yield f"layer_decay={decay}: the last layer is drawn; each has {decay} × the lr of the next"
    if differences:
        yield f"the recorded run differs besides its schedule: {differences}"
    for curve in curves:
        if curve.replayed:
            yield from _replay_notes(curve)


def _replay_notes(curve: ScheduleCurve) -> Iterator[str]:
    for change in curve.plan.changes(curve.total_steps):
        epoch = change.step / curve.steps_per_epoch
        yield f"{curve.label}: update {change.step:,} (epoch {epoch:.4g}): {change.reason}"
    if curve.mark is None:
        yield f"{curve.label}: the replay is valid to the end: its lr is the recorded run's"
    else:
        valid = f"the replay is valid to update {curve.mark.step:,}"
        yield f"{curve.label}: {valid}: {curve.mark.reason}"


def write_csv(path: Path, curves: Sequence[ScheduleCurve]) -> None:
    """Every update of every curve, one row each.

    As in a run's history.csv, `step` counts updates from 1 and the lr is what that update used.
    Numbers are written in full, so that they read back equal.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(",".join(CSV_COLUMNS) + "\n")
        for curve in curves:
            label = f'"{curve.label}"' if "," in curve.label else curve.label
            for step, lr in enumerate(curve.lr.tolist()):
                momentum = curve.momentum(step)
                cell = "" if momentum is None else repr(momentum)
                epoch = (step + 1) / curve.steps_per_epoch
                file.write(f"{label},{step + 1},{epoch:.6g},{lr!r},{cell}\n")
