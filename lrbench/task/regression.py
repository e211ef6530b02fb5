"""Regression: one or several real numbers for each example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lrbench.task.base import Examples, Sum, Task
from lrbench.task.measure import Measure


class RegressionTask(Task):
    """Outputs and targets are float (B, ...), of one or several numbers for each example.

    The loss is the mean squared error. Guessing is to say the training targets' mean for every
    example, and is scored on the training targets: a root mean squared error of their standard
    deviation, and an R² of 0. R² is the mean of those of an example's numbers.
    """

    def __init__(self, examples: Examples) -> None:
        targets = examples.targets
        if targets.dtype.kind != "f" or not np.isfinite(targets).all():
            raise ValueError(
                "task=regression needs targets that are finite numbers of a floating-point type, "
                f"and the data set's are {targets.dtype}: choose another task or convert them"
            )
        deviations = targets.astype(np.float64) - targets.mean(0, dtype=np.float64)
        squared = float(np.square(deviations).mean())
        absolute = float(np.abs(deviations).mean())
        self.measures = (
            Measure(name="rmse", higher_is_better=False, guess=math.sqrt(squared)),
            Measure(name="mae", higher_is_better=False, guess=absolute),
            Measure(name="r2", higher_is_better=True, guess=0.0),
            Measure(name="loss", higher_is_better=False, guess=squared),
        )
        self.outputs = targets.shape[1:] or (1,)
        self.unit = examples.unit
        # Sums of squares lose fewer digits about a number that is near the mean.
        self._centre = torch.from_numpy(targets.reshape(len(targets), -1).mean(0, dtype=np.float64))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs.view_as(targets), targets)

    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        if self._centre.device != targets.device or self._centre.dtype != _precise(targets):
            self._centre = self._centre.to(targets.device, _precise(targets))
        wanted = targets.reshape(len(targets), -1).to(self._centre.dtype)
        errors = outputs.reshape(wanted.shape) - wanted
        wanted = wanted - self._centre
        quantities = {
            "squared_error": errors.square(),
            "absolute_error": errors.abs(),
            "target": wanted,
            "squared_target": wanted.square(),
        }
        return {name: (each.sum(0), len(targets)) for name, each in quantities.items()}

    def finish(self, means: Mapping[str, Any]) -> dict[str, float]:
        squared, absolute = (np.array(means[f"{k}_error"]) for k in ("squared", "absolute"))
        variance = np.array(means["squared_target"]) - np.square(means["target"])
        with np.errstate(divide="ignore", invalid="ignore"):
            r2 = float(np.mean(1 - squared / variance))
        return {
            "rmse": float(np.sqrt(squared.mean())),
            "mae": float(absolute.mean()),
            "loss": means["loss"],
            **({"r2": r2} if math.isfinite(r2) else {}),  # equal targets vary by nothing
        }


def _precise(tensor: Tensor) -> torch.dtype:
    """float64, where the device has it."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64
