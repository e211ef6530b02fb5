"""The models that a config can name, and the one function that builds them.

Importing this package does not import torch: a spec below holds numbers and checks them, and only
its `build` imports the file that holds the network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.checks import require
from lrbench.config import Call

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Model(ABC):
    """What a network is made of; the dataset's shapes come later."""

    @abstractmethod
    def build(self, *, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
        """The network, on the CPU, with weights drawn from torch's global generator.

        It maps images, float (N, in_channels, image_size, image_size), to logits,
        float (N, num_classes).

        Raises:
            ValueError: the network does not exist for images of this size.
        """


@dataclass(frozen=True, kw_only=True)
class CifarResNet(Model):
    """Residual network in the CIFAR form of He et al. 2015 (arXiv:1512.03385, section 4.2)."""

    depth: int  # layers with weights: 6n + 2
    width: int  # channels of the first of the three stages; the paper's 16

    def __post_init__(self) -> None:
        fits = self.depth >= 8 and self.depth % 6 == 2
        require(fits, "depth", self.depth, "must be 6n + 2: 8, 14, 20, 32, 44, 56, 110, ...")
        require(self.width >= 1, "width", self.width, "must be at least 1 channel")

    def build(self, *, in_channels: int, image_size: int, num_classes: int) -> nn.Module:
        from lrbench.model.cifar_resnet import CifarResNetModule

        del image_size  # any: the two halvings round up and the mean takes what is left
        return CifarResNetModule(
            depth=self.depth, width=self.width, in_channels=in_channels, num_classes=num_classes
        )


def build_model(
    spec: Model | Call, *, in_channels: int, image_size: int, num_classes: int, seed: int
) -> nn.Module:
    """Build the network of `spec` on the CPU, its initial weights a function of `seed` alone.

    The global random state is the same before and after.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, unlike torch.manual_seed
        if isinstance(spec, Model):
            return spec.build(
                in_channels=in_channels, image_size=image_size, num_classes=num_classes
            )
        raise NotImplementedError
