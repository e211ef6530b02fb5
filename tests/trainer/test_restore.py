"""What is loaded into a run fits it: shapes, types and settings are seen before anything is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from runs import Saved, new_loop, run

from lrbench.trainer.loop import Interrupted

Checkpoint = dict[str, Any]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """The checkpoint of each optimizer's run that was stopped."""
    found = {}
    for name in ("sgd", "adamw"):
        stopped = Saved(stop_after=11)
        with pytest.raises(Interrupted):
            run(new_loop(f"optimizer={name}"), tmp_path_factory.mktemp(name), stopped)
        found[name] = stopped.checkpoints[-1]
    return found


def state(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """The first parameter's state, which may be altered."""
    own: dict[str, Any] = checkpoint[name]["state"][0]
    return own


def smaller(checkpoint: Checkpoint) -> None:
    state(checkpoint, "optimizer")["exp_avg"] = torch.zeros(1)


def of_another_type(checkpoint: Checkpoint) -> None:
    own = state(checkpoint, "optimizer")
    own["exp_avg_sq"] = own["exp_avg_sq"].to(torch.int64)


def no_tensor(checkpoint: Checkpoint) -> None:
    state(checkpoint, "optimizer")["exp_avg"] = 3.0


def an_entry_missing(checkpoint: Checkpoint) -> None:
    del state(checkpoint, "optimizer")["step"]


def another_weight_decay(checkpoint: Checkpoint) -> None:
    checkpoint["optimizer"]["param_groups"][0]["weight_decay"] = 7.0


def another_base_lr(checkpoint: Checkpoint) -> None:
    checkpoint["optimizer"]["param_groups"][1]["initial_lr"] = 7.0


def a_group_more(checkpoint: Checkpoint) -> None:
    checkpoint["optimizer"]["param_groups"].append({"params": [9]})


def of_another_network(checkpoint: Checkpoint) -> None:
    name = next(iter(checkpoint["model"]))
    checkpoint["model"][name] = checkpoint["model"][name][:1]


def of_another_precision(checkpoint: Checkpoint) -> None:
    name = next(iter(checkpoint["model"]))
    checkpoint["model"][name] = checkpoint["model"][name].double()


def beyond_the_end(checkpoint: Checkpoint) -> None:
    checkpoint["state"]["step"] = 37


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (smaller, r"the optimizer's state 0 has exp_avg of \(torch.float32, \(1,\)\) where"),
        (of_another_type, r"the optimizer's state 0 has exp_avg_sq of \(torch.int64"),
        (no_tensor, "the optimizer's state 0 has exp_avg"),
        (an_entry_missing, r"the optimizer's state 0 has other entries \(step\)"),
        (another_weight_decay, "the optimizer's weight_decay is 7.0, not 0.0005"),
        (another_base_lr, "the optimizer's initial_lr is 7.0, not 0.1"),
        (a_group_more, "the optimizer's groups are of other sizes"),
        (of_another_network, r"the model has 1.weight of \(torch.float32, \(1, 64\)\) where"),
        (of_another_precision, r"the model has 1.weight of \(torch.float64"),
        (beyond_the_end, "37 updates were taken, of 36"),
    ],
)
def test_what_does_not_fit_is_refused(
    saved: dict[str, Checkpoint], spoil: Callable[[Checkpoint], None], said: str
) -> None:

    checkpoint = copy.deepcopy(saved["adamw"])
    words = ["optimizer=adamw", "optimizer.lr=0.1", "optimizer.weight_decay=5e-4"]
    for group in checkpoint["optimizer"]["param_groups"]:
        group["initial_lr"] = 0.1
        group["weight_decay"] = 5e-4 if group["weight_decay"] else 0.0
    whole = new_loop(*words)
    whole.restore(copy.deepcopy(checkpoint))
    spoil(checkpoint)
    loop = new_loop(*words)
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        loop.restore(checkpoint)
    assert all(torch.equal(before[name], value) for name, value in loop.model.state_dict().items())


def test_a_smaller_momentum_is_no_crash(saved: dict[str, Checkpoint]) -> None:
    checkpoint = saved["sgd"]
    state(checkpoint, "optimizer")["momentum_buffer"] = torch.zeros(1)
    with pytest.raises(ValueError, match="the optimizer's state 0 has momentum_buffer of"):
        new_loop("optimizer=sgd").restore(checkpoint)
