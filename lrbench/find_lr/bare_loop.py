"""The range test in a loop of one's own, which leaves no trace in model and optimizer."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.config.checks import require
from lrbench.find_lr.settings import RangeTest
from lrbench.find_lr.tape import Ramp, Tape
from lrbench.optimizer import current, set_lr
from lrbench.optimizer.schedule_free import start_training

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def range_test(
    update: Callable[[], Tensor | float],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    settings: RangeTest,
) -> Ramp:
    """Take updates at rising lrs, then put everything back, even where an update fails.

    The lr is that of the optimizer's first group; other groups keep their ratio to it. A
    scheduler must not be stepped meanwhile.

    Args:
        update: takes one optimizer update (batch, backward, step) and returns its training loss.
        model, optimizer: what `update` changes; see `untouched`.

    Raises:
        ValueError: the first group's lr is 0, so that no factor can raise it.
    """
    import torch

    group = optimizer.param_groups[0]
    base = float(group.get("initial_lr", group["lr"]))
    require(base > 0, "the lr of the first parameter group", base, "must be above 0")
    tape = Tape(settings)
    with untouched(model, optimizer):
        model.train()
        start_training(optimizer)
        for lr in settings.lrs:
            set_lr(optimizer, lr / base)
            used = float(current(optimizer)[0])
            tape.add(used, float(torch.as_tensor(update()).detach()))
            if tape.done:
                break
    return tape.curve()


@contextmanager
def untouched(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Whatever happens in the ``with`` block, `model` and `optimizer` are as before after it.

    That is: parameters, gradients and buffers, training or evaluation mode of every module, the
    optimizer's state and groups, and the random state of Python, numpy and torch (CPU, and the
    CUDA devices of `model`). It takes the memory of a second copy meanwhile. What else the block
    touches, such as a data loader or a gradient scaler, is the caller's.
    """
    import torch

    kept = []
    found = [p for group in optimizer.param_groups for p in group["params"]]
    for module in model.modules():
        held = (dict(module._parameters), dict(module._buffers))
        kept.append((module, module.training, *held))
        found += [tensor for names in held for tensor in names.values() if tensor is not None]
    tensors = {id(tensor): (tensor, tensor.detach().clone()) for tensor in found}
    grads = [
        (tensor, tensor.grad, None if tensor.grad is None else tensor.grad.detach().clone())
        for tensor, _ in tensors.values()
        if tensor.is_leaf
    ]
    groups = [(group, dict(group)) for group in optimizer.param_groups]
    state = {key: copy.deepcopy(value) for key, value in optimizer.state.items()}
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = {tensor.device for tensor, _ in tensors.values() if tensor.is_cuda}
    try:
        with torch.random.fork_rng(devices=sorted(device.index for device in devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        optimizer.param_groups[:] = [group for group, _ in groups]
        _refill(optimizer.state, state)
        for group, values in groups:
            _refill(group, values)
        for module, training, parameters_held, buffers_held in kept:
            module.training = training
            _refill(module._parameters, parameters_held)
            _refill(module._buffers, buffers_held)
        with torch.no_grad():
            for tensor, value in tensors.values():
                tensor.copy_(value)
            for tensor, grad, value in grads:
                tensor.grad = grad
                if grad is not None and value is not None:
                    grad.copy_(value)


def _refill(mapping: Any, values: Mapping[Any, Any]) -> None:
    mapping.clear()
    mapping.update(values)
