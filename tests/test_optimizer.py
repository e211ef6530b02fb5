"""Optimizers: parameter groups, lr and momentum, mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lrbench.config import build
from lrbench.optimizer import Optimizer, current, set_lr, set_momentum

CONF = Path(__file__).parents[1] / "conf" / "optimizer"


def spec(name: str, **changes: Any) -> Optimizer:
    node = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), changes)
    found = build(node, "optimizer")
    assert isinstance(found, Optimizer)
    return found


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3))


def test_norms_and_biases_are_a_group_without_decay() -> None:
    model = network()
    optimizer = spec("sgd").build(model)
    weights, rest = optimizer.param_groups
    assert [tuple(p.shape) for p in weights["params"]] == [(2, 1, 3, 3), (3, 72)]
    assert [tuple(p.shape) for p in rest["params"]] == [(2,), (2,), (2,), (3,)]
    assert (weights["weight_decay"], rest["weight_decay"]) == (5e-4, 0.0)
    assert weights["lr"] == rest["lr"] == weights["initial_lr"] == rest["initial_lr"] == 0.1


def test_set_lr_multiplies_the_base_lr() -> None:
    optimizer = spec("sgd").build(network())
    for factor in (0.5, 0.0, 1.0, 0.3):
        set_lr(optimizer, factor)
        assert [g["lr"] for g in optimizer.param_groups] == [0.1 * factor] * 2
    assert current(optimizer) == (0.1 * 0.3, 0.9)


def test_set_momentum() -> None:
    optimizer = spec("sgd").build(network())
    set_momentum(optimizer, 0.85)
    set_momentum(optimizer, None)
    assert [g["momentum"] for g in optimizer.param_groups] == [0.85] * 2
    assert current(optimizer) == (0.1, 0.85)


@pytest.mark.parametrize("lr", [0.0, -0.1, float("nan"), float("inf")])
def test_lr_must_be_positive_and_finite(lr: float) -> None:
    with pytest.raises(ValueError, match=r"^optimizer\.lr=.* must be above 0 and finite$"):
        spec("sgd", lr=lr)


def test_a_step_is_torchs_own() -> None:
    ours, theirs = network(), network()
    theirs.load_state_dict(ours.state_dict())
    optimizer = spec("sgd", decay_norms_and_biases=True).build(ours)
    oracle = torch.optim.SGD(
        theirs.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    set_lr(optimizer, 0.5)
    images = torch.randn(4, 1, 8, 8)
    for _ in range(3):
        for model, stepper in ((ours, optimizer), (theirs, oracle)):
            stepper.zero_grad()
            model(images).square().sum().backward()
            stepper.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)
