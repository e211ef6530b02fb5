"""Loss and accuracy of a model over a data split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100  # the label that cross_entropy leaves out, torch's default


Evaluation: TypeAlias = dict[str, float]  # each measure's value


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
    batch_size: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    gather: Callable[[Tensor, int], tuple[Tensor, int]] = lambda sums, count: (sums, count),
) -> Evaluation | None:
    """Evaluate `model` in evaluation mode; each image counts once.

    Args:
        batches: images, float (B, C, H, W), with labels, int64 (B,).
        batch_size: fill a smaller batch up to this, so that a compiled model sees one shape.
        stop: asked before every batch; once true, the answer is None.
        gather: makes of one process's sums, a row per batch, and its number of images those of all
            processes that have a share of the images.
    """
    was_training = model.training
    model.eval()
    sums: list[Tensor] = []
    count = 0
    try:
        with torch.inference_mode():
            for images, labels in batches:
                if stop():
                    return None
                if not len(labels):  # a share of too few images
                    sums.append(torch.zeros(2, device=labels.device))
                    continue
                count += len(labels)
                if batch_size is not None and len(labels) < batch_size:
                    images = _filled(images, batch_size)
                    labels = F.pad(labels, (0, batch_size - len(labels)), value=IGNORED)
                with autocast():
                    logits = model(images)
                logits = logits.float()
                loss = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
                right = (logits.argmax(1) == labels).sum()
                sums.append(torch.stack([loss, right.to(loss.dtype)]))
            every_sum, count = gather(torch.stack(sums), count)
            rows = every_sum.tolist()  # the one wait for the device
    finally:
        model.train(was_training)
    return {
        "accuracy": _float32(math.fsum(row[1] for row in rows) / count),
        "loss": _float32(math.fsum(row[0] for row in rows) / count),
    }


def _filled(images: Tensor, batch_size: int) -> Tensor:
    """`images` and copies of the first, `batch_size` in all, in the same memory layout.

    `torch.cat` would choose a layout of its own for grey images, and the model be compiled for it.
    """
    shape, strides = images.shape[1:], images.stride()[1:]
    filled = images.new_empty_strided((batch_size, *shape), (math.prod(shape), *strides))
    filled[: len(images)] = images
    filled[len(images) :] = images[:1]
    return filled


def _float32(value: float) -> float:
    """`value` as the recorder keeps it, so that a schedule sees the loss that history.csv shows."""
    return torch.tensor(value, dtype=torch.float32).item()
