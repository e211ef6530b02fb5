"""RandAugment: operations drawn anew for each image, done by torchvision to all that share one."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

MAX_MAGNITUDE = 30


def _affine(
    images: Tensor, translate: tuple[int, int] = (0, 0), shear: tuple[float, float] = (0, 0)
) -> Tensor:
    slopes = [math.degrees(math.atan(slope)) for slope in shear]
    centre = [0.0, 0.0] if any(shear) else None
    return F.affine(images, 0.0, [*translate], 1.0, slopes, InterpolationMode.NEAREST, None, centre)


Operation = Callable[[Tensor, float], Tensor]  # of uint8 (B, C, H, W) and a signed strength, to 1

# With the strengths of torchvision.transforms.RandAugment, those of the paper on ImageNet.
SIGNED: tuple[Operation, ...] = (
    lambda x, m: _affine(x, shear=(0.3 * m, 0.0)),
    lambda x, m: _affine(x, shear=(0.0, 0.3 * m)),
    lambda x, m: _affine(x, translate=(int(150 / 331 * x.shape[3] * m), 0)),
    lambda x, m: _affine(x, translate=(0, int(150 / 331 * x.shape[2] * m))),
    lambda x, m: F.rotate(x, 30 * m),
    lambda x, m: F.adjust_brightness(x, 1 + 0.9 * m),
    lambda x, m: F.adjust_saturation(x, 1 + 0.9 * m),
    lambda x, m: F.adjust_contrast(x, 1 + 0.9 * m),
    lambda x, m: F.adjust_sharpness(x, 1 + 0.9 * m),
)
UNSIGNED: tuple[Operation, ...] = (
    lambda x, m: x,  # noqa: ARG005
    lambda x, m: F.posterize(x, 8 - round(4 * m)),
    lambda x, m: F.solarize(x, 255 - 255 * m),
    lambda x, m: F.autocontrast(x),  # noqa: ARG005
    lambda x, m: F.equalize(x),  # noqa: ARG005
)
OPERATIONS = (*SIGNED, *UNSIGNED)


def rand_augment(images: Tensor, operations: np.ndarray, magnitude: int) -> Tensor:
    """Do to each of `images`, uint8 (B, C, H, W), its own `operations`, one after another.

    "RandAugment" (Cubuk et al. 2020, arXiv:1909.13719).

    Args:
        operations: int64 (B, K), twice the place in `OPERATIONS`, and 1 more where the strength of
            a signed one is below 0.
        magnitude: of all, 0 to `MAX_MAGNITUDE`.
    """
    for column in operations.T:
        changed = images.clone()
        for kind in np.unique(column):
            place, negative = divmod(int(kind), 2)
            sign = -1 if negative and place < len(SIGNED) else 1
            index = torch.from_numpy(np.flatnonzero(column == kind)).to(images.device)
            changed[index] = OPERATIONS[place](images[index], sign * magnitude / MAX_MAGNITUDE)
        images = changed
    return images
