"""What a run tells of itself: the lines around it, and the numbers of its result.json."""

from __future__ import annotations

import math
import platform
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lrbench
from lrbench.config import flatten
from lrbench.optimizer.groups import describe
from lrbench.task import Measure
from lrbench.trainer import distributed

if TYPE_CHECKING:
    import torch

    from lrbench.trainer.evaluate import Evaluation
    from lrbench.trainer.loop import Loop

# What can change a run's numbers, its records or its comparison.
PACKAGES = (
    *("torch", "torchvision", "numpy", "pillow", "scikit-learn", "hydra-core", "omegaconf"),
    *("tensorboard", "scipy", "pandas", "matplotlib"),
)


def header(loop: Loop, choices: Mapping[str, str], lr: float, folder: Path) -> Iterator[str]:
    """What will run, in a few aligned lines."""
    from lrbench.trainer import hardware

    data, settings, state = loop.data, loop.settings, loop.state
    num_parameters = sum(p.numel() for p in loop.model.parameters())
    unit = data.examples.unit
    inputs, outputs = ("×".join(map(str, s)) for s in (data.examples.inputs, loop.task.outputs))
    phases = " → ".join(
        f"{phase.name} {phase.stop - phase.start:,}" for phase in loop.plan.segments
    )
    yield f"lrbench {lrbench.__version__}: {choices['scheduler']} on {choices['dataset']}"
    yield f"  model      {choices['model']}, {num_parameters:,} parameters"
    yield (
        f"  dataset    {choices['dataset']}: {len(data.train):,} training, {len(data.val):,} "
        f"validation, {len(data.test):,} test {unit} of {inputs}, {outputs} outputs"
    )
    updates = f"{loop.total_steps:,} updates" if loop.seconds is None else "as many updates as fit,"
    yield (
        f"  length     {settings.length} = {updates} of {settings.batch_size} "
        f"{unit}, {loop.steps_per_epoch:,} per epoch"
    )
    laid_out = f"in updates: {phases}" if loop.seconds is None else "by the clock"
    yield f"  schedule   {choices['scheduler']}, {laid_out}; base lr {lr:g}"
    yield f"  optimizer  {choices['optimizer']}"
    for line in describe(loop.optimizer, loop.model):
        yield f"    {line}"
    number = distributed.num_processes()
    device = f"{f'{number} processes, the first on ' if number > 1 else ''}"
    yield f"  device     {device}{hardware.describe(loop.device)}, {', '.join(loop.arithmetic)}"
    yield f"  folder     {folder}"
    if state.step:
        yield f"  resumed    after update {state.step:,}"


def outcome(loop: Loop, test: Evaluation | None) -> dict[str, Any]:
    """The numbers of result.json; those that a diverged run does not have are None.

    The best validation is the one with the best primary measure, among equals the lowest loss.
    """
    state = loop.state
    names = [measure.name for measure in loop.measures]
    found = state.validations
    best = state.best_evaluation(loop.measures)
    norm = state.largest_grad_norm  # JSON has no infinity
    return {
        "steps": state.step,
        "measures": {measure.name: measure.as_json() for measure in loop.measures},
        **{f"val_{m}": None if test is None else found[m][-1] for m in names},
        **{f"test_{m}": None if test is None else test[m] for m in names},
        **{f"best_val_{m}": None if best is None else found[m][best] for m in names},
        "best_val_step": None if best is None else state.val_steps[best],
        "stopped_early_at": state.step if loop.stopped_early else None,
        "tested_step": None if test is None else (loop.others.best or (state.step,))[0],
        "largest_grad_norm": norm if norm is not None and math.isfinite(norm) else None,
        "largest_grad_norm_step": state.largest_grad_norm_step,
        "seconds": round(state.seconds, 3),
        "unit": loop.shown["unit"],
        "units_per_step": loop.shown["units_per_step"],
        "units_per_second": _speed(state.step * loop.shown["units_per_step"], state.train_seconds),
    }


def _speed(units: int, seconds: float) -> float | None:
    return round(units / seconds, 1) if seconds > 0 else None


@cache
def _distributions() -> Mapping[str, list[str]]:
    """Which installed distributions each module comes from."""
    return metadata.packages_distributions()


def environment(device: torch.device, config: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and hardware, for whoever wants to repeat the run of `config` or its comparison."""
    import torch

    from lrbench.trainer import hardware

    targets = {str(v) for key, v in flatten(config).items() if key.endswith("_target_")}
    modules = {target.partition(".")[0] for target in targets} - {"lrbench", "torch", "torchvision"}
    packages = [*PACKAGES]
    if modules:  # an optimizer or a model of another library; finding its package takes a while
        distributions = _distributions()
        packages += sorted({name for m in modules for name in distributions.get(m, ())})
    packages += [name for name in ("tokenizers", "transformers") if name in sys.modules]
    return {
        "lrbench": lrbench.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
        **({"cuda": torch.version.cuda} if device.type == "cuda" else {}),
        "platform": platform.platform(),
        "device": hardware.describe(device),
        "num_threads": torch.get_num_threads(),
        "num_processes": distributed.num_processes(),
    }


def summary(result: Mapping[str, Any], measures: Sequence[Measure], folder: Path) -> Iterator[str]:
    """How the run ended, and how to look at it."""
    from lrbench.record.display import clock

    primary = measures[0]
    test = ", ".join(
        f"test {measure.name} {measure.value(result[f'test_{measure.name}'])}"
        for measure in measures
    )
    speed = result["units_per_second"]
    pace = "" if speed is None else f" ({speed:,.0f} {result['unit']}/s)"
    yield f"done in {clock(result['seconds'])}: {test}, after {result['steps']:,} updates{pace}"
    yield (
        f"best validation {primary.name} {primary.value(result[f'best_val_{primary.name}'])} "
        f"at update {result['best_val_step']:,}"
    )
    yield f"folder  {folder}"
    yield f"curves  tensorboard --logdir {shlex.quote(str(folder))}"
