"""What a run tells of itself: the lines around it, and the numbers of its result.json."""

from __future__ import annotations

import math
import platform
import shlex
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lrbench
from lrbench.config import flatten
from lrbench.trainer import distributed

if TYPE_CHECKING:
    import torch

    from lrbench.trainer.evaluate import Evaluation
    from lrbench.trainer.loop import Loop
    from lrbench.trainer.state import State

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
    shape = f"{data.in_channels}×{data.image_size}×{data.image_size}"
    phases = " → ".join(f"{phase.name} {phase.stop - phase.start:,}" for phase in loop.phases)
    yield f"lrbench {lrbench.__version__}: {choices['scheduler']} on {choices['dataset']}"
    yield f"  model      {choices['model']}, {num_parameters:,} parameters"
    yield (
        f"  dataset    {choices['dataset']}: {len(data.train):,} training, {len(data.val):,} "
        f"validation, {len(data.test):,} test images of {shape}, {data.num_classes} classes"
    )
    yield (
        f"  length     {settings.length} = {loop.total_steps:,} updates of {settings.batch_size} "
        f"images, {loop.steps_per_epoch:,} per epoch"
    )
    yield f"  schedule   {choices['scheduler']}, in updates: {phases}; base lr {lr:g}"
    yield f"  optimizer  {choices['optimizer']}"
    number = distributed.num_processes()
    device = f"{f'{number} processes, the first on ' if number > 1 else ''}"
    yield f"  device     {device}{hardware.describe(loop.device)}, {', '.join(loop.arithmetic)}"
    yield f"  folder     {folder}"
    if state.step:
        yield f"  resumed    after update {state.step:,}"


def outcome(state: State, test: Evaluation | None, batch_size: int) -> dict[str, Any]:
    """The numbers of result.json; those that a diverged run does not have are None.

    The best validation is the one with the highest accuracy, among equals the lowest loss.
    """
    evaluations = list(zip(state.val_accuracies, state.val_losses, state.val_steps, strict=True))
    best = max(evaluations, key=lambda e: (e[0], -e[1]), default=(None, None, None))
    norm = state.largest_grad_norm  # JSON has no infinity
    last = evaluations[-1] if evaluations and test is not None else (None, None, None)
    return {
        "steps": state.step,
        "val_loss": last[1],
        "val_accuracy": last[0],
        "test_loss": None if test is None else test.loss,
        "test_accuracy": None if test is None else test.accuracy,
        "best_val_loss": best[1],
        "best_val_accuracy": best[0],
        "best_val_step": best[2],
        "largest_grad_norm": norm if norm is not None and math.isfinite(norm) else None,
        "largest_grad_norm_step": state.largest_grad_norm_step,
        "seconds": round(state.seconds, 3),
        "images_per_second": round(state.step * batch_size / max(state.train_seconds, 1e-9), 1),
    }


def environment(device: torch.device, config: Mapping[str, Any]) -> dict[str, Any]:
    """Versions and hardware, for whoever wants to repeat the run of `config` or its comparison."""
    import torch

    from lrbench.trainer import hardware

    targets = {str(v) for key, v in flatten(config).items() if key.endswith("_target_")}
    modules = {target.partition(".")[0] for target in targets} - {"lrbench", "torch", "torchvision"}
    packages = [*PACKAGES]
    if modules:  # an optimizer or a model of another library; finding its package takes a while
        distributions = metadata.packages_distributions()
        packages += sorted({name for m in modules for name in distributions.get(m, ())})
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


def summary(result: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """How the run ended, and how to look at it."""
    from lrbench.record.display import clock

    yield (
        f"done in {clock(result['seconds'])}: test accuracy {result['test_accuracy']:.2%}, "
        f"test loss {result['test_loss']:.4f}, after {result['steps']:,} updates "
        f"({result['images_per_second']:,.0f} images/s)"
    )
    yield (
        f"best validation accuracy {result['best_val_accuracy']:.2%} "
        f"at update {result['best_val_step']:,}"
    )
    yield f"folder  {folder}"
    yield f"curves  tensorboard --logdir {shlex.quote(str(folder))}"
