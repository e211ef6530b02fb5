"""The optimizer that a config names, and what the trainer asks of it at every update.

Importing this module does not import torch. lr and momentum are Python floats; a captured CUDA
graph would need the lr as a tensor, `capturable: true` in the YAML, and a `set_lr` that fills it.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lrbench.config import Call
from lrbench.config.checks import require
from lrbench.optimizer.algorithm import construct, try_out
from lrbench.optimizer.groups import DEFAULT, Rule, algorithm_of, layer_numbers
from lrbench.optimizer.schedule_free import is_schedule_free
from lrbench.scheduler import Scheduler

if TYPE_CHECKING:
    import torch
    from torch import nn

_NONE: Mapping[str | None, Any] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An optimization algorithm with its base lr and weight decay."""

    lr: float  # the base lr, which every schedule multiplies
    weight_decay: float  # as the algorithm defines it: an L2 penalty, or AdamW's decoupled decay
    decay_norms_and_biases: bool  # whether parameters of one dimension or none decay too
    algorithm: Call  # a torch.optim class, or any other with its signature
    # Runs of versions without these keys go on without them.
    groups: Mapping[str, Rule] | None = None  # by name; of the rules that match, the first counts
    layer_decay: float | None = None  # each layer's lr / that of the next one towards the output

    def __post_init__(self) -> None:
        lr, weight_decay = self.lr, self.weight_decay
        require(0 < lr < math.inf, "lr", lr, "must be above 0 and finite")
        rule = "must be 0 or above, and finite"
        require(0 <= weight_decay < math.inf, "weight_decay", weight_decay, rule)
        for key in ("lr", "weight_decay"):
            if key in self.algorithm.arguments:
                value = self.algorithm.arguments[key]
                raise ValueError(
                    f"algorithm.{key}={value} is set for all groups: write optimizer.{key}={value}"
                )
        decay = self.layer_decay
        require(decay is None or 0 < decay < 1, "layer_decay", decay, "must be in (0, 1), or null")
        for name, group in (self.groups or {}).items():
            fits = re.fullmatch(r"[A-Za-z]\w*", name) and name != DEFAULT
            require(bool(fits), "groups", name, f"must be a name, and not {DEFAULT}")
            if not isinstance(group, Rule):
                raise ValueError(f"groups.{name}={group} must be a rule, such as {{dimensions: 2}}")
            for key in ("lr", "weight_decay"):
                if group.algorithm and key in group.algorithm.arguments:
                    value, place = group.algorithm.arguments[key], f"groups.{name}"
                    better = f"{key}={value}" if key == "weight_decay" else "lr_factor=..."
                    raise ValueError(
                        f"{place}.algorithm.{key}={value} is the group's: write "
                        f"optimizer.{place}.{better}"
                    )

    def build(self, model: nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the parameters of `model` that require a gradient, each exactly once.

        The parameters that a rule freezes require none from now on. Without
        `decay_norms_and_biases`, the weights of each group (two dimensions or more) come first and
        then the rest, as a group without weight decay. No group is empty.

        Raises:
            ValueError: there is nothing to train, a rule matches nothing, an algorithm refuses its
                arguments, now or at its first update, or the lr of a schedule has no effect on it.
        """
        import torch

        calls: dict[str, tuple[Call, list[dict[str, Any]]]] = {}
        for call, group in self._groups(model):
            calls.setdefault(call.path, (call, []))[1].append(group)
        if not calls:
            raise ValueError(f"the model {type(model).__name__} has no parameter to train")
        parts = [self._construct(call, groups) for call, groups in calls.values()]
        for part in parts:
            if isinstance(part, torch.optim.SGD):
                # In updates that a GradScaler must skip, SGD's fused kernel still writes the
                # momentum (seen with torch 2.15). So skipping must not be left to the kernel.
                part._step_supports_amp_scaling = False
            for group in part.param_groups:
                group["initial_lr"] = group["lr"]
        if len(parts) == 1:
            return parts[0]
        from lrbench.optimizer.combined import Combined

        for part, path in zip(parts, calls, strict=True):
            if is_schedule_free(part):
                raise ValueError(
                    f"{path}: {type(part).__name__} is schedule-free and switches the weights of "
                    "the whole model: use one algorithm for all groups"
                )
        return construct(lambda: Combined(parts, self.lr), "optimizer")

    @property
    def schedules(self) -> dict[str, Scheduler]:
        """The schedules that groups have of their own, by the names of their rules."""
        rules = (self.groups or {}).items()
        return {name: rule.scheduler for name, rule in rules if rule.scheduler is not None}

    def on_one_schedule(self) -> Optimizer:
        """This optimizer with the run's schedule for every group."""
        rules = {n: replace(rule, scheduler=None) for n, rule in (self.groups or {}).items()}
        return replace(self, groups=rules or None)

    def _construct(self, call: Call, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The algorithm of `call` for its `groups`, tried out beforehand."""
        import torch

        target = call.locate()
        named = f"{call.path}._target_={call.target}"
        if isinstance(target, type) and not issubclass(target, torch.optim.Optimizer):
            raise ValueError(f"{named} must be a torch.optim.Optimizer")
        if not _takes(target, "weight_decay"):
            for group in groups:
                if group.pop("weight_decay"):
                    place = call.path.removesuffix(".algorithm")
                    raise ValueError(f"{named} knows no weight decay: write {place}.weight_decay=0")
        own = ("params", "weight_decay")
        try_out(call, target, {key: groups[0][key] for key in own if key in groups[0]})
        try:
            return construct(lambda: call(groups, lr=self.lr), named)
        except RuntimeError as error:
            raise ValueError(f"{named}: {' '.join(str(error).split())}") from error

    def _groups(self, model: nn.Module) -> Iterator[tuple[Call, dict[str, Any]]]:
        """torch's parameter groups, each with its algorithm; freezes what a rule says."""
        rules = self.groups or {}
        plain = not rules and self.layer_decay is None
        numbers = {} if plain else layer_numbers(model)
        last = max(numbers.values(), default=0)
        if self.layer_decay is not None and not last:
            raise ValueError(
                f"optimizer.layer_decay={self.layer_decay} finds one layer in the model "
                f"{type(model).__name__}: write optimizer.layer_decay=null"
            )
        sorted_: dict[str, dict[int, list[nn.Parameter]]] = {DEFAULT: {}, **{n: {} for n in rules}}
        for name, parameter in model.named_parameters():
            number = numbers.get(name, 0)
            matching = (n for n, r in rules.items() if r.matches(name, parameter, number, last))
            layer = 0 if self.layer_decay is None else number
            sorted_[next(matching, DEFAULT)].setdefault(layer, []).append(parameter)
        for name, rule in rules.items():
            if not sorted_[name]:
                raise ValueError(
                    f"optimizer.groups.{name} matches no parameter of the model "
                    f"{type(model).__name__} that no earlier rule matches: mend it or leave it out"
                )
            if rule.freeze:
                for parameter in itertools.chain(*sorted_.pop(name).values()):
                    parameter.requires_grad_(False)
        for name, layers in sorted_.items():
            for layer, parameters in sorted(layers.items()):
                own = rules.get(name)
                call = own.algorithm if own and own.algorithm else self.algorithm
                named = {} if plain else self._named(name, own, layer, last)
                for group in self._by_decay([p for p in parameters if p.requires_grad], own):
                    yield call, {**group, **named}

    def _named(self, name: str, rule: Rule | None, layer: int, last: int) -> dict[str, Any]:
        """What a group says beyond torch's own keys: name, lr, whether it has a schedule."""
        lr, said = self.lr * (rule.lr_factor if rule else 1.0), {"name": name}
        if self.layer_decay is not None:
            said = {"name": f"{name}.layer{layer}" if self.groups else f"layer{layer}"}
            lr *= self.layer_decay ** (last - layer)
        return {**said, "lr": lr, **({"schedule": name} if rule and rule.scheduler else {})}

    def _by_decay(self, parameters: list[nn.Parameter], rule: Rule | None) -> list[dict[str, Any]]:
        own = rule.weight_decay if rule else None
        weight_decay = self.weight_decay if own is None else own
        groups = [{"params": parameters, "weight_decay": weight_decay}]
        if not self.decay_norms_and_biases and weight_decay:
            groups = [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
                {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
            ]
        return [group for group in groups if group["params"]]


def set_lr(
    optimizer: torch.optim.Optimizer, factor: float, own: Mapping[str | None, float] = _NONE
) -> None:
    """Set each group's lr to its base lr × `factor`, or × that of its own schedule.

    The base lr is ``group["initial_lr"]``, where torch's own schedulers keep it too; a group that
    has none yet gets its lr.

    Args:
        own: the factors of the schedules that groups have of their own, by their names, which
            ``group["schedule"]`` holds.
    """
    for group in optimizer.param_groups:
        base = group.setdefault("initial_lr", group["lr"])
        group["lr"] = base * (own.get(group.get("schedule"), factor) if own else factor)


def set_momentum(
    optimizer: torch.optim.Optimizer,
    momentum: float | None,
    own: Mapping[str | None, float | None] = _NONE,
) -> None:
    """Set each group's momentum (of Adam's kin: beta1), or leave it where `momentum` is None.

    Args:
        own: what to set in place of `momentum` where groups have schedules of their own.

    Raises:
        ValueError: the algorithm has no momentum to set, or is schedule-free: its averages hold
            only for a momentum that stays.
    """
    if momentum is None and not own:
        return
    constant = is_schedule_free(optimizer)
    for group in optimizer.param_groups:
        value = own.get(group.get("schedule"), momentum)
        if value is None:
            continue
        if "betas" in group and not constant:
            group["betas"] = (value, *group["betas"][1:])
        elif "momentum" in group and not constant:
            group["momentum"] = value
        else:
            why = "needs it constant" if constant else "has none"
            raise ValueError(
                f"the schedule cycles momentum, and {algorithm_of(optimizer, group)} {why}: "
                "write scheduler.cycle_momentum=false"
            )


def current(optimizer: torch.optim.Optimizer) -> tuple[float, float | None]:
    """The lr and the momentum (of Adam's kin: beta1; None where there is none) of group one."""
    group = optimizer.param_groups[0]
    if "betas" in group:
        return group["lr"], group["betas"][0]
    return group["lr"], group.get("momentum")


def _takes(target: Any, name: str) -> bool:
    """Whether `target` can be called with the keyword `name`."""
    parameters = inspect.signature(target).parameters.values()
    return any(p.name == name or p.kind is p.VAR_KEYWORD for p in parameters)
