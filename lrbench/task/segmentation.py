"""Segmentation: one of several classes for each pixel of an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lrbench.task.base import Examples, Sum, Task
from lrbench.task.measure import POINTS, Measure


class SegmentationTask(Task):
    """Logits, float (B, classes, H, W), for the pixels' classes, int64 (B, H, W).

    The mean intersection over union is over the classes that are in the targets or the answers.
    Guessing takes each pixel's class at random: where a share s of the training pixels is of a
    class, its intersection over union of C classes is (s / C) / (s + 1 / C - s / C).
    """

    def __init__(self, examples: Examples) -> None:
        number = examples.require_whole(
            "segmentation", 3, "a class, a whole number from 0 on, for each pixel (N, H, W)"
        )
        shares = np.bincount(examples.targets.ravel(), minlength=number) / examples.targets.size
        overlap = shares / number
        guess = float(np.mean(overlap / (shares + 1 / number - overlap)))
        points: dict[str, Any] = {"higher_is_better": True, "unit": POINTS, "scale": 100.0}
        self.measures = (
            Measure(name="mean_iou", guess=guess, **points),
            Measure(name="accuracy", guess=1 / number, **points),
            Measure(name="loss", higher_is_better=False, unit="nats"),
        )
        self.outputs = (number, *examples.targets.shape[1:])
        self.unit = examples.unit

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        number, said = self.outputs[0], outputs.argmax(1)
        pairs = torch.bincount((number * targets + said).flatten(), minlength=number**2)
        table = pairs.view(number, number)  # of the targets' classes × those said
        right = table.diagonal()
        return {
            "accuracy": (right.sum(), targets.numel()),
            "right": (right, targets.numel()),
            "either": (table.sum(0) + table.sum(1) - right, targets.numel()),
        }

    def finish(self, means: Mapping[str, Any]) -> dict[str, float]:
        both = zip(means["right"], means["either"], strict=True)
        present = [right / either for right, either in both if either]
        mean_iou = sum(present) / len(present)
        return {"mean_iou": mean_iou, "accuracy": means["accuracy"], "loss": means["loss"]}
