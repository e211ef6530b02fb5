"""A study's finished runs, read back from their folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lrbench.compare.read import FinishedRun, Found, collect
from lrbench.files.run_folder import RESULT
from lrbench.study.records import Point, Stage, StudyOutcome

Runs = Mapping[Path, FinishedRun]
"""Finished runs by their folder; those that were asked for but have no usable result are absent."""


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
