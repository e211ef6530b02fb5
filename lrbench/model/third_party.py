"""Networks of other libraries, fitted to a dataset's shapes.

The callable gets `num_classes`, the size of the output's last dimension, and of square images
`in_channels` and `image_size`, where its signature names them; keys in its YAML come first. If the
network's first convolution then expects another number of channels than the images have, it is
replaced by one of the same geometry with torch's default initial weights. Last, two made-up inputs
go through a copy of the network, so that a network that cannot take the dataset's inputs, or gives
other outputs than the task's, is refused here.
"""

from __future__ import annotations

import copy
import inspect

import torch
from torch import nn

from lrbench.config import Call
from lrbench.task import Shapes


def build_third_party(call: Call, shapes: Shapes) -> nn.Module:
    """The network that `call` makes, for inputs and outputs of `shapes`.

    Raises:
        ValueError: it is no network, or does not fit the inputs or the outputs.
    """
    inputs = shapes.inputs
    images = len(inputs) == 3 and inputs[1] == inputs[2] and not shapes.whole_inputs
    offered = {"num_classes": shapes.outputs[-1]}
    if images:
        offered |= {"in_channels": inputs[0], "image_size": inputs[1]}
    try:
        model = call(**_accepted(call, offered))
    except (RuntimeError, LookupError, AttributeError, AssertionError, ArithmeticError) as error:
        if "memory" in str(error):  # which is told in other words
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise ValueError(f"{call.path}: {call.target}: {reason}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(f"{call.path}._target_={call.target} must make a torch.nn.Module")
    if images:
        _fit_channels(model, inputs[0], call)
    _try_out(model, shapes, "images" if images else "inputs", call)
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


def _try_out(model: nn.Module, shapes: Shapes, what: str, call: Call) -> None:
    """Refuse a network that does not turn inputs of `shapes` into its outputs."""
    wanted = (2, *shapes.outputs)
    size = "×".join(map(str, shapes.inputs))
    dtype = torch.int64 if shapes.whole_inputs else torch.float32
    made_up = torch.zeros((2, *shapes.inputs), dtype=dtype)
    try:
        with torch.no_grad():  # in training mode, where some networks give more than one output
            outputs = copy.deepcopy(model).train()(made_up)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{call.path}: {call.target} cannot take {what} of {size}: {reason}"
        ) from error
    given = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if given != wanted:
        raise ValueError(
            f"{call.path}: {call.target} turns 2 {what} of {size} into {given}; "
            f"it must give one output of shape {wanted}"
        )
