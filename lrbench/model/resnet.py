"""Residual networks of basic blocks, for small images; their two forms differ in the shortcut."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.model.initialize import he_normal


class ResNetModule(nn.Module):
    """A 3×3 stem, then stages of basic blocks, each twice as wide as the one before.

    "Deep Residual Learning for Image Recognition" (He et al. 2015, arXiv:1512.03385): section 4.2
    for the CIFAR form, three stages with shortcuts without weights; table 1 for ResNet-18 and its
    kin, four stages with projections, whose stem here keeps the image's size, as is usual for
    small images. Every stage but the first begins by halving the image, rounding up.

    Args:
        blocks: number of blocks of each stage.
        width: channels of the first stage.
        projection: whether a shortcut whose shape changes is a 1×1 convolution (the paper's
            option B) or has no weights (option A).
    """

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        width: int,
        projection: bool,
        in_channels: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        layers: list[Block] = []
        channels = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(Block(channels, width * 2**stage, stride, projection=projection))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        features = F.relu(self.norm(self.stem(images)), inplace=True)
        features = self.blocks(features)
        logits: Tensor = self.classifier(average(features))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int, *, projection: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            if projection:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_channels, channels, 1, stride, bias=False),
                    nn.BatchNorm2d(channels),
                )
            else:
                self.shortcut = Subsample(stride, channels - in_channels)

    def forward(self, features: Tensor) -> Tensor:
        branch = F.relu(self.norm1(self.conv1(features)), inplace=True)
        branch = self.norm2(self.conv2(branch))
        branch += self.shortcut(features)
        return F.relu(branch, inplace=True)


class Subsample(nn.Module):
    """Every `stride`-th pixel, followed by `new_channels` channels of zeros."""

    def __init__(self, stride: int, new_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = new_channels

    def forward(self, features: Tensor) -> Tensor:
        # Pooling over single pixels, as indexing's gradient would lose the memory layout.
        features = F.avg_pool2d(features, 1, self.stride)
        return F.pad(features, (0, 0, 0, 0, 0, self.new_channels))


def average(features: Tensor) -> Tensor:
    """(B, C) from (B, C, H, W), each channel's mean.

    The gradient of pooling keeps the memory layout, unlike that of `Tensor.mean`: operations that
    meet two layouts are many times slower, all the way back through the shortcuts.
    """
    return F.avg_pool2d(features, features.shape[-2:]).flatten(1)
