"""Stratified splits against hand-worked allocations."""

import numpy as np
import pytest

from lrbench.dataset import DatasetError
from lrbench.dataset.split import allocate, part_size, stratified_split

NAMES = ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("counts", "size", "shares"),
    [
        ([10, 10, 10], 6, [2, 2, 2]),
        ([10, 10, 10], 7, [3, 2, 2]),  # equal remainders: the first class
        ([5, 3, 2], 5, [3, 1, 1]),  # 2.5, 1.5, 1.0
        ([7, 2, 1], 4, [3, 1, 0]),  # 2.8, 0.8, 0.4
        ([1, 1, 98], 10, [0, 0, 10]),  # 0.1, 0.1, 9.8
        ([4, 4, 4], 0, [0, 0, 0]),
    ],
)
def test_allocation_by_largest_remainder(counts: list[int], size: int, shares: list[int]) -> None:
    assert allocate(np.array(counts), size).tolist() == shares


def split(
    labels: np.ndarray, fraction: float, seed: int = 0, purpose: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    return stratified_split(
        labels, fraction, key="val_fraction", seed=seed, purpose=purpose, class_names=NAMES
    )


def test_parts_are_disjoint_sorted_and_stratified() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [50, 30, 20]))
    large, small = split(labels, 0.2)
    assert np.array_equal(np.sort(np.concatenate([large, small])), np.arange(100))
    assert np.array_equal(large, np.sort(large))
    assert np.array_equal(small, np.sort(small))
    assert np.bincount(labels[small]).tolist() == [10, 6, 4]


@pytest.mark.parametrize("total", [7, 10, 99, 1797])
@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.33])
def test_size_is_the_rounded_fraction(total: int, fraction: float) -> None:
    labels = np.arange(total) % 3
    large, small = split(labels, fraction)
    assert len(small) == part_size(total, fraction) == round(total * fraction)
    assert len(large) == total - len(small)


def test_choice_depends_on_seed_and_purpose_alone() -> None:
    labels = np.arange(300) % 3
    first = split(labels, 0.1)[1]
    assert np.array_equal(first, split(labels, 0.1)[1])
    assert not np.array_equal(first, split(labels, 0.1, seed=1)[1])
    assert not np.array_equal(first, split(labels, 0.1, purpose=0)[1])


def test_a_class_left_empty_is_named_with_its_counts() -> None:
    labels = np.repeat([0, 1, 2], [8, 1, 1])
    with pytest.raises(DatasetError) as error:
        split(labels, 0.8)
    assert str(error.value) == (
        "class bee has too few images: 1, of which dataset.val_fraction=0.8 takes 1 and leaves "
        "none for training: add images or change the fraction"
    )


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"^dataset.val_fraction=0.01 of 6 images is none: "):
        split(np.arange(6) % 3, 0.01)
