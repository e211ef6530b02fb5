"""Wide ResNets: few layers, many channels, norm and ReLU before each convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.model.initialize import he_normal
from lrbench.model.resnet import average


class WideResNetModule(nn.Module):
    """WRN-(6n+4)-k: three stages of n blocks with 16k, 32k and 64k channels, without dropout.

    "Wide Residual Networks" (Zagoruyko & Komodakis 2016, arXiv:1605.07146), table 1, block
    B(3, 3). WRN-28-10 has 36.5 M weights.
    """

    def __init__(
        self, *, depth: int, widen_factor: int, in_channels: int, num_classes: int
    ) -> None:
        super().__init__()
        blocks_per_stage = (depth - 4) // 6
        channels = 16
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        blocks: list[Block] = []
        for stage in range(3):
            for block in range(blocks_per_stage):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(channels, 16 * widen_factor * 2**stage, stride))
                channels = 16 * widen_factor * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.classifier = nn.Linear(channels, num_classes)
        he_normal(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.blocks(self.stem(images))
        features = F.relu(self.norm(features), inplace=True)
        logits: Tensor = self.classifier(average(features))
        return logits


class Block(nn.Module):
    """Norm, ReLU, 3×3 convolution, twice.

    Where the shape changes, the shortcut is a 1×1 convolution of the first norm and ReLU's output,
    as in the authors' code; elsewhere it is the input itself.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        active = F.relu(self.norm1(features), inplace=True)
        kept = features if self.shortcut is None else self.shortcut(active)
        branch = F.relu(self.norm2(self.conv1(active)), inplace=True)
        return kept + self.conv2(branch)  # type: ignore[no-any-return]
