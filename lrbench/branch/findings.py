"""What the cooldowns reached, and what they cost, as numbers, a table and a picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lrbench.branch.cooldowns import Cooldown, Trunk
from lrbench.cli.console import line
from lrbench.cli.wording import counted
from lrbench.files import run_folder
from lrbench.files.result import RunResult


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the anytime curve.

    Attributes:
        at, length: updates before the cooldown, and of the whole run.
        trunk_val_loss: the trunk's after `at` updates; NaN where it was not evaluated there.
        val_loss: after the cooldown; NaN of a run that diverged.
        test: the test's first measure.
        spent: updates of trunk and cooldowns up to this point.
        independent: those of as many runs trained each by itself.
    """

    at: int
    length: int
    trunk_val_loss: float
    val_loss: float
    test: float
    spent: int
    independent: int
    folder: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The anytime curve, and the curves that it comes from.

    Attributes:
        measure: the name of the test's first measure.
        trunk, falls: validation losses by the updates taken; `falls` by the cooldown's `at`.
    """

    measure: str
    points: tuple[Point, ...]
    trunk: Mapping[int, float]
    falls: Mapping[int, Mapping[int, float]]

    @property
    def summary(self) -> str:
        """What all of it cost, in one line."""
        last = self.points[-1]
        return (
            f"{counted(len(self.points), 'budget')} for {last.spent:,} updates, trunk and "
            f"cooldowns, where independent runs take {last.independent:,}: "
            f"{last.spent / last.independent:.0%}"
        )


def conclude(
    trunk: Trunk, cooldowns: Sequence[Cooldown], results: Mapping[int, RunResult], folder: Path
) -> Findings:
    """Gather what the runs recorded."""
    of_trunk = losses(trunk.folder / run_folder.HISTORY)
    points: list[Point] = []
    falls = {}
    measure = results[cooldowns[0].at].measures[0].name
    fallen = whole = 0
    for each in cooldowns:
        result = results[each.at]
        history = losses(folder / each.place / run_folder.HISTORY)
        falls[each.at] = {step: loss for step, loss in history.items() if step >= each.at}
        before = history.get(each.at, of_trunk.get(each.at, math.nan))
        fallen += each.length - each.at
        whole += each.length
        values = (result.value(name) for name in ("val_loss", f"test_{measure}"))
        val_loss, test = (math.nan if value is None else value for value in values)
        points.append(
            Point(
                at=each.at,
                length=each.length,
                trunk_val_loss=before,
                val_loss=val_loss,
                test=test,
                spent=each.at + fallen,
                independent=whole,
                folder=str(folder / each.place),
            )
        )
    if not of_trunk:
        of_trunk = {s: loss for s, loss in history.items() if s <= cooldowns[-1].at}
    return Findings(measure=measure, points=tuple(points), trunk=of_trunk, falls=falls)


def losses(path: Path) -> dict[int, float]:
    """The validation losses of a history, by the updates taken; none where there is no file."""
    try:
        with path.open(newline="") as file:
            rows = [(row.get("step"), row.get("val_loss")) for row in csv.DictReader(file)]
        return {int(step): float(loss) for step, loss in rows if step and loss}
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def as_json(trunk: Trunk, found: Findings) -> dict[str, Any]:
    """All that was found."""
    last = found.points[-1]
    return {
        "trunk": str(trunk.folder),
        "measure": found.measure,
        "points": [asdict(point) for point in found.points],
        "spent": last.spent,
        "independent": last.independent,
    }


def show(found: Findings, written: Sequence[Path]) -> None:
    """Print the table and what it comes to."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = ("from update", "to update", "val loss before", "val loss", f"test {found.measure}")
    for name in (*names, "updates spent", "in runs alone"):
        table.add_column(name, justify="right")
    for point in found.points:
        losses_ = (point.trunk_val_loss, point.val_loss, point.test)
        cells = ("–" if math.isnan(value) else f"{value:.4f}" for value in losses_)
        table.add_row(
            f"{point.at:,}", f"{point.length:,}", *cells, f"{point.spent:,}",
            f"{point.independent:,}",
        )  # fmt: skip
    console.print(table)
    line(console, found.summary)
    for path in written:
        line(console, f"wrote {path}")
