"""In channels_last no operation of a residual network meets another layout: that costs many times.

Neither forward nor backward; every operation is seen as torch dispatches it.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lrbench.model.resnet import ResNetModule
from lrbench.model.wide_resnet import WideResNetModule


class Layouts(TorchDispatchMode):
    """Notes the operations on feature maps that are not channels_last."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.others: list[str] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        for tensor in args:
            if isinstance(tensor, Tensor) and tensor.ndim == 4 and tensor.shape[2] > 3:
                self.seen += 1
                if not tensor.is_contiguous(memory_format=torch.channels_last):
                    self.others.append(f"{operation} {tuple(tensor.shape)}")
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("projection", [False, True])
def test_residual_networks_keep_channels_last(projection: bool) -> None:
    network = ResNetModule(
        blocks=(1, 1), width=16, projection=projection, in_channels=3, num_classes=10
    )
    check(network)


def test_wide_residual_networks_keep_channels_last() -> None:
    check(WideResNetModule(depth=10, widen_factor=1, in_channels=3, num_classes=10))


def check(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    with Layouts() as layouts:
        F.cross_entropy(network(images), torch.zeros(2, dtype=torch.int64)).backward()
    assert layouts.seen > 50
    assert layouts.others == []
