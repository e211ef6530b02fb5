"""From the images that a reader gives to splits that give batches of them."""

from __future__ import annotations

import numpy as np
import torch

from lrbench.dataset.check import check_images, check_sizes
from lrbench.dataset.data import Data, EvalSplit, Store, TrainSplit, content_digest, place
from lrbench.dataset.kinds import Augment, Images, MappedImages
from lrbench.dataset.mixing import Mix
from lrbench.dataset.moments import moments, pixel_sums
from lrbench.dataset.split import split_off
from lrbench.dataset.transform import Transform
from lrbench.task import Examples


def assemble(
    reader: str,
    images: Images,
    device: torch.device,
    *,
    val_fraction: float | None,
    split_seed: int,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    augment: Augment,
    channels_last: bool,
) -> Data:
    """Split `images` and place them for batches on `device`.

    Raises:
        DatasetError: the splits or the augmentation do not fit the images.
    """
    check_images(reader, images)
    array = images.train_images
    _, height, width, channels = array.shape
    check_sizes(mean, std, augment, height, channels)
    train_index, val_index, test_index = split_off(
        images.train_labels,
        len(images.train_labels),
        val=None if images.val_labels is None else len(images.val_labels),
        test=None if images.test_labels is None else len(images.test_labels),
        val_fraction=val_fraction,
        test_fraction=images.test_fraction,
        seed=split_seed,
        names=images.class_names,
        unit="images",
    )
    if mean is None or std is None:
        sums = images.pixel_sums
        if sums is None:
            assert isinstance(array, np.ndarray), "mapped images come with their sums"
            sums = pixel_sums(array)
        mean, std = moments(sums[train_index], height * width)

    given = [a for a in (array, images.val_images, images.test_images) if a is not None]
    placement = place(given, device, mapped=not isinstance(array, np.ndarray))

    def store(array: np.ndarray | MappedImages | None, labels: np.ndarray | None) -> Store:
        if array is None or labels is None:
            return train_store
        return Store(
            array, labels, device=device, placement=placement, channels_first=not channels_last
        )

    def transform(augment: Augment | None) -> Transform:
        return Transform(
            (channels, height, width),
            mean=mean,
            std=std,
            device=device,
            channels_last=channels_last,
            augment=augment,
        )

    train_store = store(array, images.train_labels)
    plain = transform(None)
    prepare = transform(augment) if augment.changes_images else plain
    mix = Mix(augment, len(images.class_names)) if augment.mixup or augment.cutmix else None
    return Data(
        train=TrainSplit(train_store, train_index, prepare, "images", mix),
        val=EvalSplit(store(images.val_images, images.val_labels), val_index, plain),
        test=EvalSplit(store(images.test_images, images.test_labels), test_index, plain),
        examples=Examples(
            inputs=(channels, height, width),
            targets=images.train_labels[train_index],
            num_values=len(images.class_names),
            unit="images",
        ),
        digest=images.digest or _content_digest(images),
        placement=placement,
        class_names=images.class_names,
        mean=mean,
        std=std,
    )


def _content_digest(images: Images) -> str:
    parts = [
        *(images.train_images, images.train_labels, images.val_images, images.val_labels),
        *(images.test_images, images.test_labels),
    ]
    given = [part for part in parts if part is not None]
    return content_digest([a if isinstance(a, np.ndarray) else a.read() for a in given])
