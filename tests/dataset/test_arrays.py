"""Data sets of arrays: what they are kept as, how they are split, what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from lrbench.dataset import Arrays, Data, Dataset, DatasetError

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Given(Dataset):
    """The arrays that it is given."""

    arrays: Any

    def read(self) -> Arrays:
        found: Arrays = self.arrays
        return found


def load(arrays: object, val_fraction: float | None = 0.25) -> Data:
    given = Given(arrays=arrays, val_fraction=val_fraction, split_seed=0)
    return given.load(CPU, channels_last=False)


def numbered(first: int, count: int, targets: Any = float) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, 2, 3) whose numbers tell the example, and its number as the target."""
    numbers = np.arange(first, first + count)
    return numbers[:, None, None] + np.zeros((2, 3)), numbers.astype(targets)


def contents(split: Any) -> list[int]:
    found: list[int] = []
    for inputs, targets in split.batches(7):
        assert inputs.shape[1:] == (2, 3)
        assert torch.equal(inputs[:, 0, 0], targets.to(inputs.dtype))
        found += targets.int().tolist()
    return found


def trained_on(data: Data) -> list[int]:
    inputs, targets = data.train.batch(0, seed=0, batch_size=len(data.train))
    assert torch.equal(inputs[:, 1, 2], targets.to(inputs.dtype))
    return targets.int().tolist()


def test_splits_that_are_given_are_used_and_others_split_off() -> None:
    train, val, test = numbered(0, 40), numbered(40, 9), numbered(49, 5)
    data = load(Arrays(train=train, val=val, test=test), None)
    assert sorted(trained_on(data)) == list(range(40))
    assert (contents(data.val), contents(data.test)) == (list(range(40, 49)), list(range(49, 54)))
    data = load(Arrays(train=train, test_fraction=0.2))
    parts = [trained_on(data), contents(data.val), contents(data.test)]
    assert [len(part) for part in parts] == [24, 8, 8]
    assert sorted(number for part in parts for number in part) == list(range(40))
    assert data.record(10)["steps_per_epoch"] == 2


def test_every_class_has_its_share_of_the_validation() -> None:
    labels = np.repeat([0, 4], [30, 10])
    data = load(Arrays(train=(np.zeros((40, 1)), labels), test=(np.zeros((1, 1)), labels[:1])), 0.2)
    ((_, found),) = data.val.batches(40)
    assert torch.bincount(found).tolist() == [6, 0, 0, 0, 2]
    assert data.examples.num_values == 5


@pytest.mark.parametrize(
    ("kind", "kept"), [("f8", "float32"), ("f2", "float32"), ("u1", "int64"), ("?", "bool")]
)
def test_numbers_are_kept_in_a_type_that_models_take(kind: str, kept: str) -> None:
    inputs, targets = np.ones((8, 3), kind), np.ones(8, kind)
    data = load(Arrays(train=(inputs, targets), test=(inputs, targets)))
    for tensor in data.train.batch(0, seed=0, batch_size=2):
        assert str(tensor.dtype) == f"torch.{kept}"
    assert data.examples.whole_inputs == (kept == "int64")


def test_the_digest_is_the_contents() -> None:
    def digest(changed: int | None = None) -> str:
        train = numbered(0, 40)
        if changed is not None:
            train[0][changed] += 1
        return load(Arrays(train=train, test_fraction=0.2)).digest

    assert digest() == digest()
    assert len({digest(), digest(0), digest(39)}) == 3


GOOD = numbered(0, 8)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (3, r"Given\.read must give lrbench\.dataset\.Arrays"),
        (Arrays(train=GOOD[0]), "train must be a pair"),  # type: ignore[arg-type]
        (Arrays(train=(GOOD[0].tolist(), GOOD[1])), r"train inputs must be an array \(N"),
        (Arrays(train=(GOOD[0].astype(str), GOOD[1])), "of numbers, not <U32"),
        (Arrays(train=(GOOD[0][:5], GOOD[1])), "as many inputs as targets, one or more, not 5 and"),
        (Arrays(train=(GOOD[0][:0], GOOD[1][:0])), "one or more, not 0 and 0"),
        (Arrays(train=GOOD, test=(GOOD[0][..., 0], GOOD[1])), r"test inputs are float32 \(2,\) "),
        (Arrays(train=GOOD, val=numbered(0, 8, int)), r"val targets are int64 \(\) each"),
        (Arrays(train=numbered(0, 8, int), num_values=7), "from 0 to 6, or -100 .* there is 7"),
        (Arrays(train=numbered(-1, 8, int)), "from 0 to 6, or -100 where none counts, .* is -1"),
        (Arrays(train=GOOD), r"dataset\.test_fraction=None: the data have no such split"),
        (Arrays(train=GOOD, test_fraction=0.01), "dataset.test_fraction=0.01 of 8 rows is none"),
    ],
)
def test_what_a_reader_must_not_give(wrong: Any, said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        load(wrong)
