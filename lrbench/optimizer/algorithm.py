"""The algorithm of an optimizer: constructed without torch's compiler, and tried out beforehand.

Importing this module does not import torch.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any

from lrbench.config import Call, ConfigError
from lrbench.config.checks import require
from lrbench.optimizer.schedule_free import start_training

if TYPE_CHECKING:
    import torch

_constructing = threading.Lock()


def construct(make: Callable[[], Any], named: str) -> torch.optim.Optimizer:
    """The optimizer that `make` gives, such that no method imports torch's compiler.

    torch.optim guards its methods against being compiled, and the first call of a guard imports
    the compiler, which takes seconds. lrbench compiles models alone. torch's class gets its guarded
    method back before this function returns; the optimizer itself carries unguarded ones, which
    are not pickled.

    Args:
        named: what to call it in a message.

    Raises:
        ConfigError: `make` raises it, or makes something else.
    """
    import torch

    base: Any = torch.optim.Optimizer
    with _constructing:
        guarded = base.add_param_group
        base.add_param_group = inspect.unwrap(guarded)
        try:
            optimizer = make()
        finally:
            base.add_param_group = guarded
    if not isinstance(optimizer, base):
        raise ConfigError(f"{named} must be a torch.optim.Optimizer")
    for name in ("zero_grad", "state_dict", "load_state_dict", "step"):
        method = getattr(type(optimizer), name)
        if method.__module__.startswith("torch.optim."):
            plain: Any = inspect.unwrap(method)
            if name == "step":  # the guard also switches gradients off, and torch counts on hooks
                plain = base.profile_hook_step(torch.no_grad()(plain))
            setattr(optimizer, name, MethodType(plain, optimizer))
    return optimizer


def try_out(call: Call, target: Any, group: Mapping[str, Any]) -> None:
    """Update a small tensor with the algorithm: its mistakes show before a run begins.

    Args:
        target: the class or function that `call` names.
        group: a parameter group that it will be given.

    Raises:
        ValueError: an argument is wrong; updates need more than gradients; the lr has no effect.
    """
    known = inspect.signature(target).parameters
    for key, value in call.arguments.items():
        words = re.findall(r"\w+", str(known[key].annotation)) if key in known else []
        if set(words) - {"class", "typing", "Optional", "None"} == {"bool"}:
            is_switch = value is None or isinstance(value, bool)
            require(is_switch, f"{call.path}.{key}", value, "must be true, false or null")
    rule = "must be false: no gradient is taken of an update"
    value = call.arguments.get("differentiable", False)
    require(not value, f"{call.path}.differentiable", value, rule)
    named = f"{call.path}._target_={call.target}"
    step = getattr(target, "step", None)
    closure = inspect.signature(step).parameters.get("closure") if step else None
    if closure is not None and closure.default is closure.empty:
        raise ValueError(f"{named} re-evaluates the loss within a step: choose one that doesn't")
    reason = _failure(call, group)
    if reason is None:
        return
    place = named  # unless one argument is why: without it, all is well or something else is wrong
    for key, value in call.arguments.items():
        others = {k: v for k, v in call.arguments.items() if k != key}
        if _failure(replace(call, arguments=others), group) != reason:
            place = f"{call.path}.{key}={value}"
    raise ValueError(f"{place}: {reason}")


def _failure(call: Call, group: Mapping[str, Any]) -> str | None:
    """Why the algorithm cannot train under a schedule, as far as a small tensor shows it.

    Raises:
        ConfigError: `call` names what does not exist.
    """
    import torch

    ends = []
    for lr in (0.01, 0.005):
        weights = torch.nn.Parameter(torch.ones(2, 2, device=group["params"][0].device))
        try:
            tried = [{**dict.fromkeys(group, 0.0), "params": [weights]}]
            optimizer = construct(
                partial(call, tried, lr=0.01), f"{call.path}._target_={call.target}"
            )
            start_training(optimizer)
            for step in range(3):
                for each in optimizer.param_groups:
                    each["lr"] = lr if step else 0.01
                weights.grad = torch.ones_like(weights)
                optimizer.step()
        except Exception as error:
            if isinstance(error, ConfigError) and error.__cause__ is None:
                raise
            cause = error.__cause__ if isinstance(error, ConfigError) else error
            return " ".join(str(cause).split()) or type(cause).__name__
        ends.append(weights.detach())
    if torch.equal(*ends):
        return "the lr that a schedule sets has no effect on it: choose another"
    return None
