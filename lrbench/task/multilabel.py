"""Multi-label classification: several labels for each example, each of which holds or does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from lrbench.task.base import Examples, Sum, Task
from lrbench.task.measure import POINTS, Measure


class MultiLabelTask(Task):
    """Logits, float (B, labels), for targets of 0 and 1, (B, labels).

    The loss is the mean binary cross-entropy. F1 is over all labels of all examples together
    ("micro"), of the labels whose logit is above 0. Guessing is to say that every label holds: its
    F1 is 2p / (1 + p) where a share p of the training targets is 1.
    """

    def __init__(self, examples: Examples) -> None:
        targets = examples.targets
        if targets.ndim != 2 or not np.isin(targets, (0, 1)).all():
            raise ValueError(
                "task=multilabel needs targets of 0 and 1, (examples, labels), and the data set's "
                f"are {targets.dtype} of shape {targets.shape}: choose a task that fits them"
            )
        share = float(targets.mean(dtype=np.float64))
        guess = 2 * share / (1 + share)
        self.measures = (
            Measure(name="f1", higher_is_better=True, guess=guess, unit=POINTS, scale=100.0),
            Measure(name="loss", higher_is_better=False, unit="nats"),
        )
        self.outputs = targets.shape[1:]
        self.unit = examples.unit

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, targets.to(outputs.dtype))

    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        said, true = outputs > 0, targets > 0
        counts = {"right": said & true, "said": said, "true": true}
        return {name: (each.sum(), len(targets)) for name, each in counts.items()}

    def finish(self, means: Mapping[str, Any]) -> dict[str, float]:
        both = means["said"] + means["true"]
        return {"f1": 2 * means["right"] / both if both else 0.0, "loss": means["loss"]}
