"""The types of datasets: what a reader returns, sizes, augmentation, and their errors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from lrbench.config.checks import require

if TYPE_CHECKING:
    import numpy as np

Split: TypeAlias = "tuple[np.ndarray, np.ndarray]"  # inputs and targets, (N, ...) each

DIGEST_CHARACTERS = 16  # of the data's digest, hexadecimal


class DatasetError(ValueError):
    """A dataset that cannot be used: one line with the file or key, the fault and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes to training images, in this order: crop, flip, RandAugment, cutout, mixing.

    Attributes:
        crop_padding: pixels of black added on each side before a crop back to the original size
            at a random place, as He et al. (2015) do; 0 is off.
        flip: mirror half of the images left to right.
        randaugment: number of operations on each image, drawn from RandAugment's; 0 is off.
        magnitude: of all these operations, from 0 to 30.
        cutout: side in pixels of a square, centred on a random pixel and clipped at the border,
            that is set to the mean colour (DeVries & Taylor 2017); 0 is off.
        mixup, cutmix: α of the distribution Beta(α, α) of how much each image has of another one,
            blended or pasted (see `lrbench.dataset.mixing`); 0 is off.
    """

    crop_padding: int
    flip: bool
    randaugment: int
    magnitude: int
    cutout: int
    mixup: float
    cutmix: float

    def __post_init__(self) -> None:
        require(self.crop_padding >= 0, "crop_padding", self.crop_padding, "must be 0 or more")
        require(self.cutout >= 0, "cutout", self.cutout, "must be 0 or more")
        require(self.randaugment >= 0, "randaugment", self.randaugment, "must be 0 or more")
        require(0 <= self.magnitude <= 30, "magnitude", self.magnitude, "must be from 0 to 30")
        for key in ("mixup", "cutmix"):
            alpha = getattr(self, key)
            require(0 <= alpha < math.inf, key, alpha, "must be 0 or above, and finite")

    @property
    def changes_images(self) -> bool:
        """Whether images are changed one by one."""
        return bool(self.crop_padding or self.flip or self.randaugment or self.cutout)


OFF = Augment(
    crop_padding=0, flip=False, randaugment=0, magnitude=0, cutout=0, mixup=0.0, cutmix=0.0
)


@dataclass(frozen=True)
class Sizes:
    """Numbers of examples in each split."""

    train: int
    val: int
    test: int


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
        val_images, val_labels: those for validation, or None where they are to be split off.
        test_fraction: share of the images to split off for testing where there is no test set.
        pixel_sums: int64 (N, 2, C), the sum of each training image's values and of their squares,
            where they were counted when the images were decoded.
        digest: two readings share it if they gave the same; None: made from the content.
    """

    train_images: np.ndarray | MappedImages
    train_labels: np.ndarray
    test_images: np.ndarray | MappedImages | None
    test_labels: np.ndarray | None
    class_names: tuple[str, ...]
    val_images: np.ndarray | MappedImages | None = None
    val_labels: np.ndarray | None = None
    test_fraction: float | None = None
    pixel_sums: np.ndarray | None = None
    digest: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """A dataset as it was read, its splits (inputs, targets), each (N, ...) of any shape.

    Numbers with fractions are kept in float32, whole ones as int64, and truth values as they are.

    Attributes:
        val: None: the share `val_fraction` of the training examples, chosen at random.
        test: None: the share `test_fraction` of the training examples, chosen at random.
        num_values: targets that are whole numbers are from 0 to one less; None: one more than the
            largest there is.
        bytes_per_token: of text, on average; None where that is unknown.
        categories: see `lrbench.task.Shapes`.
    """

    train: Split
    val: Split | None = None
    test: Split | None = None
    test_fraction: float | None = None
    num_values: int | None = None
    bytes_per_token: float | None = None
    categories: tuple[int, ...] = ()
