"""Mean and standard deviation per channel, from whole-number sums per image.

Kept per image, the sums give the exact moments of any subset, such as the training split.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 1024  # images widened to 64 bits at a time


def pixel_sums(images: np.ndarray) -> np.ndarray:
    """Sums of values and of squared values, int64 (N, 2, C), of uint8 (N, H, W, C)."""
    sums = np.empty((len(images), 2, images.shape[3]), dtype=np.int64)
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        wide = images[rows].astype(np.int64)
        sums[rows, 0] = wide.sum(axis=(1, 2))
        sums[rows, 1] = (wide * wide).sum(axis=(1, 2))
    return sums


def moments(sums: np.ndarray, num_pixels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, where 255 is 1, of images with these `sums`.

    A channel of a single value is given the deviation 1, so that normalising makes it 0.

    Args:
        sums: int64 (N, 2, C), from `pixel_sums`.
        num_pixels: of each image.
    """
    count = len(sums) * num_pixels
    first, second = sums.sum(axis=0)
    # count * second - first**2 in whole numbers of any size: no digits cancel.
    variances = [count * int(s) - int(f) ** 2 for f, s in zip(first, second, strict=True)]
    mean = tuple(int(f) / count / 255 for f in first)
    std = tuple(v**0.5 / count / 255 if v else 1.0 for v in variances)
    return mean, std
