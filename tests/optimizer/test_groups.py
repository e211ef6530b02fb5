"""Parameter groups: which parameters a rule matches, layers, several algorithms in one."""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from lrbench.config import build
from lrbench.model.vit import ViTModule
from lrbench.optimizer import Optimizer, set_lr, set_momentum
from lrbench.optimizer.groups import describe, frozen_norms, layer_numbers, own_lrs
from lrbench.optimizer.schedule_free import recompute_batch_norm

CONF = Path(__file__).parents[2] / "conf"
MUON = {"_target_": "torch.optim.Muon", "adjust_lr_fn": "match_rms_adamw"}
CONSTANT = {
    "_target_": "lrbench.scheduler.Constant",
    "warmup": "0 steps",
    "warmup_shape": "linear",
    "warmup_start_factor": 0.0,
}


def spec(name: str, /, **changes: Any) -> Optimizer:
    node = OmegaConf.merge(OmegaConf.load(CONF / "optimizer" / f"{name}.yaml"), changes)
    found = build(node, "optimizer")
    assert isinstance(found, Optimizer)
    return found


def vit() -> ViTModule:
    return ViTModule(
        patch_size=4, dim=12, depth=3, heads=2, mlp_ratio=2, in_channels=1, image_size=8,
        num_classes=3,
    )  # fmt: skip


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))


def gradients(model: nn.Module, seed: int) -> None:
    model.zero_grad()
    inputs = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))
    model(inputs).square().mean().backward()


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def names(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, set[str]]:
    """The parameters of each group by name."""
    own = {id(p): name for name, p in model.named_parameters()}
    found: dict[str, set[str]] = {}
    for group in optimizer.param_groups:
        found.setdefault(group["name"], set()).update(own[id(p)] for p in group["params"])
    return found


def test_the_first_rule_that_matches_counts_and_the_rest_is_the_default_group() -> None:
    model = network()
    rules = {
        "last": {"name": r"^3\.", "lr_factor": 10.0, "weight_decay": 0.0},
        "matrices": {"dimensions": 2, "lr_factor": 0.5},
        "biases": {"name": r"bias$"},
    }
    optimizer = spec("sgd", groups=rules).build(model)
    assert names(model, optimizer) == {
        "default": {"2.weight"},
        "last": {"3.weight", "3.bias"},
        "matrices": {"0.weight", "1.weight"},
        "biases": {"0.bias", "1.bias", "2.bias"},
    }
    lrs = {group["name"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups}
    assert lrs == {
        "default": (0.1, 0.0),
        "last": (0.1 * 10.0, 0.0),
        "matrices": (0.05, 5e-4),
        "biases": (0.1, 0.0),
    }
    assert own_lrs(optimizer) == ("default", "last", "matrices", "biases")
    assert list(describe(optimizer, model))[1] == "last: 27 weights in 2 tensors, SGD, lr 1"
    set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.5, 0.025, 0.05]


def test_groups_that_differ_in_decay_alone_have_no_lrs_of_their_own() -> None:
    optimizer = spec("sgd", groups={"last": {"name": "^3", "weight_decay": 0.5}}).build(network())
    assert own_lrs(optimizer) == ()
    assert {g["weight_decay"] for g in optimizer.param_groups} == {5e-4, 0.0, 0.5}


def test_layers_from_the_input_to_the_output() -> None:
    numbers = layer_numbers(vit())
    assert numbers["class_token"] == numbers["positions"] == numbers["patches.weight"] == 0
    assert [numbers[f"blocks.{i}.norm1.weight"] for i in range(3)] == [1, 2, 3]
    assert numbers["norm.weight"] == numbers["classifier.bias"] == 4  # as in BEiT
    assert list(layer_numbers(network()).values()) == [0, 0, 1, 1, 2, 2, 3, 3]
    lenet = nn.Module()
    for name in ("conv1", "conv2", "classifier"):
        lenet.add_module(name, nn.Linear(1, 1, bias=False))
    assert list(layer_numbers(lenet).values()) == [0, 1, 2]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto", "resnet18"])
