"""LeNet-5: two convolutions and three fully connected layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from lrbench.model.initialize import he_uniform

SMALLEST_IMAGE = 12  # pixels along the side: what leaves one pixel to classify


class LeNetModule(nn.Module):
    """LeNet-5 with ReLU and max pooling.

    "Gradient-Based Learning Applied to Document Recognition" (LeCun et al. 1998), figure 2. The
    image is padded by two pixels on every side, which makes MNIST's 28 the paper's 32: 61 706
    weights then.
    """

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int) -> None:
        super().__init__()
        side = (image_size // 2 - 4) // 2  # halved, cut by the unpadded convolution, halved
        self.conv1 = nn.Conv2d(in_channels, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.hidden1 = nn.Linear(16 * side**2, 120)
        self.hidden2 = nn.Linear(120, 84)
        self.classifier = nn.Linear(84, num_classes)
        he_uniform(self)

    def forward(self, images: Tensor) -> Tensor:
        features = F.max_pool2d(F.relu(self.conv1(images), inplace=True), 2)
        features = F.max_pool2d(F.relu(self.conv2(features), inplace=True), 2)
        features = F.relu(self.hidden1(features.flatten(1)), inplace=True)
        features = F.relu(self.hidden2(features), inplace=True)
        logits: Tensor = self.classifier(features)
        return logits
