"""From a trunk's folder to the runs that cool down from it, and their training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrbench.config import ConfigError, duration
from lrbench.files import run_folder
from lrbench.files.result import RunResult, read_result
from lrbench.run import shared
from lrbench.run.parts import build_parts
from lrbench.run.run import DivergedRun, run
from lrbench.run.savings import Courses
from lrbench.trainer.course import Course


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A run that holds its lr.

    Attributes:
        choices: the names of its config's choices, by group.
        floor: the factor of the base lr that a cooldown ends at: its schedule's min_factor, or 0.
    """

    folder: Path
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    course: Course
    floor: float


@dataclass(frozen=True, kw_only=True)
class Cooldown:
    """A run that leaves the trunk after `at` updates and ends after `length` of its own."""

    at: int
    length: int
    place: str  # its folder's name
    config: Mapping[str, Any]


def read_trunk(folder: Path) -> Trunk:
    """The trunk in `folder`, as far as its config tells; its data set is loaded for its size.

    Raises:
        ConfigError, FolderError: it is no run whose updates another one can begin with.
    """
    if not (folder / run_folder.CONFIG).is_file():
        raise ConfigError(f"{folder} is not a run folder: it has no {run_folder.CONFIG}")
    config = run_folder.read_config(folder)
    if "loop" in config:
        raise ConfigError(f"{folder} was trained by a loop of your own: cool down there")
    parts = build_parts(config)
    if parts.scheduler.reads_losses:
        raise ConfigError(
            f"{folder} follows its losses and holds no lr: a trunk is scheduler=constant or wsd"
        )
    if parts.optimizer.schedules:
        name = next(iter(parts.optimizer.schedules))
        raise ConfigError(f"optimizer.groups.{name}.scheduler would not cool down: leave it out")
    return Trunk(
        folder=folder,
        config=config,
        choices=run_folder.read_choices(folder),
        course=Courses()(config),
        # To 0 where the schedule has no min_factor, as constant has none.
        floor=float(getattr(parts.scheduler, "min_factor", 0.0)),
    )


def plan(trunk: Trunk, points: Sequence[str], cooldown: str) -> list[Cooldown]:
    """The runs that cool down from `trunk`, the shortest first.

    Args:
        points: durations from the trunk's start; shares are of its length.
        cooldown: how long the lr falls; a share is one of the new run's whole length.

    Raises:
        ConfigError: a point or a length does not fit.
    """
    course = trunk.course
    factors = course.plans()[0].factors()
    found = {}
    for text in points:
        at = _steps("at", text, course)
        if not 1 <= at <= course.total_steps:
            raise ConfigError(f"at={text} is update {at}, of {course.total_steps}")
        peak = max(factors[:at])
        if factors[at - 1] < peak:
            turn = factors.index(peak) + factors[factors.index(peak) :].count(peak)
            raise ConfigError(
                f"at={text} is update {at}, where the lr of {trunk.folder} falls already: choose "
                f"points up to update {turn}"
            )
        found[at] = _cooldown(trunk, at, at + _fall(at, cooldown, course))
    return [found[at] for at in sorted(found)]


def _steps(key: str, text: str, course: Course) -> int:
    try:
        return duration.whole_steps(
            text, total_steps=course.total_steps, steps_per_epoch=course.steps_per_epoch
        )
    except ValueError as error:
        raise ConfigError(f"{key}={error}") from error


def _fall(at: int, cooldown: str, course: Course) -> int:
    """Updates of the cooldown from update `at`."""
    if cooldown.strip().endswith("%"):
        _steps("cooldown", cooldown, course)
        share = duration.parse(cooldown)[0] / 100
        if not 0 < share < 1:
            raise ConfigError(f"cooldown={cooldown} must be above 0% and below 100% of a run")
        steps = math.floor(at * share / (1 - share) + 0.5)
    else:
        steps = _steps("cooldown", cooldown, course)
    if steps < 1:
        raise ConfigError(f"cooldown={cooldown} from update {at} is less than one update")
    return steps


def _cooldown(trunk: Trunk, at: int, length: int) -> Cooldown:
    course, trainer = trunk.course, trunk.config["trainer"]
    every = trainer["eval_interval"]
    if every.strip().endswith("%"):  # of the trunk, not of the new run
        every = f"{course.eval_every} steps"
    scheduler = {
        "_target_": "lrbench.scheduler.Continued",
        "warmup": "0 steps",
        "warmup_shape": "linear",
        "warmup_start_factor": 1.0,
        "schedule": trunk.config["scheduler"],
        "planned_steps": course.total_steps,
        "cooldown_start": at,
        "cooldown_floor": trunk.floor,
    }
    config = {
        **trunk.config,
        "scheduler": scheduler,
        "trainer": {**trainer, "length": f"{length} steps", "eval_interval": every},
    }
    return Cooldown(at=at, length=length, place=f"at={at},length={length}", config=config)


def train(
    trunk: Trunk, cooldowns: Sequence[Cooldown], folder: Path, tell: Callable[[str], None]
) -> dict[int, RunResult]:
    """Train those of `cooldowns` that are not done, in `folder`; the results by `at`.

    Each leaves the state that the next one begins with, and the first one begins with what the
    trunk has kept, or anew.
    """
    new = [each for each in cooldowns if not (folder / each.place / run_folder.RESULT).exists()]
    shared.prepare(folder, [(each.place, each.config) for each in new])
    kept = shared.kept(trunk.folder)
    for each in new:
        usable = [step for step in kept if step <= each.at]
        if usable:
            shared.lend(folder, each.config, max(usable), kept[max(usable)])
    last = max((each.at for each in new), default=0)
    missing = last - max((step for step in kept if step <= last), default=0)
    if missing:
        tell(
            f"{trunk.folder} has not kept its states up to update {last:,}: {missing:,} of its "
            "updates are trained again; keep_at=[…], given when it is trained, keeps them"
        )
    choices = {**trunk.choices, "scheduler": f"{trunk.choices['scheduler']}+cooldown"}
    hydra = OmegaConf.create({"runtime": {"choices": choices}, "overrides": {"task": []}})
    assert isinstance(hydra, DictConfig)
    results = {}
    for number, each in enumerate(cooldowns, 1):
        own = folder / each.place
        own.mkdir(parents=True, exist_ok=True)
        if each in new:
            tell(f"run {number} of {len(cooldowns)}: {each.at:,} updates, then a cooldown")
        cfg = OmegaConf.create({**each.config, "tracker": None})
        try:
            run(cfg, own, hydra, in_sweep=True, shared_in=folder)
        except DivergedRun as error:
            tell(str(error))
        results[each.at] = read_result(own / run_folder.RESULT)[0]
    shared.remove(folder)
    return results
