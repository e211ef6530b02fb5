"""Classification: one of several classes for each example."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from lrbench.task.base import Examples, Sum, Task
from lrbench.task.measure import POINTS, Measure


def measures(num_classes: int) -> tuple[Measure, ...]:
    """The share of examples classed right, and the cross-entropy without label smoothing.

    Guessing classes at random gets 1 in `num_classes` right. A run that diverged has no loss.
    """
    guess = 1 / num_classes
    return (
        Measure(name="accuracy", higher_is_better=True, guess=guess, unit=POINTS, scale=100.0),
        Measure(name="loss", higher_is_better=False, unit="nats"),
    )


class ClassificationTask(Task):
    """Logits, float (B, classes), for targets that are classes, int64 (B,).

    Targets of mixed training examples are float (B, classes), each class's share; the accuracy is
    then the mean share of the class that a model says, which 1 is out of reach for.
    """

    def __init__(self, label_smoothing: float, examples: Examples) -> None:
        num_classes = examples.require_whole(
            "classification", 1, "one class, a whole number from 0 on, for each example"
        )
        self.label_smoothing = label_smoothing
        self.measures = measures(num_classes)
        self.outputs = (num_classes,)
        self.unit = examples.unit

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        said = outputs.argmax(1)
        if targets.is_floating_point():
            return {"accuracy": (targets.gather(1, said[:, None]).sum(), len(targets))}
        return {"accuracy": ((said == targets).sum(), len(targets))}

    def evaluation_loss(self, outputs: Tensor, targets: Tensor) -> Sum:
        return F.cross_entropy(outputs, targets, reduction="sum"), len(targets)
