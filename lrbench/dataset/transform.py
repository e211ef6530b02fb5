"""From a batch of stored images to a batch for the model: crop, flip, normalise, cut out.

Every step is a handful of operations on the whole batch, on the images' device. A batch of stored
images is uint8 of shape (B, H, W, C) if channels_last, else (B, C, H, W), contiguous.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lrbench.dataset.kinds import Augment
from lrbench.dataset.split import AUGMENTATION, RANDAUGMENT

NUM_OPERATIONS = 28  # of RandAugment: 14, each with two signs


@dataclass(frozen=True)
class Draws:
    """Random choices for each image of a batch; int64 (B,) each.

    Attributes:
        top, left: corner of the crop in the padded image, in ``[0, 2 * crop_padding]``.
        mirrored: 1 where the crop is flipped left to right.
        row, column: centre of the cutout.
        operations: of RandAugment, (B, randaugment), and signs: see `rand_augment`.
    """

    top: np.ndarray
    left: np.ndarray
    mirrored: np.ndarray
    row: np.ndarray
    column: np.ndarray
    operations: np.ndarray

    def of(self, positions: np.ndarray) -> Draws:
        """The choices for the images at `positions`, int64, in the batch."""
        return Draws(**{name: values[positions] for name, values in vars(self).items()})

    @staticmethod
    def joined(parts: Sequence[Draws]) -> Draws:
        """The choices for the images of several batches, one after another."""
        names = vars(parts[0])
        return Draws(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


def draw(augment: Augment, image_size: int, *, seed: int, step: int, batch_size: int) -> Draws:
    """The random choices of update `step`; all are drawn, so that none depends on another's use."""
    rng = np.random.default_rng([seed, AUGMENTATION, step])
    top, left = rng.integers(0, 2 * augment.crop_padding + 1, size=(2, batch_size))
    mirrored = rng.integers(0, 2, size=batch_size) * int(augment.flip)
    row, column = rng.integers(0, image_size, size=(2, batch_size))
    operations = np.zeros((batch_size, augment.randaugment), np.int64)
    if augment.randaugment:
        rng = np.random.default_rng([seed, RANDAUGMENT, step])
        operations = rng.integers(0, NUM_OPERATIONS, size=operations.shape)
    return Draws(
        top=top,
        left=left,
        mirrored=mirrored,
        row=row,
        column=column,
        operations=operations,
    )