def test_layer_decay_is_timms(name: str) -> None:
    import timm
    from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]

    sizes: dict[str, Any] = (
        {"img_size": 32, "depth": 3, "embed_dim": 24} if name.startswith("vit") else {}
    )
    model = timm.create_model(name, num_classes=3, **sizes)
    theirs = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.75)
    scales = {
        id(p): (group["lr_scale"], group["weight_decay"])
        for group in theirs
        for p in group["params"]
    }
    optimizer = spec("adamw", lr=1.0, layer_decay=0.75).build(model)
    ours = {
        id(p): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert ours == scales


def test_layer_decay_by_hand_and_with_a_rule() -> None:
    model = vit()
    rules = {"head": {"name": "classifier", "lr_factor": 3.0}}
    optimizer = spec("adamw", lr=1.0, layer_decay=0.5, groups=rules).build(model)
    lrs = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert lrs == {**{f"default.layer{i}": 0.5 ** (4 - i) for i in range(5)}, "head.layer4": 3.0}


def test_muon_is_for_hidden_matrices_and_adamw_for_the_rest() -> None:
    model = vit()
    optimizer = spec("muon").build(model)
    matrices = names(model, optimizer)["matrices"]
    assert matrices == {
        f"blocks.{i}.{layer}.weight"
        for i in range(3)
        for layer in ("queries_keys_values", "projection", "hidden", "output")
    }
    parts = {g["name"]: "betas" in g for g in optimizer.param_groups}
    assert parts == {"default": True, "matrices": False}
    set_momentum(optimizer, 0.8)
    assert {g.get("momentum") or g["betas"][0] for g in optimizer.param_groups} == {0.8}
    own = {None: 0.7, "matrices": None}
    set_momentum(optimizer, 0.7, own)  # a group without a schedule of its own follows the run's
    assert {g.get("momentum") or g["betas"][0] for g in optimizer.param_groups} == {0.7}


def test_two_algorithms_in_one_train_as_the_two_side_by_side() -> None:
    ours, theirs = network(), network()
    optimizer = spec("muon").build(ours)
    matrix = theirs.get_parameter("1.weight")
    rest = [p for p in theirs.parameters() if p is not matrix]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    muon = torch.optim.Muon([matrix], lr=1e-3, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    oracles = [muon, torch.optim.AdamW(groups, lr=1e-3)]
    for step in range(4):
        gradients(ours, step)
        optimizer.step()
        gradients(theirs, step)
        for oracle in oracles:
            oracle.step()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-5, atol=1e-7)


def test_two_algorithms_saved_loaded_and_copied_go_on_to_the_bit() -> None:
    whole, cut = network(), network()
    running, saved = spec("muon").build(whole), spec("muon").build(cut)
    for step in range(6):
        if step == 2:
            cut, saved = copy.deepcopy((cut, saved))
        if step == 4:
            buffer = io.BytesIO()
            torch.save((cut.state_dict(), saved.state_dict()), buffer)
            buffer.seek(0)
            tensors, state = torch.load(buffer, weights_only=True)
            cut = network()
            cut.load_state_dict(tensors)
            saved = spec("muon").build(cut)
            saved.load_state_dict(state)
        for model, optimizer in ((whole, running), (cut, saved)):
            set_lr(optimizer, 1 - step / 8)
            gradients(model, step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            assert all(p.grad is None for p in model.parameters())
    assert torch.equal(weights(whole), weights(cut))
    with pytest.raises(ValueError, match="take no closure"):
        saved.step(lambda: 0.0)


def test_an_overflow_in_half_precision_skips_both_algorithms() -> None:
    model = network()
    optimizer = spec("muon").build(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    before = weights(model)
    for fine in (False, True):
        gradients(model, 0)
        if not fine:
            next(model.parameters()).grad.fill_(torch.inf)  # type: ignore[union-attr]
        scaler.scale(torch.zeros(()))
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update(1.0)
        assert torch.equal(weights(model), before) is not fine


def test_frozen_parameters_and_norms_stay() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, affine=False)), nn.BatchNorm1d(8),
        nn.Linear(8, 3),
    )  # fmt: skip
    optimizer = spec("sgd", groups={"body": {"name": r"^0\.", "freeze": True}}).build(model)
    assert [p.requires_grad for p in model.parameters()] == [False] * 2 + [True] * 4
    assert frozen_norms(model) == [model[0][1]]  # type: ignore[index]
    assert list(describe(optimizer, model))[-1] == "frozen: 56 weights in 2 tensors"
    before = copy.deepcopy(model[0].state_dict())
    recompute_batch_norm(model, [torch.randn(4, 6)])
    assert all(torch.equal(before[key], value) for key, value in model[0].state_dict().items())
    assert not torch.equal(model[1].running_mean, torch.zeros(8))  # type: ignore[arg-type]
    assert frozen_norms(network()) == []


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"none": {"name": "nothing"}}, r"optimizer\.groups\.none matches no parameter of .*"),
        (
            {"all": {"name": ""}, "rest": {"dimensions": 2}},
            r"optimizer\.groups\.rest matches no parameter .* that no earlier rule matches.*",
        ),
        ({"a": {"name": "", "freeze": True}}, r"the model Sequential has no parameter to train"),
        (
            {"a": {"dimensions": 1, "algorithm": MUON}},
            r"optimizer\.groups\.a\.algorithm: torch\.optim\.Muon: Muon only supports 2D .*",
        ),
        (
            {"a": {"dimensions": 2, "algorithm": {"_target_": "torch.optim.Rprop"}}},
            r"optimizer\.groups\.a\.algorithm\._target_=torch\.optim\.Rprop knows no weight decay: "
            r"write optimizer\.groups\.a\.weight_decay=0",
        ),
        (
            {
                "a": {
                    "dimensions": 2,
                    "weight_decay": 0,
                    "algorithm": {"_target_": "torch.optim.Rprop"},
                }
            },
            r"optimizer\.groups\.a\.algorithm\._target_=torch\.optim\.Rprop: the lr that .*",
        ),
        (
            {"a": {"dimensions": 2, "algorithm": {"_target_": "schedulefree.SGDScheduleFree"}}},
            r"optimizer\.groups\.a\.algorithm: SGDScheduleFree is schedule-free and .*",
        ),
    ],
)
def test_rules_that_do_not_fit_are_refused(groups: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        spec("sgd", groups=groups).build(network())


def test_muon_where_torch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.optim, "Muon")
    said = "optimizer.groups.matrices.algorithm._target_=torch.optim.Muon: torch.optim has no Muon"
    with pytest.raises(ValueError, match=rf"^{re.escape(said)}"):
        spec("muon").build(network())


def test_layer_decay_needs_layers() -> None:
    with pytest.raises(ValueError, match=r"^optimizer\.layer_decay=0\.75 finds one layer in the "):
        spec("sgd", layer_decay=0.75).build(nn.Sequential(nn.Linear(3, 3)))


def test_schedules_of_groups() -> None:
    rules = {"a": {"dimensions": 2, "scheduler": CONSTANT}, "b": {"dimensions": 1}}
    found = spec("sgd", groups=rules)
    assert list(found.schedules) == ["a"]
    optimizer = found.build(network())
    assert own_lrs(optimizer) == ("a", "b")
    set_lr(optimizer, 0.5, {"a": 0.25})
    assert [g["lr"] for g in optimizer.param_groups] == [0.025, 0.05]
    assert found.on_one_schedule().schedules == {}
