"""Checks of a dataset before it is split and placed."""

from __future__ import annotations

import numpy as np

from lrbench.dataset.kinds import Augment, DatasetError, Images


def check_images(reader: str, images: Images) -> None:
    """Refuse `images` that are not as `Images` demands; `reader` may be a user's class.

    Raises:
        DatasetError: its arrays are not as `Images` says, or their labels are no classes.
    """

    def require(ok: bool, rule: str) -> None:
        if not ok:
            raise DatasetError(f"{reader}.read must give {rule}")

    require(isinstance(images, Images), "lrbench.dataset.Images")
    names = images.class_names
    if len(names) < 2:
        raise DatasetError(f"a dataset must have two classes or more, not {len(names)}: {names}")
    parts = [("train", images.train_images, images.train_labels)]
    if images.val_images is not None and images.val_labels is not None:
        parts.append(("val", images.val_images, images.val_labels))
    if images.test_images is not None and images.test_labels is not None:
        parts.append(("test", images.test_images, images.test_labels))
    else:
        require(images.test_fraction is not None, "test_images and test_labels, or test_fraction")
    for part, array, labels in parts:
        shape = tuple(getattr(array, "shape", ()))
        fits = not isinstance(array, np.ndarray) or array.dtype == np.uint8
        require(fits, f"{part}_images as uint8")
        square = len(shape) == 4 and min(shape) > 0 and shape[1] == shape[2]
        require(square, f"square {part}_images (N, H, W, C), not {shape}")
        same = shape[1:] == images.train_images.shape[1:]
        require(same, f"{part}_images of the training images' shape, not {shape}")
        kind = getattr(labels, "dtype", None)
        fits = kind == np.int64 and labels.shape == shape[:1]
        require(fits, f"{part}_labels as int64, one for each image")
        low, high = labels.min(), labels.max()
        rule = f"{part}_labels from 0 to {len(names) - 1}, not from {low} to {high}"
        require(low >= 0 and high < len(names), rule)


def check_sizes(
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    augment: Augment,
    height: int,
    channels: int,
) -> None:
    """Refuse moments and augmentation that do not fit images of `height` pixels and `channels`.

    Raises:
        DatasetError: it names the key and what would fit.
    """
    for name, numbers in (("mean", mean), ("std", std)):
        if numbers is not None and len(numbers) != channels:
            raise DatasetError(
                f"dataset.{name}={list(numbers)} must have one number per channel ({channels})"
            )
    for name, pixels in (
        ("crop_padding", augment.crop_padding),
        ("cutout", augment.cutout),
    ):
        if pixels >= height:
            raise DatasetError(
                f"dataset.augment.{name}={pixels} must be below the images' {height} pixels"
            )
