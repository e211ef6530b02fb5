"""Networks of other libraries, fitted to a dataset's shapes.

The callable gets `num_classes`, and `in_channels` and `image_size` where its signature names them;
keys in its YAML come first. If the network's first convolution then expects another number of
channels than the images have, it is replaced by one of the same geometry with torch's default
initial weights. Last, two made-up images go through a copy of the network, so that a network that
cannot take the dataset's images, or gives other outputs than its classes, is refused here.
"""

from __future__ import annotations

import copy
import inspect

import torch
from torch import nn

from lrbench.config import Call


def build_third_party(
    call: Call, *, in_channels: int, image_size: int, num_classes: int
) -> nn.Module:
    """The network that `call` makes, for images of (in_channels, image_size, image_size).

    Raises:
        ValueError: it is no network, or does not fit the images or the classes.
    """
    model = call(
        **_accepted(
            call,
            {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes},
        )
    )
    if not isinstance(model, nn.Module):
        raise ValueError(f"{call.path}._target_={call.target} must make a torch.nn.Module")
    _fit_channels(model, in_channels, call)
    _try_out(model, (2, in_channels, image_size, image_size), num_classes, call)
    return model


def _accepted(call: Call, offered: dict[str, int]) -> dict[str, int]:
    """Of `offered`, what the target's signature names, and `num_classes` if it takes any key."""
    parameters = inspect.signature(call.locate()).parameters
    names = {name for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    if len(names) < len(parameters):
        names.add("num_classes")
    return {name: value for name, value in offered.items() if name in names}


def _fit_channels(model: nn.Module, in_channels: int, call: Call) -> None:
    """Replace the first convolution of `model` if it expects another number of channels."""
    found = next(((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d)), None)
    if found is None or found[1].in_channels == in_channels:
        return
    name, conv = found
    if type(conv) is not nn.Conv2d or conv.groups != 1 or not name:
        raise ValueError(
            f"{call.path}: the first convolution of {call.target} ({name}) is for "
            f"{conv.in_channels} channels and the images have {in_channels}: "
            f"set the number of channels by a key of its own in the YAML"
        )
    parent, _, attribute = name.rpartition(".")
    fitted = nn.Conv2d(
        in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )
    setattr(model.get_submodule(parent), attribute, fitted)


def _try_out(model: nn.Module, shape: tuple[int, ...], num_classes: int, call: Call) -> None:
    """Refuse a network that does not turn images of `shape` into (N, num_classes)."""
    wanted = (shape[0], num_classes)
    images = "×".join(map(str, shape[1:]))
    try:
        with torch.no_grad():  # in training mode, where some networks give more than one output
            outputs = copy.deepcopy(model).train()(torch.zeros(shape))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{call.path}: {call.target} cannot take images of {images}: {reason}"
        ) from error
    given = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if given != wanted:
        raise ValueError(
            f"{call.path}: {call.target} turns {shape[0]} images of {images} into {given}; "
            f"it must give one output of shape {wanted}"
        )
