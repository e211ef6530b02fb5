"""What a config may name as a `_target_`, so that one from someone else cannot run code.

Allowed are lrbench's own configs and those classes and functions of a few libraries that only make
a network or an optimizer. A name is judged before anything is imported, for importing runs code,
and what it leads to once more by where that really lives, for modules hold each other: there is a
``torch.optim.sgd.os.system``. What else the user trusts is said on the command line alone, as
``trust=my_models``; an environment variable takes it to every process that a launcher starts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from difflib import get_close_matches
from typing import Any

from lrbench.config.checks import ConfigError

VARIABLE = "LRBENCH_TRUST"
KEY = "trust"
HYDRA = "hydra"  # trusts what config files set for Hydra itself


class TrustError(ConfigError):
    """A config names what nobody has said may be run."""


def _is_config(found: Any) -> bool:
    return isinstance(found, type) and is_dataclass(found)


def _is_module(found: Any) -> bool:
    from torch import nn

    return isinstance(found, type) and issubclass(found, nn.Module)


def _is_optimizer(found: Any) -> bool:
    import torch

    return isinstance(found, type) and issubclass(found, torch.optim.Optimizer)


def _is_torchvision_model(found: Any) -> bool:
    from torchvision.models import get_model_builder, list_models

    return _is_module(found) or any(found is get_model_builder(name) for name in list_models())


def _is_timm_model(found: Any) -> bool:
    from timm.models import create_model, is_model, model_entrypoint

    name = getattr(found, "__name__", "")
    return found is create_model or (bool(is_model(name)) and model_entrypoint(name) is found)


# Packages, and what of each may be called. Not more: torch.hub.load and its kin run what they load.
ALLOWED: Mapping[str, Callable[[Any], bool]] = {
    "lrbench.dataset": _is_config,
    "lrbench.find_lr": _is_config,
    "lrbench.model": _is_config,
    "lrbench.optimizer": _is_config,
    "lrbench.record.trackers": _is_config,
    "lrbench.run.programs": _is_config,
    "lrbench.scheduler": _is_config,
    "lrbench.study": _is_config,
    "lrbench.task": _is_config,
    "lrbench.trainer": _is_config,
    "schedulefree": _is_optimizer,
    "timm.create_model": _is_timm_model,
    "timm.models": _is_timm_model,
    "torch.nn": _is_module,
    "torch.optim": _is_optimizer,
    "torchvision.models": _is_torchvision_model,
}


def trusted() -> tuple[str, ...]:
    """The modules that the user trusts beyond `ALLOWED`."""
    return tuple(name for name in os.environ.get(VARIABLE, "").split(",") if name)


def trust(names: Iterable[str]) -> None:
    """Trust the modules `names`, in this process and those that it starts.

    Raises:
        TrustError: one is not the name of a module.
    """
    names = list(names)
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise TrustError(
                f"{KEY}={name} must be a module's name, or several as {KEY}=[my_models,my_data]"
            )
    os.environ[VARIABLE] = ",".join(dict.fromkeys([*trusted(), *names]))


def words() -> list[str]:
    """What a command that lrbench proposes must say, for it to be trusted alike."""
    return [f"{KEY}={','.join(trusted())}"] if trusted() else []


def take(arguments: Sequence[str]) -> list[str]:
    """`arguments` of a command line without its ``trust=...``, which is obeyed.

    Raises:
        TrustError: it names no modules.
    """
    rest = []
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if key != KEY or not equals:
            rest.append(argument)
            continue
        listed = value.strip("'\"").removeprefix("[").removesuffix("]").strip()
        trust([name.strip() for name in listed.split(",")] if listed else [])
    return rest


def check_name(name: str, path: str) -> None:
    """Refuse a dotted `name` that is neither in `ALLOWED` nor trusted; imports nothing.

    Raises:
        TrustError: one line with the remedy.
    """
    parts = name.split(".")
    plain = all(part.isidentifier() and not part.startswith("__") for part in parts)
    if not plain or len(parts) < 2:
        raise TrustError(f"{path}={name} is not the name of a class or function in a module")
    if _within(name, trusted()) or _within(name, ALLOWED):
        return
    meant = get_close_matches(name.rpartition(".")[0], ALLOWED, n=1, cutoff=0.85)
    known = f"; did you mean {meant[0]}?" if meant else ""
    raise TrustError(f"{path}={name} is not allowed{_remedy(name)}{known}")


def check_found(found: Any, name: str, path: str) -> None:
    """Refuse what `name` has led to, unless it lives in a trusted module or is of an allowed kind.

    Raises:
        TrustError: one line with the remedy.
    """
    home = getattr(found, "__module__", None) or type(found).__module__
    if _within(home, trusted()):
        return
    package = _within(home, ALLOWED)
    if package and ALLOWED[package](found):
        return
    where = "" if _within(name, [home]) else f", which lives in {home},"
    raise TrustError(f"{path}={name}{where} is not allowed{_remedy(f'{home}.x')}")


def check_arguments(
    found: Any, args: Sequence[Any], arguments: Mapping[str, Any], path: str
) -> None:
    """Refuse arguments that make an allowed function load files: timm's weights may be pickles.

    Args:
        args: given by position; the first one of timm's functions is `pretrained`.
    """
    home = getattr(found, "__module__", None) or ""
    if not _within(home, ["timm"]) or _within(home, trusted()):
        return
    given = {"pretrained": args[0] if args else None, **arguments}
    for key, value in given.items():
        # hf-hub:NAME and local-dir:FOLDER load what someone else has written.
        elsewhere = key == "model_name" and not re.fullmatch(r"[\w.]+", str(value))
        if elsewhere or (key.startswith(("pretrained", "checkpoint")) and value):
            raise TrustError(
                f"{path}.{key}={value} may load a file that runs code: if you trust it, write "
                f"{KEY}=timm on the command line"
            )


def _within(name: str, packages: Iterable[str]) -> str | None:
    """The first of `packages` that `name` is, or is in."""
    return next((p for p in packages if name == p or name.startswith(f"{p}.")), None)


def _remedy(name: str) -> str:
    parts = name.split(".")
    libraries = {package.partition(".")[0] for package in ALLOWED}
    module = ".".join(parts[:-1]) if parts[0] in libraries else parts[0]
    return (
        f": a config may only name models, optimizers and lrbench's own configs; if you trust "
        f"{module} to run code, write {KEY}={module} on the command line"
    )
