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

    Args:
        standardise: the outputs are the targets less the training targets' mean, over their
            standard deviation, each number's own, and the loss is of these. All other measures are
            in the targets' units either way.
    """

    def __init__(self, examples: Examples, *, standardise: bool = False) -> None:
        targets = examples.targets
        if targets.dtype.kind != "f" or not np.isfinite(targets).all():
            raise ValueError(
                "task=regression needs targets that are finite numbers of a floating-point type, "
                f"and the data set's are {targets.dtype}: choose another task or convert them"
            )
        deviations = targets.astype(np.float64) - targets.mean(0, dtype=np.float64)
        variances = np.square(deviations).mean(0)
        if standardise and not variances.all():
            raise ValueError(
                "task.standardise=True: the training targets do not differ, so that there is "
                "nothing to learn: choose others, or write task.standardise=false"
            )
        squared = float(variances.mean())
        absolute = float(np.abs(deviations).mean())
        self.measures = (
            Measure(name="rmse", higher_is_better=False, guess=math.sqrt(squared)),
            Measure(name="mae", higher_is_better=False, guess=absolute),
            Measure(name="r2", higher_is_better=True, guess=0.0),
            Measure(name="loss", higher_is_better=False, guess=1.0 if standardise else squared),
        )
        self.outputs = targets.shape[1:] or (1,)
        self.unit = examples.unit
        # Sums of squares lose fewer digits about a number that is near the mean.
        self._centre = torch.from_numpy(targets.reshape(len(targets), -1).mean(0, dtype=np.float64))
        self._scale = torch.from_numpy(np.sqrt(variances).reshape(-1)) if standardise else None

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self._scale is None:
            return F.mse_loss(outputs.view_as(targets), targets)
        wanted = (self._wanted(targets) - self._centre) / self._scale
        return F.mse_loss(outputs.reshape(wanted.shape), wanted.to(outputs.dtype))

    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        wanted = self._wanted(targets)
        said = outputs.reshape(wanted.shape)
        if self._scale is not None:
            said = said * self._scale + self._centre
        errors = said - wanted
        wanted = wanted - self._centre
        quantities = {
            "squared_error": errors.square(),
            "absolute_error": errors.abs(),
            "target": wanted,
            "squared_target": wanted.square(),
        }
        return {name: (each.sum(0), len(targets)) for name, each in quantities.items()}

    def _wanted(self, targets: Tensor) -> Tensor:
        """`targets` (B, numbers) in the precision of what they are compared by, on their device."""
        device, precise = targets.device, _precise(targets)
        if self._centre.device != device or self._centre.dtype != precise:
            self._centre = self._centre.to(device, precise)
            self._scale = None if self._scale is None else self._scale.to(device, precise)
        return targets.reshape(len(targets), -1).to(precise)

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
