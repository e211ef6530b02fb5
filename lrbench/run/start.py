"""A run in anybody's training loop: lrbench gives the schedule and keeps the run folder.

Importing this module imports neither torch nor Hydra.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lrbench.config.checks import require
from lrbench.files.result import SPLITS
from lrbench.run.process import VARIABLE
from lrbench.run.started_run import StartedRun
from lrbench.task.measure import WELL_KNOWN, Measure

if TYPE_CHECKING:
    from lrbench.scheduler import Scheduler


def start(
    folder: str | Path | None = None,
    *,
    strategy: str | None = None,
    scheduler: Scheduler | Mapping[str, Any] | None = None,
    seed: int = 0,
    lr: float | None = None,
    total_steps: int | None = None,
    measure: str | Measure | Sequence[str | Measure] = "loss",
    config: Mapping[str, Any] | None = None,
    paired: bool | None = None,
    overwrite: bool = False,
) -> StartedRun:
    """Begin a run of one's own training loop: ``with lrbench.start(...) as run:``.

    Where lrbench started the program (``loop=function``, ``loop=command``), folder, schedule, seed,
    peak lr and length are those of the config that it composed, and the arguments stand in for what
    that leaves open. Of several processes of one run (``RANK`` above 0), all but the first write
    nothing.

    Args:
        folder: the run folder; made where it is missing.
        strategy: the name that runs are grouped by; without a `scheduler`, also a choice of
            conf/scheduler, whose schedule is then used.
        scheduler: a schedule, or changes to the keys of that choice.
        seed: of the run: what the loop draws from it is the loop's affair.
        lr: the peak lr, which the schedule multiplies.
        total_steps: the run's length in optimizer updates.
        measure: what is measured, the primary one first: well-known names or `lrbench.Measure`.
        config: settings of one's own that tell runs apart, such as ``{"width": 64}``.
        paired: whether equal seeds mean equal initial weights and batches; None: unknown.
        overwrite: begin anew where the folder holds a finished run.

    Raises:
        ValueError: an argument is missing or none that there can be, or the folder is in use,
            holds a finished run, or is nobody's run folder.
    """
    named = [measure] if isinstance(measure, str | Measure) else measure
    measures = tuple(_measure(each) for each in named)
    require(bool(measures), "measure", list(measures), "must name at least one")
    require(type(seed) is int and 0 <= seed < 2**63, "seed", seed, "must be from 0 to 2^63 - 1")
    fits = total_steps is None or (type(total_steps) is int and total_steps >= 1)
    require(fits, "total_steps", total_steps, "must be a whole number of updates from 1 on")
    given: dict[str, Any] = {"seed": seed, "lr": lr, "total_steps": total_steps}
    assigned = os.environ.get(VARIABLE)
    if assigned:
        from lrbench.run.programs import assignment

        given |= assignment(Path(assigned))
        given["config"] = {**(config or {}), **given["config"]}
    elif folder is None or strategy is None:
        raise ValueError(
            "lrbench.start needs folder=... and strategy=..., except in a program that lrbench "
            "starts (loop=function, loop=command)"
        )
    else:
        given |= {"folder": Path(folder), "strategy": strategy, "config": dict(config or {})}
        given["schedule"] = _schedule(strategy, scheduler)
    overwrite = overwrite or bool(assigned)
    return StartedRun(**given, measures=measures, paired=paired, overwrite=overwrite)


def _measure(measure: str | Measure) -> Measure:
    if isinstance(measure, Measure):
        return measure
    name = measure
    for split in SPLITS:
        name = name.removeprefix(f"{split}_")
    if name not in WELL_KNOWN:
        raise ValueError(
            f"measure={measure} is no well-known name: give lrbench.Measure(name={measure!r}, "
            "higher_is_better=...)"
        )
    return WELL_KNOWN[name]


def _schedule(strategy: str, scheduler: Scheduler | Mapping[str, Any] | None) -> Scheduler | None:
    """The schedule that `start` was told of; None where the strategy is a name alone."""
    if scheduler is not None and not isinstance(scheduler, Mapping):
        return scheduler
    from hydra.errors import MissingConfigException

    from lrbench.config import load

    try:
        return cast("Scheduler", load("scheduler", strategy, **(scheduler or {})))
    except MissingConfigException:
        if scheduler is None:
            return None
        raise ValueError(
            f"strategy={strategy} is no choice of conf/scheduler whose keys could be changed: give "
            "lrbench.start(..., scheduler=lrbench.load('scheduler', 'cosine'))"
        ) from None
