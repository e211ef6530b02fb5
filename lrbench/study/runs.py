"""A study's finished runs, read back from their folders, and what each of them scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from lrbench.compare.evaluations import Evaluations
from lrbench.compare.read import FinishedRun, Found, collect
from lrbench.compare.rows import Mean
from lrbench.files.run_folder import RESULT
from lrbench.study.records import Point, Stage, StudyOutcome
from lrbench.task import Measure

Runs = Mapping[Path, FinishedRun]
"""Finished runs by their folder; those that were asked for but have no usable result are absent."""


def score(run: FinishedRun, split: str, measure: Measure) -> float:
    """What `run` counts as on the ``test`` or ``val`` split; see `Measure.score`."""
    return measure.score(run.result.value(f"{split}_{measure.name}"), completed=run.completed)


def mean(values: Iterable[float]) -> float:
    """The mean of those that are finite: a diverged run has no value where guessing has none."""
    return Mean.of(values).value


def late_gain(run: FinishedRun, measure: Measure) -> float:
    """By how much validation gets better over a completed run's last fifth; NaN where unseen."""
    evaluations = Evaluations.of(run.history, measure)
    if not run.completed or evaluations is None:
        return math.nan
    return evaluations.phases(run.result.steps)["late_gain"]


def fresh(stage: Stage) -> list[Point]:
    """The runs of `stage` on the final seeds, tuned and untuned, each once."""
    tracks = (stage.final, stage.untuned)
    points = [point for track in tracks for own in track.values() for point in own]
    return list({point.folder: point for point in points}.values())


def read_points(points: Iterable[Point], folder: Path) -> tuple[dict[Path, FinishedRun], Found]:
    """The finished runs of `points` by folder, and what was found, problems included.

    Args:
        folder: the study's, below which runs are named.
    """
    wanted = {point.folder for point in points if (point.folder / RESULT).is_file()}
    named = [(path, path.relative_to(folder).as_posix()) for path in sorted(wanted)]
    found = collect(named)
    return {run.path: run for run in found.runs}, found


def read_final(outcome: StudyOutcome) -> dict[Path, FinishedRun]:
    """The finished runs of all stages on the final seeds."""
    points = [point for stage in outcome.stages for point in fresh(stage)]
    return read_points(points, outcome.folder)[0]
