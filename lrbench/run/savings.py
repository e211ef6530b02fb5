"""What a sweep will run, and which updates its runs share: planned before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrbench.cli.wording import counted
from lrbench.config import ConfigError
from lrbench.files import run_folder
from lrbench.run.parts import Parts, build_parts
from lrbench.run.shared import Job, sets_of
from lrbench.trainer.course import Course, surely_shared


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run that a sweep will make.

    Attributes:
        updates: of the whole run.
        shared: updates that it takes over from the run `trunk`; 0: none.
        exact: whether these are all; else at least so many.
    """

    folder: str
    updates: int
    shared: int = 0
    trunk: str = ""
    exact: bool = True


class Courses:
    """Lays runs out; the data set is loaded once for all runs that have it."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[int, str, int]] = {}

    def __call__(self, config: Mapping[str, Any]) -> Course:
        """The course of the run of `config`.

        Raises:
            ValueError, OSError: it cannot be made, or its length is a time.
        """
        if "loop" in config:
            raise ConfigError("dry_run=true plans runs of lrbench's own training loop: loop=own")
        parts = build_parts(config)
        place = repr((config["dataset"], config["task"], parts.settings.batch_size))
        if place not in self._sizes:
            self._sizes[place] = _sizes(parts)
        steps_per_epoch, unit, units_per_example = self._sizes[place]
        own = parts.optimizer.schedules
        task = (unit, units_per_example)
        return Course.of(parts.scheduler, own, parts.settings, steps_per_epoch, *task)


def _sizes(parts: Parts) -> tuple[int, str, int]:
    """Updates of an epoch, the unit that the task counts in, and units per example."""
    import torch

    settings = parts.settings
    data = parts.dataset.load(torch.device("cpu"), channels_last=settings.channels_last)
    task = parts.task.build(data.examples)
    try:
        steps_per_epoch = data.train.steps_per_epoch(settings.batch_size)
    except ValueError as error:
        raise ValueError(f"trainer.{error}") from error
    return steps_per_epoch, task.unit, task.units_per_example


def plan(jobs: Sequence[Job], *, share: bool) -> list[list[Planned]]:
    """The runs of `jobs` in sets, whose runs share updates; each begins from one before it.

    Args:
        share: whether they may; if not, each is a set by itself.

    Raises:
        ValueError, OSError: a run cannot be made, or its length is a time.
    """
    courses = Courses()
    laid_out = {folder: courses(config) for folder, config in jobs}
    found = sets_of(jobs).values() if share else ()
    sets = [[folder for folder, _ in own.values()] for own in found]
    alone = [[folder] for folder in laid_out if not any(folder in own for own in sets)]
    return [_tree({folder: laid_out[folder] for folder in own}) for own in [*sets, *alone]]


def _tree(courses: Mapping[str, Course]) -> list[Planned]:
    from lrbench.trainer.forks import LEAST_SHARED

    found: list[Planned] = []
    for number, (folder, course) in enumerate(courses.items()):
        before = list(courses.items())[:number]
        shared, trunk = 0, ""
        for name, other in before:
            common = surely_shared(other, course)
            if common > shared and common >= LEAST_SHARED * course.total_steps:
                shared, trunk = common, name
        near = (course, *(other for _, other in before))
        exact = not before or not any(each.reads_losses for each in near)
        found.append(
            Planned(
                folder=folder, updates=course.total_steps, shared=shared, trunk=trunk, exact=exact
            )
        )
    return found


def describe(sweep: Path, sets: Sequence[Sequence[Planned]], num_done: int) -> Iterator[str]:
    """The plan in words and numbers, a line each; of sets that are alike, one is shown."""
    runs = [run for own in sets for run in own]
    done = f", {num_done} more are done" if num_done else ""
    yield f"{sweep}: {counted(len(runs), 'run')} to make{done}"
    shown: dict[tuple[Any, ...], int] = {}
    for own in sets:
        kind = _kind(own)
        shown[kind] = shown.get(kind, 0) + 1
        if shown[kind] == 1:
            yield from _drawn(own)
    alike = sum(number - 1 for number in shown.values())
    if alike:
        yield f"  and {counted(alike, 'set')} of runs like these, of other seeds or settings"
    whole = sum(run.updates for run in runs)
    saved = sum(run.shared for run in runs)
    least = "" if all(run.exact for run in runs) else "at least "
    yield (
        f"{whole:,} updates, of which {least}{saved:,} ({saved / max(whole, 1):.0%}) are shared "
        f"and {whole - saved:,} are trained"
    )


def _kind(own: Sequence[Planned]) -> tuple[Any, ...]:
    """What two sets of runs must have in common to be alike."""
    places = [run.folder for run in own]
    return tuple(
        (run.updates, run.shared, run.exact, places.index(run.trunk) if run.trunk else None)
        for run in own
    )


def _drawn(own: Sequence[Planned]) -> Iterator[str]:
    """The tree of one set of runs: each below the one that it begins from."""
    width = max(len(run.folder) + 2 * len(_way(run, own)) for run in own)

    def branch(run: Planned, depth: int) -> Iterator[str]:
        name = f"{'  ' * depth}{run.folder}"
        least = "" if run.exact else "at least "
        after = f", from {least}update {run.shared:,} on" if run.trunk else ""
        yield f"  {name:{width}}  {run.updates:,} updates{after}"
        for other in own:
            if other.trunk == run.folder:
                yield from branch(other, depth + 1)

    for run in own:
        if not run.trunk:
            yield from branch(run, 0)


def _way(run: Planned, own: Sequence[Planned]) -> list[Planned]:
    """The runs that `run` begins from, one from another."""
    trunk = next((other for other in own if other.folder == run.trunk), None)
    return [] if trunk is None else [trunk, *_way(trunk, own)]


def shared_of(results: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """How many updates those runs took over from others, and how many they have in all."""
    saved = sum((result.get("shared") or {}).get("updates", 0) for result in results)
    return saved, sum(result["steps"] for result in results)


def undone(sweep: Path, jobs: Sequence[Job]) -> list[Job]:
    """Those of `jobs` that have no result in the folder `sweep`."""
    return [job for job in jobs if not (sweep / job[0] / run_folder.RESULT).exists()]
