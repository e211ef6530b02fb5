"""Groups in the training loop: each follows its own lr, is recorded, frozen, resumed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import Saved, history, new_loop, numbers, run

from lrbench.trainer.loop import Interrupted

PLATEAU = (
    "+scheduler@optimizer.groups.head.scheduler=plateau",
    "optimizer.groups.head.scheduler.patience=0",
    "optimizer.groups.head.scheduler.threshold=0.9",
    "+optimizer.groups.head={layers: output, lr_factor: 0.5}",
)
CYCLE = (
    "scheduler=onecycle",
    "+scheduler@optimizer.groups.first.scheduler=constant",
    "+optimizer.groups.first={layers: input}",
)


def test_each_group_follows_its_schedule(tmp_path: Path) -> None:
    loop = new_loop("optimizer=adamw", "trainer.log_interval=1 steps", *PLATEAU)
    run(loop, tmp_path, Saved())
    rows = history(tmp_path)
    losses, steps = loop.state.validations["loss"], loop.state.val_steps
    cosine = loop.scheduler.factors(36, loop.steps_per_epoch)
    plateau = loop.schedules["head"].factors(36, loop.steps_per_epoch, losses, steps)
    assert len(set(plateau)) > 2  # it has cut
    for column, base, factors in (
        ("lr", 1e-3, cosine), ("lr/default", 1e-3, cosine), ("lr/head", 5e-4, plateau)
    ):  # fmt: skip
        expected = torch.tensor([base * factor for factor in factors])
        torch.testing.assert_close(torch.tensor(numbers(rows, column)), expected)
    assert list(rows[0])[-2:] == ["lr/default", "lr/head"]


def test_momentum_follows_each_groups_schedule(tmp_path: Path) -> None:
    loop = new_loop(*CYCLE)
    run(loop, tmp_path, Saved())
    momenta = {g["name"]: g["momentum"] for g in loop.optimizer.param_groups}
    assert momenta == {"default": pytest.approx(0.95, abs=2e-3), "first": 0.9}


@pytest.mark.parametrize(
    "overrides",
    [("optimizer=muon", "model.hidden=[16,16]"), ("optimizer=adamw", *PLATEAU), CYCLE],
    ids=["muon", "own", "cycle"],
)
def test_resumed_in_the_middle_it_goes_on_to_the_bit(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    whole, first = new_loop(*overrides), Saved(stop_after=17)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    run(whole, tmp_path / "whole", Saved())
    with pytest.raises(Interrupted):
        run(new_loop(*overrides), tmp_path / "cut", first)
    again = new_loop(*overrides)
    again.restore(first.checkpoints[-1])
    run(again, tmp_path / "cut", Saved(), position=first.checkpoints[-1]["files"])
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name])
    assert history(tmp_path / "whole") == history(tmp_path / "cut")


def test_frozen_layers_keep_weights_and_statistics(tmp_path: Path) -> None:
    rule = "optimizer.groups={body: {name: '^stem|^norm|^blocks.0', freeze: true}}"
    loop = new_loop("model=resnet8", "model.width=4", "trainer.length=4 steps", rule)
    before = {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}
    run(loop, tmp_path, Saved())
    for name, tensor in loop.model.state_dict().items():
        frozen = name.startswith(("stem", "norm", "blocks.0"))
        assert torch.equal(tensor, before[name]) is frozen, name
    frozen_grads = [p.grad for p in loop.model.parameters() if not p.requires_grad]
    assert frozen_grads == [None] * len(frozen_grads) != []


def test_a_schedule_that_does_not_fit_names_its_group() -> None:
    words = (
        "+scheduler@optimizer.groups.head.scheduler=constant",
        "+optimizer.groups.head={layers: output}",
        "optimizer.groups.head.scheduler.warmup=50 steps",
    )
    said = r"^optimizer\.groups\.head\.scheduler\.warmup=50 steps must be shorter than the run"
    with pytest.raises(ValueError, match=said):
        new_loop(*words)
