"""Schedule-free optimizers in a training loop, with the real package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from lrbench.config import build
from lrbench.optimizer import set_momentum
from lrbench.optimizer.schedule_free import (
    evaluation_mode,
    is_schedule_free,
    recompute_batch_norm,
    start_training,
)

pytest.importorskip("schedulefree")
CONF = Path(__file__).parents[2] / "conf" / "optimizer"
NAMES = ["schedulefree_sgd", "schedulefree_adamw"]


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 3)
    )


def optimizer_of(name: str, model: nn.Module, **changes: Any) -> torch.optim.Optimizer:
    node = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), changes)
    built: torch.optim.Optimizer = build(node, "optimizer").build(model)
    return built


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 1, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()


def flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def refuse_to_compile(*_: Any) -> Any:
    raise AssertionError("one more compilation, for a momentum that changes with every batch")


def test_sgd_is_the_papers_average() -> None:
    """Equations 2 to 4 of the paper by hand, on the loss (w - 3)² / 2 with a constant lr."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    optimizer = optimizer_of("schedulefree_sgd", model, lr=0.5, weight_decay=0)
    start_training(optimizer)
    x = z = 0.0
    for step in range(6):
        y = 0.1 * z + 0.9 * x
        assert model.weight.item() == pytest.approx(y, abs=1e-5)
        optimizer.zero_grad()
        ((model.weight - 3) ** 2 / 2).sum().backward()
        optimizer.step()
        z -= 0.5 * (y - 3)
        x += (z - x) / (step + 1)
        with evaluation_mode(optimizer):
            assert model.weight.item() == pytest.approx(x, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_evaluating_changes_nothing_of_the_run(name: str) -> None:
    torch.manual_seed(0)
    once, often = network().eval(), network().eval()  # without dropout
    often.load_state_dict(once.state_dict())
    for model in (once, often):
        optimizer = optimizer_of(name, model, lr=0.01)
        start_training(optimizer)
        for _ in range(5):
            train(model, optimizer, steps=3)
            if model is often:
                weights = flat(model)
                with evaluation_mode(optimizer):
                    assert not torch.equal(flat(model), weights)
                assert torch.equal(flat(model), weights)
    assert torch.equal(flat(once), flat(often))
    assert flat(once).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_training_weights_come_back_when_an_evaluation_fails(name: str) -> None:
    model = network()
    optimizer = optimizer_of(name, model)
    start_training(optimizer)
    train(model, optimizer, steps=2)
    weights = flat(model)
    with pytest.raises(KeyboardInterrupt), evaluation_mode(optimizer):
        raise KeyboardInterrupt
    assert torch.equal(flat(model), weights)
    train(model, optimizer, steps=1)  # refused in evaluation mode


def test_evaluation_within_evaluation_keeps_the_averages() -> None:
    model = network()
    optimizer = optimizer_of("schedulefree_sgd", model)
    start_training(optimizer)
    train(model, optimizer, steps=2)
    with evaluation_mode(optimizer):
        averages = flat(model)
        with evaluation_mode(optimizer):
            assert torch.equal(flat(model), averages)
        assert torch.equal(flat(model), averages)


def test_other_optimizers_are_left_alone() -> None:
    model = network()
    optimizer = optimizer_of("sgd", model)
    assert not is_schedule_free(optimizer)
    start_training(optimizer)
    train(model, optimizer, steps=2)
    weights = flat(model)
    with evaluation_mode(optimizer):
        assert torch.equal(flat(model), weights)


@pytest.mark.parametrize("name", NAMES)
def test_cycled_momentum_is_refused(name: str) -> None:
    optimizer = optimizer_of(name, network())
    assert is_schedule_free(optimizer)
    set_momentum(optimizer, None)
    with pytest.raises(ValueError, match=r"needs it constant: write scheduler\.cycle_momentum=fal"):
        set_momentum(optimizer, 0.9)


@pytest.mark.parametrize("compiled", [False, True])
def test_batch_norm_statistics_are_the_mean_over_the_batches(compiled: bool) -> None:
    model = network()
    train(model, optimizer_of("sgd", model), steps=3)  # statistics to be forgotten
    model[2].eval()
    batches = [torch.randn(8, 1, 8, 8) + shift for shift in (0.0, 1.0, 5.0)]
    weights, state = flat(model), torch.get_rng_state()
    wrapped = cast(nn.Module, torch.compile(model, backend=refuse_to_compile))
    recompute_batch_norm(wrapped if compiled else model, batches)
    with torch.no_grad():
        inputs = [model[0](images) for images in batches]
    means = torch.stack([x.mean((0, 2, 3)) for x in inputs]).mean(0)
    variances = torch.stack([x.var((0, 2, 3)) for x in inputs]).mean(0)
    torch.testing.assert_close(model[1].running_mean, means)
    torch.testing.assert_close(model[1].running_var, variances)
    assert torch.equal(flat(model), weights)
    assert torch.equal(torch.get_rng_state(), state)  # no dropout was drawn
    assert model[1].momentum == 0.1
    assert [m.training for m in model] == [True, True, False, True, True]


def test_batch_norm_needs_batches_only_where_there_are_statistics() -> None:
    batches = iter([torch.zeros(1, 2)])
    recompute_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), batches)
    assert len(list(batches)) == 1  # not taken
    with pytest.raises(ValueError, match=r"^batch-norm statistics need at least one batch"):
        recompute_batch_norm(network(), [])
