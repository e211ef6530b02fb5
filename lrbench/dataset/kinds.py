"""What every dataset is: its configuration, the images it reads, and the errors it reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from lrbench.config.checks import require

if TYPE_CHECKING:
    import numpy as np
    import torch

    from lrbench.dataset.data import Data


class DatasetError(ValueError):
    """A dataset that cannot be used: one line with the file or key, the fault and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to training images, in this order: crop, flip, cutout.

    Attributes:
        crop_padding: pixels of black added on each side before a crop back to the original size
            at a random place, as He et al. (2015) do; 0 is off.
        flip: mirror half of the images left to right.
        cutout: side in pixels of a square, centred on a random pixel and clipped at the border,
            that is set to the mean colour (DeVries & Taylor 2017); 0 is off.
    """

    crop_padding: int
    flip: bool
    cutout: int

    def __post_init__(self) -> None:
        require(self.crop_padding >= 0, "crop_padding", self.crop_padding, "must be 0 or more")
        require(self.cutout >= 0, "cutout", self.cutout, "must be 0 or more")


@dataclass(frozen=True)
class Sizes:
    """Numbers of images in each split, and the shape of a sample where it is known."""

    train: int
    val: int
    test: int
    in_channels: int | None
    image_size: int | None
    num_classes: int | None


class MappedImages(Protocol):
    """Images in a file, uint8 (N, H, W, C), of which only those asked for are read."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def announce(self, index: np.ndarray) -> None:
        """Have the images at `index`, int64 (B,), read from the disk in the background."""

    def take(self, index: np.ndarray) -> np.ndarray:
        """The images at `index`, int64 (B,)."""

    def read(self) -> np.ndarray:
        """All images."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """A dataset as it was read, before any split.

    Attributes:
        train_images: uint8 (N, H, W, C), of any strides; or mapped, so that it need not fit into
            memory.
        train_labels: int64 (N,), indices into `class_names`.
        test_images, test_labels: the official test set, or None where there is none.
        test_fraction: share of the images to split off for testing where there is none.
        pixel_sums: int64 (N, 2, C), the sum of each training image's values and of their squares,
            where they were counted when the images were decoded.
    """

    train_images: np.ndarray | MappedImages
    train_labels: np.ndarray
    test_images: np.ndarray | MappedImages | None
    test_labels: np.ndarray | None
    class_names: tuple[str, ...]
    test_fraction: float | None = None
    pixel_sums: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Base of the dataset configurations: a subclass says how to `read` and, cheaply, its `sizes`.

    Attributes:
        val_fraction: share of the training images kept for validation, the same in every class.
        split_seed: seed of every split; independent of the run's seed.
        mean, std: per channel, where black is 0 and white is 1; None measures the training images.
        augment: what is done to training images at random.
    """

    val_fraction: float
    split_seed: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    augment: Augment

    def __post_init__(self) -> None:
        require(0 < self.val_fraction < 1, "val_fraction", self.val_fraction, "must be in (0, 1)")
        require(self.split_seed >= 0, "split_seed", self.split_seed, "must be 0 or more")
        if self.mean is not None and not all(math.isfinite(m) for m in self.mean):
            raise ValueError(f"mean={list(self.mean)} must be finite numbers")
        if self.std is not None and not all(0 < s < math.inf for s in self.std):
            raise ValueError(f"std={list(self.std)} must be finite numbers above 0")
        if (self.mean is None) != (self.std is None):
            name = "mean" if self.mean is None else "std"
            raise ValueError(f"{name}=None must be given where the other of mean and std is")

    def read(self) -> Images:
        """Read the dataset, downloading or decoding it first where that is needed.

        Raises:
            DatasetError: a file is missing, damaged or unreadable.
        """
        raise NotImplementedError

    def sizes(self) -> Sizes | None:
        """Split sizes from the configuration or an existing cache alone, or None if unknowable.

        Imports neither torch nor the dataset, downloads nothing and decodes nothing.

        Raises:
            DatasetError: the dataset is there, but laid out wrongly.
        """
        return None

    def load(self, device: torch.device, *, channels_last: bool) -> Data:
        """Read, split and place the dataset, ready for batches on `device`.

        Args:
            device: where batches are wanted; the images live there too if they fit.
            channels_last: give batches channels_last strides.

        Raises:
            DatasetError: the dataset cannot be read, or is too small for its splits.
        """
        from lrbench.dataset.data import assemble  # imports torch

        return assemble(self, self.read(), device, channels_last=channels_last)
