"""From the arrays that a reader gives to splits that give batches of them."""

from __future__ import annotations

import math

import numpy as np
import torch

from lrbench.dataset.data import AsStored, Data, EvalSplit, Store, TrainSplit, content_digest, place
from lrbench.dataset.kinds import Arrays, DatasetError, Split
from lrbench.dataset.split import split_off
from lrbench.task import Examples

IGNORED = -100  # a whole-number target that does not count, such as padding


def assemble(
    reader: str,
    arrays: Arrays,
    device: torch.device,
    *,
    val_fraction: float | None,
    split_seed: int,
) -> Data:
    """Split `arrays`, given by the class `reader`, and place them for batches on `device`.

    Raises:
        DatasetError: they are not as `Arrays` says, or too few for the splits.
    """
    if not isinstance(arrays, Arrays):
        raise DatasetError(f"{reader}.read must give lrbench.dataset.Arrays, not {type(arrays)}")
    train = _checked(reader, "train", arrays.train)
    splits = {"train": train}
    for name, split in (("val", arrays.val), ("test", arrays.test)):
        if split is not None:
            splits[name] = _checked(reader, name, split, like=train)
    inputs, targets = train
    num_values = _num_values(reader, arrays.num_values, [split[1] for split in splits.values()])
    classes = targets if num_values is not None and targets.ndim == 1 else np.zeros(len(targets))
    kinds, labels = np.unique(classes, return_inverse=True)
    sizes = {name: len(split[1]) for name, split in splits.items()}
    train_index, val_index, test_index = split_off(
        labels,
        len(labels),
        val=sizes.get("val"),
        test=sizes.get("test"),
        val_fraction=val_fraction,
        test_fraction=arrays.test_fraction,
        seed=split_seed,
        names=tuple(str(kind) for kind in kinds),
        unit="rows",
    )
    placement = place([a for split in splits.values() for a in split], device, mapped=False)
    stores = {
        name: Store(*split, device=device, placement=placement) for name, split in splits.items()
    }
    prepare = AsStored(inputs.itemsize * math.prod(inputs.shape[1:]))
    return Data(
        train=TrainSplit(stores["train"], train_index, prepare, "rows"),
        val=EvalSplit(stores.get("val", stores["train"]), val_index, prepare),
        test=EvalSplit(stores.get("test", stores["train"]), test_index, prepare),
        examples=Examples(
            inputs=inputs.shape[1:],
            whole_inputs=inputs.dtype == np.int64,
            targets=targets[train_index],
            num_values=num_values,
            unit="rows",
            bytes_per_token=arrays.bytes_per_token,
            categories=arrays.categories,
        ),
        digest=content_digest([array for split in splits.values() for array in split]),
        placement=placement,
    )


def _checked(reader: str, name: str, split: object, like: Split | None = None) -> Split:
    """The (inputs, targets) of a split, in the types that they are kept in."""
    place = f"{reader}.read: {name}"
    if not isinstance(split, tuple) or len(split) != 2:
        raise DatasetError(f"{place} must be a pair (inputs, targets), not {type(split).__name__}")
    kept: list[np.ndarray] = []
    for what, array in zip(("inputs", "targets"), split, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or not array.ndim:
            kind = getattr(array, "dtype", type(array).__name__)
            raise DatasetError(f"{place} {what} must be an array (N, ...) of numbers, not {kind}")
        wide = {"f": np.float32, "b": np.bool_}.get(array.dtype.kind, np.int64)
        kept.append(np.asarray(array, dtype=wide))
    inputs, targets = kept
    if not len(inputs) or len(inputs) != len(targets):
        raise DatasetError(
            f"{place} must have as many inputs as targets, one or more, not {len(inputs)} and "
            f"{len(targets)}"
        )
    for what, array, first in zip(("inputs", "targets"), kept, like or kept, strict=True):
        if array.shape[1:] != first.shape[1:] or array.dtype != first.dtype:
            raise DatasetError(
                f"{place} {what} are {array.dtype} {array.shape[1:]} each, those of train "
                f"{first.dtype} {first.shape[1:]}: give all splits one type and shape"
            )
    return inputs, targets


def _num_values(reader: str, given: int | None, targets: list[np.ndarray]) -> int | None:
    """How many values targets that are whole numbers may have; None where they are no such."""
    if targets[0].dtype != np.int64:
        return None
    values = np.concatenate([np.unique(array) for array in targets])
    values = values[values != IGNORED]
    largest = int(values.max(initial=0))
    number = largest + 1 if given is None else given
    if values.min(initial=0) < 0 or largest >= number:
        raise DatasetError(
            f"{reader}.read: whole-number targets must be from 0 to {number - 1}, or {IGNORED} "
            f"where none counts, and there is {values.min() if values.min() < 0 else largest}"
        )
    return number
