"""What the tests of the schedules share: the configs, built, and other libraries' values."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from lrbench.config import build
from lrbench.scheduler import Progress, Scheduler

CONF = Path(__file__).parents[2] / "conf"

DEVIATIONS: dict[str, list[float]] = {}
"""Per library and class, the largest relative deviation of each parity case."""

FLOAT32: dict[str, Any] = {"rel": 1e-5, "absolute": 1e-8}
"""How near an lr of about 0.01 that Keras computes in float32 is: a hundred of its roundings."""


def schedule_names() -> list[str]:
    """Every file of conf/scheduler that is a schedule of its own, presets left out."""
    files = sorted((CONF / "scheduler").glob("*.yaml"))
    return [file.stem for file in files if not file.stem.startswith("_")]


@cache
def loaded(name: str) -> Scheduler:
    """The schedule that conf/scheduler/`name`.yaml describes."""
    with initialize_config_dir(str(CONF), version_base=None):
        return build(compose(overrides=[f"+scheduler={name}"]).scheduler, "scheduler")


def make(name: str, **changes: Any) -> Any:
    """That schedule with some of its values changed."""
    return replace(loaded(name), **changes)


def patient_chain(patience: int) -> Any:
    """The default chain, its plateau with another patience."""
    parts = dict(make("chain").parts)
    plateau = replace(parts["plateau"].scheduler, patience=patience)
    parts["plateau"] = replace(parts["plateau"], scheduler=plateau)
    return make("chain", parts=parts)


def factors(
    schedule: Scheduler, total_steps: int, steps_per_epoch: int = 10, extra: int = 0
) -> list[float]:
    """The factors of every update and of `extra` ones past the end."""
    return [
        schedule.factor(Progress(step, total_steps, steps_per_epoch))
        for step in range(total_steps + extra)
    ]


def momenta(schedule: Scheduler, total_steps: int, steps_per_epoch: int) -> list[float | None]:
    """The momentum of every update, None where the optimizer's own stays."""
    plan = schedule.plan(total_steps, steps_per_epoch)
    return [plan.momentum(step) for step in range(total_steps)]


def torch_groups(
    make_scheduler: Callable[[Any], Any], steps: int, lr: float = 1.0, key: str = "lr"
) -> list[float]:
    """What a scheduler of torch (or of transformers) sets `key` to, update by update."""
    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=lr, momentum=0.9)
    values = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of steps without an optimizer's
        scheduler = make_scheduler(optimizer)
        for _ in range(steps):
            values.append(float(optimizer.param_groups[0][key]))
            scheduler.step()
    return values


def timm_lrs(make_scheduler: Callable[[Any], Any], steps: int, lr: float = 1.0) -> list[float]:
    """What a scheduler of timm, made with t_in_epochs=False, sets the lr to, update by update."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make_scheduler(optimizer)
    values = []
    for step in range(steps):
        scheduler.step_update(step)
        values.append(float(optimizer.param_groups[0]["lr"]))
    return values


def keras() -> Any:
    """The real Keras, on torch."""
    os.environ["KERAS_BACKEND"] = "torch"
    return importlib.import_module("keras")


def assert_equal(
    ours: Sequence[float],
    theirs: Iterable[float],
    oracle: str,
    rel: float = 1e-9,
    absolute: float = 1e-14,
    apart_from: Collection[int] = (),
) -> None:
    """Each value within `rel` of the other library's, or within `absolute` close to zero.

    The updates `apart_from` are left out: where a cycle begins, the other library's rounding, and
    so the processor, decides which cycle it takes. A test checks ours there by hand.
    """
    theirs = list(theirs)
    assert len(ours) == len(theirs)
    worst = 0.0
    for step, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if step in apart_from:
            continue
        gap = abs(mine - other)
        assert gap <= rel * abs(other) + absolute, f"{oracle}: update {step}: {mine} != {other}"
        if abs(other) * rel > absolute:  # it is the relative deviation that counts here
            worst = max(worst, gap / abs(other))
    DEVIATIONS.setdefault(oracle, []).append(worst)
