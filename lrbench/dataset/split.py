"""Stratified splits: how many images of each class go to the smaller part, and which."""

from __future__ import annotations

import numpy as np

from lrbench.dataset.kinds import DatasetError

# Purposes of random numbers: the second part of a generator's key, after the seed.
SPLIT_TEST, SPLIT_VAL, BATCH_ORDER, AUGMENTATION, RANDOM_WINDOWS, RANDAUGMENT, MIXING = range(7)


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
    unit: str = "images",
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
            f"dataset.{key}={fraction:g} of {len(labels)} {unit} is none: raise it or add {unit}"
        )
    quotas = allocate(counts, size)
    for name, count, quota in zip(class_names, counts, quotas, strict=True):
        if count == quota:
            raise DatasetError(
                f"class {name} has too few {unit}: {count}, of which dataset.{key}={fraction:g} "
                f"takes {quota} and leaves none for training: add {unit} or change the fraction"
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


def split_off(
    labels: np.ndarray,
    num_train: int,
    *,
    val: int | None,
    test: int | None,
    val_fraction: float | None,
    test_fraction: float | None,
    seed: int,
    names: tuple[str, ...],
    unit: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the training, validation and test examples.

    Those of a split that the reader gave, with `val` or `test` examples, are positions in it; the
    others are positions among the `num_train` training examples, whose classes are `labels`.

    Raises:
        DatasetError: a split is neither given nor to be split off, or would be empty.
    """
    rest = np.arange(num_train)
    parts = []
    for key, given, fraction, purpose in (
        ("test_fraction", test, test_fraction, SPLIT_TEST),
        ("val_fraction", val, val_fraction, SPLIT_VAL),
    ):
        if given is not None:
            parts.append(np.arange(given))
            continue
        if fraction is None:
            raise DatasetError(
                f"dataset.{key}=None: the data have no such split of their own; give a share of "
                "the training examples"
            )
        larger, smaller = stratified_split(
            labels[rest],
            fraction,
            key=key,
            seed=seed,
            purpose=purpose,
            class_names=names,
            unit=unit,
        )
        parts.append(rest[smaller])
        rest = rest[larger]
    return rest, parts[1], parts[0]
