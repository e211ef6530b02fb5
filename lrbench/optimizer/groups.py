"""Rules that sort a model's parameters into groups, and the order of its layers.

Importing this module does not import torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrbench.config import Call
from lrbench.config.checks import require, require_choice
from lrbench.scheduler import Scheduler

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

DEFAULT = "default"  # the group of the parameters that no rule matches
LAYERS = ("input", "hidden", "output")
# The outermost numbered module that a parameter is in: blocks.3, layer1.0, encoder_layer_11.
_BLOCK = re.compile(r"((?:[^.]+\.)*?(?:\w*_)?\d+)\.")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which parameters form a group (all conditions must hold), and what differs for them.

    A key that is left out is no condition, or is as the optimizer says.
    """

    name: str | None = None  # a regular expression, found anywhere in the parameter's name
    dimensions: int | None = None  # of the parameter's shape: 2 for matrices
    layers: str | None = None  # the model's first layer, its last, or those between: LAYERS
    lr_factor: float = 1.0  # what optimizer.lr is multiplied by
    weight_decay: float | None = None
    freeze: bool = False  # no gradient and no update; BatchNorm keeps its statistics
    scheduler: Scheduler | None = None  # in place of the run's
    algorithm: Call | None = None  # in place of optimizer.algorithm

    def __post_init__(self) -> None:
        conditions = (self.name, self.dimensions, self.layers)
        if all(condition is None for condition in conditions):
            raise ValueError("name=None needs a value, or give dimensions or layers, to match by")
        try:
            re.compile(self.name or "")
        except re.error as error:
            raise ValueError(f"name={self.name} is no regular expression: {error}") from None
        fits = self.dimensions is None or self.dimensions >= 0
        require(fits, "dimensions", self.dimensions, "must be 0 or above")
        if self.layers is not None:
            require_choice("layers", self.layers, LAYERS)
        factor, decay = self.lr_factor, self.weight_decay
        rule = "must be above 0 and finite; freeze=true keeps parameters as they are"
        require(0 < factor < math.inf, "lr_factor", factor, rule)
        fits = decay is None or 0 <= decay < math.inf
        require(fits, "weight_decay", decay, "must be 0 or above, and finite")
        changes = (decay, self.scheduler, self.algorithm)
        if self.freeze and (factor != 1 or any(change is not None for change in changes)):
            raise ValueError("freeze=True leaves nothing to train: leave the rule's other keys out")

    def matches(self, name: str, parameter: Tensor, number: int, last: int) -> bool:
        """Whether all conditions hold for a parameter of layer `number`, of 0 to `last`."""
        layers = "output" if number == last else "input" if number == 0 else "hidden"
        return (
            (self.name is None or re.search(self.name, name) is not None)
            and self.dimensions in (None, parameter.ndim)
            and self.layers in (None, layers)
        )


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """The number of the layer that each parameter is in, by its name, from the input to the output.

    As in BEiT (Bao et al. 2021, arXiv:2106.08254): layer 0 holds what stands before the first
    block, then each block is a layer, and what follows the last block is one more. A block is a
    numbered child module such as ``blocks.3``; in a model without any, each child is a layer.
    timm's models know their own layers.
    """
    names = [name for name, _ in model.named_parameters()]
    if hasattr(model, "group_matcher"):
        from timm.models import group_parameters

        matcher: Any = model.group_matcher
        numbers: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
        return numbers
    found = [match[1] if (match := _BLOCK.match(name)) else "" for name in names]
    blocks = found if any(found) else [name.partition(".")[0] for name in names]
    order = {block: number for number, block in enumerate(dict.fromkeys(filter(None, blocks)), 1)}
    last = max(i for i, block in enumerate(blocks) if block)
    raw, number = [], 0
    for i, block in enumerate(blocks):
        number = order[block] if block else number if i < last else len(order) + 1
        raw.append(number)
    ranks = {number: rank for rank, number in enumerate(sorted(set(raw)))}
    return {name: ranks[number] for name, number in zip(names, raw, strict=True)}


def frozen_norms(model: nn.Module) -> list[nn.Module]:
    """The BatchNorm layers in those modules of `model` that have parameters and train none."""
    from torch.nn.modules.batchnorm import _BatchNorm

    found: dict[nn.Module, None] = {}
    if all(parameter.requires_grad for parameter in model.parameters()):
        return []
    for module in model.modules():
        trained = [parameter.requires_grad for parameter in module.parameters()]
        if trained and not any(trained):
            found |= dict.fromkeys(m for m in module.modules() if isinstance(m, _BatchNorm))
    return list(found)


def named_groups(optimizer: torch.optim.Optimizer) -> Mapping[str, list[dict[str, Any]]]:
    """torch's parameter groups by the name of the rule or layer that they belong to."""
    named: dict[str, list[dict[str, Any]]] = {}
    for group in optimizer.param_groups:
        named.setdefault(group.get("name", DEFAULT), []).append(group)
    return named


def own_lrs(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """The names of the groups, where their lrs differ; empty where all have the same."""
    named = named_groups(optimizer)
    kinds = {(g["initial_lr"], g.get("schedule")) for g in optimizer.param_groups}
    return tuple(named) if len(kinds) > 1 else ()


def algorithm_of(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> str:
    """The name of the algorithm that updates `group`, one of several perhaps."""
    parts = getattr(optimizer, "parts", [optimizer])
    return next(type(p).__name__ for p in parts if any(group is own for own in p.param_groups))


def describe(optimizer: torch.optim.Optimizer, model: nn.Module) -> Iterator[str]:
    """What each group holds, a line each, where there are named groups or frozen parameters."""
    for name, groups in named_groups(optimizer).items():
        if "name" not in groups[0]:
            continue
        parameters = [p for group in groups for p in group["params"]]
        own = ", its own schedule" if "schedule" in groups[0] else ""
        kind, lr = algorithm_of(optimizer, groups[0]), groups[0]["initial_lr"]
        yield f"{name}: {_size(parameters)}, {kind}, lr {lr:g}{own}"
    if frozen := [p for p in model.parameters() if not p.requires_grad]:
        yield f"frozen: {_size(frozen)}"


def _size(parameters: list[nn.Parameter]) -> str:
    return f"{sum(p.numel() for p in parameters):,} weights in {len(parameters)} tensors"
