"""Optimizers: parameter groups, lr and momentum, mistakes."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from lrbench.config import build, trust
from lrbench.optimizer import Optimizer, current, set_lr, set_momentum
from lrbench.optimizer.schedule_free import start_training

CONF = Path(__file__).parents[2] / "conf" / "optimizer"
# muon needs hidden layers: see test_groups.py.
NAMES = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem != "muon")
FUSED = [name for name in NAMES if "fused: true" in (CONF / f"{name}.yaml").read_text()]
WITH_MOMENTUM = ["sgd", "adam", "adamw", "rmsprop"]


def spec(name: str, /, **changes: Any) -> Optimizer:
    node = OmegaConf.merge(OmegaConf.load(CONF / f"{name}.yaml"), changes)
    found = build(node, "optimizer")
    assert isinstance(found, Optimizer)
    return found


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 3))


def algorithm(target: str, **keys: Any) -> torch.optim.Optimizer:
    """The optimizer of a small network by a YAML of `target` alone, without weight decay."""
    node = {
        "_target_": "lrbench.optimizer.Optimizer",
        "lr": 0.01,
        "weight_decay": 0.0,
        "decay_norms_and_biases": False,
        "algorithm": {"_target_": target, **keys},
    }
    built = build(node, "optimizer")
    assert isinstance(built, Optimizer)
    return built.build(network())


def gradients(model: nn.Module, seed: int, channels_last: bool = False) -> None:
    """Give `model` the gradients of a loss on images that depend on `seed`."""
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    if channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    model.zero_grad()
    model(images).square().mean().backward()


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_every_file_takes_a_real_step(name: str) -> None:
    model = network()
    optimizer = spec(name).build(model)
    start_training(optimizer)
    before = flat(model)
    gradients(model, seed=0)
    optimizer.step()
    lr, momentum = current(optimizer)
    assert lr == OmegaConf.load(CONF / f"{name}.yaml").lr  # type: ignore[union-attr]
    assert momentum == 0.9
    # ReLU-free and scored by squares: every parameter has a gradient, but the first bias, which
    # the norm takes out again.
    kept = torch.ones_like(before, dtype=torch.bool)
    kept[18:20] = False
    assert (flat(model) != before)[kept].all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_in_exactly_one_group(name: str) -> None:
    for decay in (True, False):
        for weight_decay in (0.0, 0.1):
            model = network()
            optimizer = spec(name, weight_decay=weight_decay, decay_norms_and_biases=decay).build(
                model
            )
            held = [id(p) for group in optimizer.param_groups for p in group["params"]]
            assert sorted(held) == sorted(id(p) for p in model.parameters())
            assert all(group["params"] for group in optimizer.param_groups)
            assert len(optimizer.param_groups) == (1 if decay or weight_decay == 0 else 2)
            assert optimizer.param_groups[0]["weight_decay"] == weight_decay


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


@pytest.mark.parametrize("name", WITH_MOMENTUM)
def test_set_momentum(name: str) -> None:
    optimizer = spec(name).build(network())
    rest = [group.get("betas", (0.9,))[1:] for group in optimizer.param_groups]
    set_momentum(optimizer, 0.85)
    set_momentum(optimizer, None)
    for group, others in zip(optimizer.param_groups, rest, strict=True):
        if name.startswith("adam"):
            assert group["betas"] == (0.85, *others) == (0.85, 0.999)
        else:
            assert group["momentum"] == 0.85
    assert current(optimizer)[1] == 0.85


def test_lr_and_momentum_follow_torchs_one_cycle() -> None:
    """OneCycleLR writes the same keys; fed its factors, ours must train the same weights."""
    for name in WITH_MOMENTUM:
        ours, theirs = network(), network()
        theirs.load_state_dict(ours.state_dict())
        optimizer, oracle = spec(name).build(ours), spec(name).build(theirs)
        base = current(oracle)[0]
        cycle = torch.optim.lr_scheduler.OneCycleLR(oracle, max_lr=base, total_steps=12)
        for step in range(12):
            lr, momentum = current(oracle)
            set_lr(optimizer, lr / base)
            set_momentum(optimizer, momentum)
            for model, stepper in ((ours, optimizer), (theirs, oracle)):
                gradients(model, seed=step)
                stepper.step()
            if step < 11:
                cycle.step()
        torch.testing.assert_close(flat(ours), flat(theirs))


@pytest.mark.parametrize(
    "target", ["Adagrad", "Adadelta", "ASGD", "Adafactor", "SGD", "NAdam", "RAdam"]
)
def test_any_torch_optimizer(target: str) -> None:
    optimizer = algorithm(f"torch.optim.{target}")
    set_lr(optimizer, 0.5)
    lr, momentum = current(optimizer)
    assert lr == 0.005
    if target in ("SGD", "NAdam", "RAdam"):
        set_momentum(optimizer, 0.8)
        assert current(optimizer) == (0.005, 0.8)
        return
    assert momentum is None
    message = (
        rf"^the schedule cycles momentum, and {target} has none: "
        r"write scheduler\.cycle_momentum=false$"
    )
    with pytest.raises(ValueError, match=message):
        set_momentum(optimizer, 0.8)


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("channels_last", [False, True])
def test_fused_kernels_train_what_the_plain_loop_trains(name: str, channels_last: bool) -> None:
    trained = []
    for fused in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten())
        if channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = spec(name, algorithm={"fused": fused, "foreach": False}).build(model)
        for step in range(10):
            set_lr(optimizer, 1 - step / 10)
            set_momentum(optimizer, 0.95 - step / 100)
            gradients(model, step, channels_last)
            optimizer.step()
        trained.append(flat(model))
    torch.testing.assert_close(*trained, rtol=1e-5, atol=1e-6)
    assert FUSED  # and the files do ask for them


@pytest.mark.parametrize("name", FUSED)
def test_updates_that_a_gradient_scaler_skips_leave_no_trace(name: str) -> None:
    """Half precision overflows at first, by design; the momentum must not keep the infinities."""
    models = network(), network()
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [spec(name).build(model) for model in models]
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    for step in range(6):
        for model in models:
            gradients(model, seed=step)
        if step in (0, 1, 4):  # these overflow with the scaler, and do not happen without
            for parameter in models[0].parameters():
                assert parameter.grad is not None
                parameter.grad.fill_(torch.inf)
        else:
            optimizers[1].step()
        scaler.scale(torch.zeros(()))  # starts the scaler without a backward pass
        scaler.unscale_(optimizers[0])
        scaler.step(optimizers[0])
        scaler.update(1.0)
    torch.testing.assert_close(flat(models[0]), flat(models[1]))


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_in_the_middle_it_goes_on_to_the_bit(name: str) -> None:
    torch.manual_seed(0)
    models = network(), network()
    models[1].load_state_dict(models[0].state_dict())
    whole, cut = (spec(name).build(model) for model in models)
    for step in range(8):
        if step == 4:
            buffer = io.BytesIO()
            torch.save((models[1].state_dict(), cut.state_dict()), buffer)
            buffer.seek(0)
            weights, state = torch.load(buffer)
            models = models[0], network()
            models[1].load_state_dict(weights)
            cut = spec(name).build(models[1])
            cut.load_state_dict(state)
        for model, optimizer in zip(models, (whole, cut), strict=True):
            start_training(optimizer)
            set_lr(optimizer, 1 - step / 8)
            gradients(model, seed=step)
            optimizer.step()
    assert torch.equal(flat(models[0]), flat(models[1]))


def test_parameters_that_stay_and_shared_ones() -> None:
    model = network()
    model[0].requires_grad_(False)
    model.append(model[1])  # its two parameters occur twice
    weights, rest = spec("sgd").build(model).param_groups
    assert [tuple(p.shape) for p in weights["params"]] == [(3, 72)]
    assert [tuple(p.shape) for p in rest["params"]] == [(2,), (2,), (3,)]
    only_biases = nn.Linear(2, 3)
    only_biases.weight.requires_grad_(False)
    (group,) = spec("sgd").build(only_biases).param_groups
    assert (len(group["params"]), group["weight_decay"]) == (1, 0.0)


def test_weight_decay_reaches_weights_alone() -> None:
    model = network()
    optimizer = spec("sgd", lr=1.0, weight_decay=0.25, algorithm={"momentum": 0, "nesterov": False})
    stepper = optimizer.build(model)
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    stepper.step()
    for parameter in model.parameters():
        expected = 0.75 if parameter.ndim > 1 else 1.0
        assert torch.equal(parameter, torch.full_like(parameter, expected))


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_decay": -1e-4}, r"optimizer\.weight_decay=-0\.0001 must be 0 or above, .*"),
        ({"weight_decay": float("nan")}, r"optimizer\.weight_decay=nan must be 0 or above, .*"),
        ({"lr": "fast"}, r"optimizer\.lr=fast must be of type float"),
        ({"momentum": 0.9}, r"optimizer\.momentum=0\.9 is not a key of Optimizer .*"),
        (
            {"algorithm": {"lr": 0.2}},
            r"optimizer\.algorithm\.lr=0\.2 is set for all groups: write optimizer\.lr=0\.2",
        ),
        (
            {"algorithm": {"weight_decay": 0.2}},
            r"optimizer\.algorithm\.weight_decay=0\.2 .*: write optimizer\.weight_decay=0\.2",
        ),
        (
            {"algorithm": {"momentun": 0.2}},
            r"optimizer\.algorithm\.momentun=0\.2 is not an argument of torch\.optim\.sgd\.SGD"
            r"; did you mean momentum\?",
        ),
        (
            {"algorithm": {"momentum": 0}},
            r"optimizer\.algorithm\.nesterov=True: Nesterov momentum requires .*",
        ),
        ({"algorithm": {"momentum": "fast"}}, r"optimizer\.algorithm\.momentum=fast: '<' not .*"),
        (
            {"algorithm": {"nesterov": "maybe"}},
            r"optimizer\.algorithm\.nesterov=maybe must be true, false or null",
        ),
        (
            {"algorithm": {"foreach": "maybe"}},
            r"optimizer\.algorithm\.foreach=maybe must be true, false or null",
        ),
        ({"algorithm": {"foreach": True}}, r"optimizer\.algorithm\.foreach=True: `fused` and .*"),
        (
            {"algorithm": {"differentiable": True}},
            r"optimizer\.algorithm\.differentiable=True must be false: no gradient .*",
        ),
        (
            {"algorithm": {"_target_": "torch.optim.SDG"}},
            r"optimizer\.algorithm\._target_=torch\.optim\.SDG: .*; did you mean SGD\?",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        spec("sgd", **changes).build(network())


@pytest.mark.parametrize("betas", [[0.9], [2, 0.9], ["a", 0.9], 0.9])
def test_a_mistake_that_only_an_update_shows_names_its_key(betas: Any) -> None:
    shown = re.escape(str(tuple(betas) if isinstance(betas, list) else betas))
    with pytest.raises(ValueError, match=rf"^optimizer\.algorithm\.betas={shown}: .+$"):
        spec("adam", algorithm={"betas": betas}).build(network())


def test_torchs_classes_are_left_as_they_are() -> None:
    torch.optim.SGD([torch.zeros(1)])  # torch itself adds a hook to a class at its first use
    names = ("step", "add_param_group", "zero_grad", "state_dict", "load_state_dict")
    before = [getattr(torch.optim.SGD, name) for name in names]
    built = spec("sgd").build(network())
    assert all(getattr(torch.optim.SGD, n) is b for n, b in zip(names, before, strict=True))
    calls: list[int] = []
    built.register_step_post_hook(lambda *_: calls.append(1))
    built.step()
    assert calls == [1]
    assert isinstance(pickle.loads(pickle.dumps(built)), torch.optim.SGD)


def test_algorithms_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, __name__)
    target = r"optimizer\.algorithm\._target_"
    for name, reason in {
        "optim.SparseAdam": "SparseAdam does not support dense gradients.*",
        "optim.Rprop": "the lr that a schedule sets has no effect on it: choose another",
        "nn.Linear": r"must be a torch\.optim\.Optimizer",
    }.items():
        with pytest.raises(ValueError, match=rf"^{target}=torch\.{name}:? {reason}$"):
            algorithm(f"torch.{name}")
    with pytest.raises(ValueError, match=rf"^{target}=torch\.optim\.LBFGS re-evaluates .*$"):
        algorithm("torch.optim.LBFGS")
    with pytest.raises(ValueError, match=rf"^{target}=\S+ must be a torch\.optim\.Optimizer$"):
        algorithm(f"{__name__}.no_optimizer")
    node = OmegaConf.load(CONF / "sgd.yaml")
    node.algorithm = {"_target_": "torch.optim.Rprop"}
    with pytest.raises(ValueError, match=r"Rprop knows no weight decay: write optimizer\.weight_d"):
        build(node, "optimizer").build(network())
    with pytest.raises(ValueError, match=r"^the model Flatten has no parameter to train$"):
        spec("sgd").build(nn.Flatten())


def no_optimizer(params: Any, lr: float) -> float:  # noqa: ARG001
    return lr
