"""The optimizer that a config names, and what the trainer asks of it at every update.

Importing this module does not import torch. lr and momentum are Python floats; a captured CUDA
graph would need the lr as a tensor, `capturable: true` in the YAML, and a `set_lr` that fills it.
"""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.config import Call
from lrbench.config.checks import require
from lrbench.optimizer.algorithm import construct, try_out
from lrbench.optimizer.schedule_free import is_schedule_free

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimization algorithm with its base lr and weight decay."""

    lr: float  # the base lr, which every schedule multiplies
    weight_decay: float  # as the algorithm defines it: an L2 penalty, or AdamW's decoupled decay
    decay_norms_and_biases: bool  # whether parameters of one dimension or none decay too
    algorithm: Call  # a torch.optim class, or any other with its signature

    def __post_init__(self) -> None:
        lr, weight_decay = self.lr, self.weight_decay
        require(0 < lr < math.inf, "lr", lr, "must be above 0 and finite")
        rule = "must be 0 or above, and finite"
        require(0 <= weight_decay < math.inf, "weight_decay", weight_decay, rule)
        for key in ("lr", "weight_decay"):
            if key in self.algorithm.arguments:
                value = self.algorithm.arguments[key]
                raise ValueError(
                    f"algorithm.{key}={value} is set for all groups: write optimizer.{key}={value}"
                )

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the parameters of `model` that require a gradient, each exactly once.

        Without `decay_norms_and_biases`, weights (two dimensions or more) form the first group and
        the rest, without weight decay, the second; else there is one group. No group is empty.

        Raises:
            ValueError: there is nothing to train, the algorithm refuses its arguments, now or at
                its first update, or the lr of a schedule has no effect on it.
        """
        import torch

        call = self.algorithm
        target = call.locate()
        named = f"{call.path}._target_={call.target}"
        if isinstance(target, type) and not issubclass(target, torch.optim.Optimizer):
            raise ValueError(f"{named} must be a torch.optim.Optimizer")
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            raise ValueError(f"the model {type(model).__name__} has no parameter to train")
        if _takes(target, "weight_decay"):
            groups = self._groups(parameters)
        elif self.weight_decay == 0:
            groups = [{"params": parameters}]
        else:
            raise ValueError(f"{named} knows no weight decay: write optimizer.weight_decay=0")
        try_out(call, target, groups[0])
        try:
            optimizer = construct(call, groups, self.lr)
        except RuntimeError as error:
            raise ValueError(f"{named}: {' '.join(str(error).split())}") from error
        if isinstance(optimizer, torch.optim.SGD):
            # In updates that a GradScaler must skip, SGD's fused kernel still writes the momentum
            # (seen with torch 2.15). So skipping must not be left to the kernel.
            optimizer._step_supports_amp_scaling = False
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        return optimizer

    def _groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        if self.decay_norms_and_biases or self.weight_decay == 0:
            return [{"params": parameters, "weight_decay": self.weight_decay}]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's lr to its base lr × `factor`.

    The base lr is ``group["initial_lr"]``, where torch's own schedulers keep it too; a group that
    has none yet gets its lr.
    """
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def set_momentum(optimizer: torch.optim.Optimizer, momentum: float | None) -> None:
    """Set each group's momentum (of Adam's kin: beta1), or leave it where `momentum` is None.

    Raises:
        ValueError: the algorithm has no momentum to set, or is schedule-free: its averages hold
            only for a momentum that stays.
    """
    if momentum is None:
        return
    if is_schedule_free(optimizer):
        raise ValueError(
            f"the schedule cycles momentum, and {type(optimizer).__name__} needs it constant: "
            "write scheduler.cycle_momentum=false"
        )
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        elif "momentum" in group:
            group["momentum"] = momentum
        else:
            raise ValueError(
                f"the schedule cycles momentum, and {type(optimizer).__name__} has none: "
                "write scheduler.cycle_momentum=false"
            )


def current(optimizer: torch.optim.Optimizer) -> tuple[float, float | None]:
    """The lr and the momentum (of Adam's kin: beta1; None where there is none) of group one."""
    group = optimizer.param_groups[0]
    if "betas" in group:
        return group["lr"], group["betas"][0]
    return group["lr"], group.get("momentum")


def _takes(target: Any, name: str) -> bool:
    """Whether `target` can be called with the keyword `name`."""
    parameters = inspect.signature(target).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)
