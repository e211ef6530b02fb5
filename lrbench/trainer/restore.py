"""Whether a checkpoint fits the run that it is to be loaded into."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.optimizer.schedule_free import start_training

# Settings of an optimizer that no run changes on its way.
FIXED = (
    *("initial_lr", "weight_decay", "dampening", "nesterov", "eps", "alpha", "amsgrad"),
    *("centered", "maximize"),
)


def check_model(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Refuse a `state` whose tensors are not of the names, shapes and types of the model's.

    Raises:
        ValueError: it names the first that differs.
    """
    check_tensors(model.state_dict(), state, "the model")


def check_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Refuse a `state` that is not one of `optimizer`, which trains `model` and is new.

    What its tensors must be like is seen from a step that a copy of both takes. An optimizer's
    fused kernels read beyond a tensor that is smaller.

    Raises:
        ValueError: it names what differs.
    """
    own = optimizer.state_dict()["param_groups"]
    groups = state["param_groups"]
    if [len(group["params"]) for group in groups] != [len(group["params"]) for group in own]:
        raise ValueError("the optimizer's groups are of other sizes")
    for group, mine in zip(groups, own, strict=True):
        for key in FIXED:
            if key in mine and group.get(key) != mine[key]:
                raise ValueError(f"the optimizer's {key} is {group.get(key)}, not {mine[key]}")
    found = state["state"]
    if not found:
        return
    twin, stepping = copy.deepcopy((model, optimizer))
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    start_training(stepping)
    stepping.step()
    expected = stepping.state_dict()["state"]
    if found.keys() - expected.keys():
        raise ValueError("the optimizer's state is of other parameters")
    for number, mine in expected.items():
        check_tensors(mine, found.get(number, {}), f"the optimizer's state {number}")


def check_tensors(own: Mapping[str, Any], found: Mapping[str, Any], whose: str) -> None:
    """Refuse tensors `found` that are not of the names, shapes and types of its `own`."""
    if own.keys() != found.keys():
        odd = sorted(map(str, own.keys() ^ found.keys()))
        raise ValueError(f"{whose} has other entries ({', '.join(odd[:3])})")
    for name, mine in own.items():
        theirs = found[name]
        if not isinstance(mine, Tensor):
            continue
        kind = [(t.dtype, tuple(t.shape)) for t in (theirs, mine) if isinstance(t, Tensor)]
        if len(kind) < 2 or kind[0] != kind[1]:
            raise ValueError(f"{whose} has {name} of {kind[0]} where the run has {kind[-1]}")
