"""The CIFAR ResNet of He et al. 2015: three stages of basic blocks, shortcuts without weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.model.initialize import he_normal


class CifarResNetModule(nn.Module):
    """ResNet-(6n+2): a 3×3 stem, then n blocks each at width, 2 width and 4 width channels.

    "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), section 4.2. Stages two and
    three begin by halving the image, rounding up.
    """

    def __init__(self, *, depth: int, width: int, in_channels: int, num_classes: int) -> None:
        super().__init__()
        blocks_per_stage = (depth - 2) // 6
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks: list[Block] = []
        channels = width
        for stage in range(3):
            for block in range(blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.stem(images)), inplace=True)
        features = self.blocks(features)
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut without weights (the paper's option A)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.new_channels = channels - in_channels

    def forward(self, features: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(features)), inplace=True)
        branch = self.norm2(self.conv2(branch))
        branch += shortcut(features, self.stride, self.new_channels)
        return F.relu(branch, inplace=True)


def shortcut(features: Tensor, stride: int, new_channels: int) -> Tensor:
    """Every `stride`-th pixel of `features`, followed by `new_channels` channels of zeros."""
    if stride > 1:
        features = features[:, :, ::stride, ::stride]
    if new_channels > 0:
        features = F.pad(features, (0, 0, 0, 0, 0, new_channels))
    return features
