"""ResNets of basic blocks with projection shortcuts and a stem for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.model.initialize import he_normal


class ResNetModule(nn.Module):
    """A 3×3 stem and stages of basic blocks, each stage after the first halving the image.

    He et al. 2015 (arXiv:1512.03385), table 1; the stem keeps the image's size, as is usual for
    CIFAR. ResNet-18 then has 11.17 M weights for 10 classes.
    """

    def __init__(
        self, *, blocks: Sequence[int], width: int, in_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        layers: list[Block] = []
        channels = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(Block(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.stem(images)), inplace=True)
        features = self.blocks(features)
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut: a 1×1 convolution where the shape changes, else none.

    The paper's option B.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, features: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(features)), inplace=True)
        branch = self.norm2(self.conv2(branch))
        branch += self.shortcut(features)
        return F.relu(branch, inplace=True)
