"""Weights from a file in place of drawn ones: what fine-tuning begins with."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.config import ConfigError
from lrbench.files.weights import digest

log = logging.getLogger(__name__)

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")  # where files hold the weights


def load_weights(model: nn.Module, path: str, expected: str | None) -> None:
    """Fill `model` with the weights in the file at `path`, but for a last layer of another size.

    The file is one of safetensors, or one of torch's that holds tensors, in a dictionary by name,
    perhaps within another under a usual key; nothing in it is run. A prefix that all names have
    here or there, such as ``module.``, is disregarded. If only the last layer is missing or of
    other shapes, it keeps the weights that were drawn for it, which the log says.

    Args:
        expected: the digest that the file must have; None: any.

    Raises:
        ConfigError: the file is another or damaged, or its names or shapes are not the model's.
    """
    place = f"model.weights={path}"
    if expected is not None and digest(path) != expected:
        raise ConfigError(f"{place} is not the file that the run began with: bring it back")
    found = _read(path, place)
    own = model.state_dict()
    found = _renamed(found, own)
    head, _, _ = [name for name, _ in model.named_parameters()][-1].rpartition(".")
    for name in own.keys() - found.keys():  # files leave out the second name of a shared tensor
        twins = [n for n in found if n in own and own[n].data_ptr() == own[name].data_ptr()]
        if twins and own[name].numel():
            found[name] = found[twins[0]]
    parts = [name for name in own if head and name.startswith(f"{head}.")]
    if parts and any(name not in found or found[name].shape != own[name].shape for name in parts):
        there = ", ".join(str(tuple(found[n].shape)) if n in found else "none" for n in parts)
        here = ", ".join(str(tuple(own[name].shape)) for name in parts)
        log.info("%s: its last layer %s (%s) makes way for a new one (%s)", path, head, there, here)
        found = {**found, **{name: own[name] for name in parts}}
    for name, tensor in {**found, **own}.items():
        here, there = (
            str(tuple(tensors[name].shape)) if name in tensors else "none"
            for tensors in (own, found)
        )
        if here != there:
            raise ConfigError(
                f"{place} does not fit: {name} is {there} there and {here} in the model"
            )
        if tensor.is_floating_point() != found[name].is_floating_point():
            raise ConfigError(f"{place} does not fit: {name} is of type {found[name].dtype} there")
    own.update(found)  # which keeps what torch notes about versions of modules
    model.load_state_dict(own)


def _read(path: str, place: str) -> dict[str, Tensor]:
    """The tensors in a file, by name."""
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{place} needs the package safetensors: pip install it") from error
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # both libraries raise many kinds for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{place} holds no weights, or code beside them: {reason}") from error
    while isinstance(content, Mapping) and (key := next((k for k in WRAPPERS if k in content), "")):
        content = content[key]
    if isinstance(content, Mapping):
        content = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if not content or not isinstance(content, dict):
        raise ConfigError(f"{place} holds no weights by name")
    return content


def _renamed(found: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`found` by the names of `own`, after the change of prefix with which most names agree."""
    changes = Counter[tuple[str, str]]({("", ""): sum(name in own for name in found)})
    for name in found:
        pieces = name.split(".")
        for i in range(1, len(pieces)):
            if ".".join(pieces[i:]) in own:
                changes[f"{'.'.join(pieces[:i])}.", ""] += 1
    for name in own:
        pieces = name.split(".")
        for i in range(1, len(pieces)):
            if ".".join(pieces[i:]) in found:
                changes["", f"{'.'.join(pieces[:i])}."] += 1
    (before, after), _ = changes.most_common(1)[0]
    return {after + name.removeprefix(before): tensor for name, tensor in found.items()}