class Transform:
    """Normalises a batch of stored images and, given draws, augments it first.

    Args:
        shape: (C, H, W) of an image.
        mean, std: per channel, where 255 is 1.
        device: of the batches.
        channels_last: layout of the batches that come in, and strides of those that go out.
        augment: None where nothing is random.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        channels_last: bool,
        augment: Augment | None,
    ) -> None:
        self.augment = augment
        self.item_bytes = 4 * math.prod(shape)
        self.device = device
        self.channels_last = channels_last
        channels, height, width = self.shape = shape
        padding = augment.crop_padding if augment else 0
        self._padded = (height + 2 * padding, width + 2 * padding)

        # x / 255 normalised is x * scale + shift. In channels_last the channel is the innermost
        # dimension, so the constants are laid out for a whole row of pixels: the arithmetic then
        # runs over long contiguous rows rather than 3 values at a time.
        scale = torch.tensor([1 / (255 * s) for s in std], dtype=torch.float64)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], dtype=torch.float64)
        repeat = (width,) if channels_last else (1,)
        view = (width * channels,) if channels_last else (channels, 1, 1)
        self._scale = scale.repeat(repeat).view(view).to(torch.float32).to(device)
        self._shift = shift.repeat(repeat).view(view).to(torch.float32).to(device)

        # Where the rows of a crop start, relative to its first pixel in the padded batch.
        rows = torch.arange(height) * self._padded[1]
        if channels_last:
            offsets = rows * channels
        else:
            planes = torch.arange(channels) * (self._padded[0] * self._padded[1])
            offsets = (planes[:, None] + rows).flatten()
        self._row_offsets = offsets.to(device)
        self._positions = torch.arange(height, device=device)

    def training(
        self,
        images: Tensor,
        /,
        steps: range,
        *,
        seed: int,
        batch_size: int,
        share: np.ndarray | None,
    ) -> Tensor:
        """float32 (B, C, H, W) from the stored `images` of the batches of updates `steps`.

        Args:
            share: the images' positions in each batch, int64; None: they are all of it.
        """
        if self.augment is None:
            return self(images)
        side = self.shape[1]
        every = [
            draw(self.augment, side, seed=seed, step=step, batch_size=batch_size) for step in steps
        ]
        return self(images, Draws.joined(every if share is None else [d.of(share) for d in every]))

    def __call__(self, images: Tensor, /, draws: Draws | None = None) -> Tensor:
        """float32 (B, C, H, W) from stored `images`, augmented where there are `draws`."""
        if self.augment is None or draws is None:
            return self.normalise(images)
        if self.augment.crop_padding or self.augment.flip:
            images = self.crop_and_flip(images, draws)
        if self.augment.randaugment:
            images = self.rand_augment(images, draws)
        output = self.normalise(images)
        if self.augment.cutout:
            self.cut_out_(output, draws)
        return output

    def crop_and_flip(self, images: Tensor, draws: Draws) -> Tensor:
        """Crop each image of the zero-padded batch at its own place; mirror those chosen.

        A row of a crop is contiguous in memory, and so is a row of a mirrored crop in the mirrored
        image. So the crops are rows picked out of the padded batch and its mirror image.
        """
        assert self.augment is not None
        batch_size = len(images)
        channels, height, width = self.shape
        padding, (padded_height, padded_width) = self.augment.crop_padding, self._padded
        inner_h = slice(padding, padding + height)
        inner_w = slice(padding, padding + width)
        mirrors = 2 if self.augment.flip else 1
        if self.channels_last:
            shape = (mirrors, batch_size, padded_height, padded_width, channels)
            padded = torch.zeros(shape, dtype=torch.uint8, device=images.device)
            inner = padded[:, :, inner_h, inner_w]
            row, pitch = width * channels, channels
        else:
            shape = (mirrors, batch_size, channels, padded_height, padded_width)
            padded = torch.zeros(shape, dtype=torch.uint8, device=images.device)
            inner = padded[:, :, :, inner_h, inner_w]
            row, pitch = width, 1
        inner[0] = images
        if self.augment.flip:
            inner[1] = images.flip(2 if self.channels_last else 3)

        # Seen in the mirrored image, the crop starts as far from the left as it ended on the right.
        left = np.where(draws.mirrored, 2 * padding - draws.left, draws.left)
        index = np.arange(batch_size) + batch_size * draws.mirrored
        plane = channels * padded_height * padded_width
        first = _to_device(index * plane + (draws.top * padded_width + left) * pitch, self.device)
        starts = (first[:, None] + self._row_offsets).view(-1)
        flat = padded.view(-1)
        every_row = flat.as_strided((flat.numel() - row + 1, row), (1, 1))  # overlapping views
        return every_row.index_select(0, starts).view(images.shape)

    def rand_augment(self, images: Tensor, draws: Draws) -> Tensor:
        """Do the drawn operations of RandAugment to each of the stored `images`."""
        from lrbench.dataset.randaugment import rand_augment  # imports torchvision

        assert self.augment is not None
        first = images.permute(0, 3, 1, 2) if self.channels_last else images
        found = rand_augment(first, draws.operations, self.augment.magnitude)
        return (found.permute(0, 2, 3, 1) if self.channels_last else found).contiguous()

    def normalise(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) from stored `images`, with mean 0 and deviation 1 per channel."""
        channels, height, width = self.shape
        if self.channels_last:
            rows = images.view(-1, width * channels).to(torch.float32)
            rows.mul_(self._scale).add_(self._shift)
            return rows.view(-1, height, width, channels).permute(0, 3, 1, 2)
        return images.to(torch.float32).mul_(self._scale).add_(self._shift)

    def cut_out_(self, images: Tensor, draws: Draws) -> None:
        """Set a square in each of `images`, float32 (B, C, H, W), to 0, the mean colour."""
        assert self.augment is not None
        side = self.augment.cutout
        first = np.stack([draws.row, draws.column]) - side // 2
        centres = _to_device(first, self.device)[:, :, None]
        inside = (self._positions >= centres) & (self._positions < centres + side)  # (2, B, H)
        square = inside[0][:, :, None] & inside[1][:, None, :]
        images.masked_fill_(square[:, None], 0.0)


def _to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy of a small array on `device` that the host does not wait for."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
