"""Stratified splits: how many images of each class go to the smaller part, and which."""

from __future__ import annotations

import numpy as np

from lrbench.dataset.kinds import DatasetError

# Purposes of random numbers: the second part of a generator's key, after the seed.
SPLIT_TEST, SPLIT_VAL, BATCH_ORDER, AUGMENTATION = range(4)


def part_size(total: int, fraction: float) -> int:
    """Size of the part that `fraction` splits off `total` images."""
    return round(total * fraction)


def allocate(counts: np.ndarray, size: int) -> np.ndarray:
    """Share `size` among classes in proportion to their `counts`, by largest remainder.

    Equal remainders are served in the order of the classes. Whole-number arithmetic, hence exact.
    """
    quotas, remainders = np.divmod(counts * size, counts.sum())
    missing = size - quotas.sum()
    quotas[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return quotas


def stratified_split(
    labels: np.ndarray,
    fraction: float,
    *,
    key: str,
    seed: int,
    purpose: int,
    class_names: tuple[str, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Split the positions of `labels` into a larger and a smaller part, each in ascending order.

    The smaller part holds exactly ``round(len(labels) * fraction)`` positions. Which ones depends
    on `labels`, `fraction`, `seed` and `purpose` alone.

    Args:
        labels: int64 (N,).
        key: the config key of `fraction`, for messages.

    Raises:
        DatasetError: the smaller part would be empty, or a class would have none left in the
            larger one.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    size = part_size(len(labels), fraction)
    if size == 0:
        raise DatasetError(
            f"dataset.{key}={fraction:g} of {len(labels)} images is none: raise it or add images"
        )
    quotas = allocate(counts, size)
    for name, count, quota in zip(class_names, counts, quotas, strict=True):
        if count == quota:
            raise DatasetError(
                f"class {name} has too few images: {count}, of which dataset.{key}={fraction:g} "
                f"takes {quota} and leaves none for training: add images or change the fraction"
            )
    small = [
        np.flatnonzero(labels == label)[
            np.random.default_rng([seed, purpose, label]).permutation(count)[:quota]
        ]
        for label, (count, quota) in enumerate(zip(counts, quotas, strict=True))
    ]
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[np.concatenate(small)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
