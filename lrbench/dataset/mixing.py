"""Mixup and CutMix: each image of a batch is mixed with another one, and so are their classes."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from lrbench.dataset.kinds import Augment
from lrbench.dataset.split import MIXING


class Mix:
    """Blends each image of a batch with the one before it, or pastes a part of that one into it.

    One share λ of its own image is drawn for a whole batch, as by torchvision; where both mixup and
    CutMix are on, either is as likely. "mixup" (Zhang et al. 2018, arXiv:1710.09412); "CutMix" (Yun
    et al. 2019, arXiv:1905.04899).
    """

    def __init__(self, augment: Augment, num_classes: int) -> None:
        self.augment = augment
        self.num_classes = num_classes

    def __call__(
        self, images: Tensor, classes: Tensor, *, seed: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """The mixed batch of update `step`; it depends on (`seed`, `step`) alone.

        Args:
            images: float (B, C, H, W).
            classes: int64 (B,).

        Returns:
            images: float (B, C, H, W), in the same memory layout.
            shares: float32 (B, classes), of each class in each image; a row adds up to 1.
        """
        rng = np.random.default_rng([seed, MIXING, step])
        alphas = self.augment.mixup, self.augment.cutmix
        pastes = bool(rng.random() < 0.5 if all(alphas) else alphas[1])
        own = float(rng.beta(alphas[pastes], alphas[pastes]))
        if pastes:
            images, own = paste(images, own, *rng.random(2))
        else:
            images = blend(images, own)
        hot = F.one_hot(classes, self.num_classes).to(images.dtype)
        return images, blend(hot, own)


def blend(values: Tensor, own: float) -> Tensor:
    """The share `own` of each of `values`, (B, ...), and the rest from the one before it."""
    mixed = values * own
    mixed[1:].add_(values[:-1], alpha=1 - own)
    mixed[0].add_(values[-1], alpha=1 - own)
    return mixed


def paste(images: Tensor, own: float, row: float, column: float) -> tuple[Tensor, float]:
    """Paste a rectangle of the image before into each of `images`, (B, C, H, W).

    Args:
        own: the share that each keeps, but for what of the rectangle lies outside.
        row, column: of the rectangle's centre, from 0 to 1, exclusive.

    Returns:
        images: new ones.
        own: the share that was kept.
    """
    height, width = images.shape[2:]
    spans = []
    for side, centre in ((height, row), (width, column)):
        half = int(0.5 * math.sqrt(1 - own) * side)
        middle = int(centre * side)
        spans.append(slice(max(middle - half, 0), min(middle + half, side)))
    rows, columns = spans
    mixed = images.clone()
    mixed[1:, :, rows, columns] = images[:-1, :, rows, columns]
    mixed[0, :, rows, columns] = images[-1, :, rows, columns]
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    return mixed, 1 - area / (height * width)
