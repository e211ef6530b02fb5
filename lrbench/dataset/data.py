"""A dataset ready for training: splits that give batches on the device."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from lrbench.dataset.check import check_images, check_sizes
from lrbench.dataset.kinds import Augment, Dataset, Images, MappedImages
from lrbench.dataset.memory import Placement, choose_placement, free_host_memory, free_memory
from lrbench.dataset.moments import moments, pixel_sums
from lrbench.dataset.split import BATCH_ORDER, SPLIT_TEST, SPLIT_VAL, stratified_split
from lrbench.dataset.transform import Draws, Transform, draw
from lrbench.task import Examples, Shapes, Task

Batch: TypeAlias = tuple[Tensor, Tensor]

# Batches are made several at a time, as far as they stay in a processor's cache: for small ones the
# operations cost more than their work. LeNet on Fashion-MNIST gains 9 %, ResNet-8 on digits 5 %.
BLOCK_BATCHES = 16
BLOCK_BYTES = 4 * 2**20


class ImageStore:
    """All images of a file or folder, wherever they are placed, and their labels.

    Args:
        images: uint8 (N, H, W, C).
        labels: int64 (N,).
        device: where batches are wanted.
        placement: where the images are kept.
        channels_last: keep images as (H, W, C), else as (C, H, W).
    """

    def __init__(
        self,
        images: np.ndarray | MappedImages,
        labels: np.ndarray,
        *,
        device: torch.device,
        placement: Placement,
        channels_last: bool,
    ) -> None:
        self.device = device
        self.placement = placement
        self.channels_last = channels_last
        home = device if placement == "device" else torch.device("cpu")
        self.labels = torch.from_numpy(labels).to(home)
        self._mapped: MappedImages | None = None
        self._images: Tensor | None = None
        if placement == "mmap":
            assert not isinstance(images, np.ndarray)
            self._mapped = images
            return
        array = images if isinstance(images, np.ndarray) else images.read()
        if not channels_last:
            array = array.transpose(0, 3, 1, 2)
        self._images = torch.from_numpy(np.require(array, requirements=("C", "W"))).to(home)

    def gather(self, index: Tensor) -> Batch:
        """Stored images, contiguous uint8, and labels at `index`, int64 (B,), on the device.

        `index` is on the device if the images are, else on the host.
        """
        if self._mapped is not None:
            images = torch.from_numpy(np.ascontiguousarray(self._mapped.take(index.numpy())))
            if not self.channels_last:
                images = images.permute(0, 3, 1, 2).contiguous()
        else:
            assert self._images is not None
            images = self._images.index_select(0, index)
        labels = self.labels.index_select(0, index)
        return self._move(images), self._move(labels)

    def announce(self, index: Tensor) -> None:
        """Have the images at `index` read in the background, where they are in a mapped file."""
        if self._mapped is not None:
            self._mapped.announce(index.numpy())

    def _move(self, tensor: Tensor) -> Tensor:
        if tensor.device == self.device:
            return tensor
        if self.device.type == "cuda":  # from pinned memory the copy does not hold up the host
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)


class TrainSplit:
    """Training images in random order, augmented.

    Batch order depends on (seed, epoch) and augmentation on (seed, step) alone, so `batch` is a
    pure function: a run can begin at any step. Every batch is full; the images that an epoch
    leaves over are other ones each time.
    """

    def __init__(self, store: ImageStore, index: np.ndarray, transform: Transform) -> None:
        self._store = store
        self._index = index
        self._transform = transform
        self._last_order: tuple[tuple[int, int], Tensor] | None = None

    def __len__(self) -> int:
        return len(self._index)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of full batches in one pass over the images.

        Raises:
            ValueError: `batch_size` is above the number of images.
        """
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"batch_size={batch_size} must be between 1 and the number of training images "
                f"({len(self)})"
            )
        return len(self) // batch_size

    def batch(
        self, step: int, *, seed: int, batch_size: int, share: np.ndarray | None = None
    ) -> Batch:
        """The batch of update `step`, counted from 0 over all epochs.

        Args:
            share: positions in the batch, int64, of the images to give; None: all of them.

        Returns:
            images: float32 (B, C, H, W), normalised and augmented.
            labels: int64 (B,).
        """
        steps = range(step, step + 1)
        (batch,) = self._block(steps, seed=seed, batch_size=batch_size, share=share)
        return batch

    def _block(
        self, steps: range, *, seed: int, batch_size: int, share: np.ndarray | None
    ) -> list[Batch]:
        """The batches of `steps`, made in one go."""
        augment, size = self._transform.augment, self._transform.shape[1]
        indices = [self._indices(step, seed, batch_size, share) for step in steps]
        draws = None
        if augment is not None:
            every = [
                draw(augment, size, seed=seed, step=step, batch_size=batch_size) for step in steps
            ]
            draws = Draws.joined(every if share is None else [d.of(share) for d in every])
        images, labels = self._store.gather(torch.cat(indices))
        images = self._transform(images, draws)
        own = len(indices[0])
        return list(zip(images.split(own), labels.split(own), strict=True))

    def batches(
        self,
        *,
        seed: int,
        batch_size: int,
        start_step: int,
        stop_step: int,
        share: np.ndarray | None = None,
    ) -> Iterator[Batch]:
        """The batches of updates ``start_step <= step < stop_step``, or this `share` of each.

        Where images are streamed, the next batch is read meanwhile: for a GPU by a thread, which
        prepares it, too. On a CPU a thread would take its cores from the training; there the kernel
        is told what to read.
        """
        steps = range(start_step, stop_step)
        block = functools.partial(self._block, seed=seed, batch_size=batch_size, share=share)
        if self._store.placement == "device":
            num_bytes = batch_size * math.prod(self._transform.shape) * 4
            at_once = max(1, min(BLOCK_BATCHES, BLOCK_BYTES // num_bytes))
            for start in range(0, len(steps), at_once):
                yield from block(steps[start : start + at_once])
            return
        if self._store.placement == "mmap" and self._store.device.type == "cpu":
            for step in steps:
                if step + 1 < stop_step:
                    self._store.announce(self._indices(step + 1, seed, batch_size, share))
                yield from block(range(step, step + 1))
            return
        batch = functools.partial(self.batch, seed=seed, batch_size=batch_size, share=share)
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as thread:
            coming = None
            for step in steps:
                current = coming or thread.submit(batch, step)
                coming = None
                if step + 1 < stop_step:
                    coming = thread.submit(batch, step + 1)
                yield current.result()

    def _indices(self, step: int, seed: int, batch_size: int, share: np.ndarray | None) -> Tensor:
        """The positions in the store, int64, of the images of update `step`'s batch."""
        epoch, position = divmod(step, self.steps_per_epoch(batch_size))
        start = position * batch_size
        indices = self._order(seed, epoch)[start : start + batch_size]
        return indices if share is None else indices[torch.from_numpy(share).to(indices.device)]

    def _order(self, seed: int, epoch: int) -> Tensor:
        """The images' positions in the store, int64 (N,), in the order of this epoch."""
        key = (seed, epoch)
        last = self._last_order  # read once: the prefetching thread may replace it
        if last is None or last[0] != key:
            rng = np.random.default_rng([seed, BATCH_ORDER, epoch])
            order = torch.from_numpy(self._index[rng.permutation(len(self._index))])
            last = self._last_order = (key, order.to(self._store.labels.device))
        return last[1]


class EvalSplit:
    """Images for evaluation, in their own order, not augmented."""

    def __init__(self, store: ImageStore, index: np.ndarray, transform: Transform) -> None:
        self._store = store
        self._index = torch.from_numpy(index).to(store.labels.device)
        self._transform = transform

    def __len__(self) -> int:
        return len(self._index)

    def batches(self, batch_size: int, *, share: int = 0, shares: int = 1) -> Iterator[Batch]:
        """All images once as float32 (B, C, H, W), with labels int64 (B,).

        The last batch may be smaller. Of several `shares`, each has as many batches and every
        image is in one of them; a share's last batch may even be empty.
        """
        for every in self._index.split(batch_size * shares):
            index = every.tensor_split(shares)[share]
            images, labels = self._store.gather(index)
            yield self._transform(images, None), labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """The three splits of a dataset; no image is in two of them.

    Attributes:
        examples: what they are, for the task and the model.
        mean, std: per channel, as used for normalising.
        placement: "device", "host" or "mmap": where the training images are kept. From the last
            two they stream.
    """

    train: TrainSplit
    val: EvalSplit
    test: EvalSplit
    examples: Examples
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    placement: Placement

    def shapes(self, task: Task) -> Shapes:
        """What a model of `task` on these data must take and give."""
        declared = self.examples
        return Shapes(
            inputs=declared.inputs, outputs=task.outputs, whole_inputs=declared.whole_inputs
        )


def assemble(config: Dataset, images: Images, device: torch.device, *, channels_last: bool) -> Data:
    """Split `images` as `config` says and place them for batches on `device`.

    Raises:
        DatasetError: the splits or the augmentation do not fit the images.
    """
    check_images(type(config).__name__, images)
    _, height, width, channels = images.train_images.shape
    check_sizes(config, height, channels)
    train_index, val_index, test_index = _split(config, images)
    mean, std = _moments(config, images, train_index)

    on_host = device.type == "cpu"
    arrays = [a for a in (images.train_images, images.test_images) if a is not None]
    placement = choose_placement(
        sum(math.prod(array.shape) for array in arrays),
        device_free=free_memory(device),
        host_free=free_host_memory(),
        on_host=on_host,
        mapped=not isinstance(images.train_images, np.ndarray),
    )

    def store(array: np.ndarray | MappedImages, labels: np.ndarray) -> ImageStore:
        return ImageStore(
            array, labels, device=device, placement=placement, channels_last=channels_last
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

    train_store = test_store = store(images.train_images, images.train_labels)
    if images.test_images is not None and images.test_labels is not None:
        test_store = store(images.test_images, images.test_labels)
    plain = transform(None)
    off = config.augment == Augment(crop_padding=0, flip=False, cutout=0)
    return Data(
        train=TrainSplit(train_store, train_index, plain if off else transform(config.augment)),
        val=EvalSplit(train_store, val_index, plain),
        test=EvalSplit(test_store, test_index, plain),
        examples=Examples(
            inputs=(channels, height, width),
            targets=images.train_labels[train_index],
            num_values=len(images.class_names),
            unit="images",
        ),
        class_names=images.class_names,
        mean=mean,
        std=std,
        placement=placement,
    )


def _split(config: Dataset, images: Images) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of the training, validation and test images, the last in the test set if any."""
    labels = images.train_labels
    rest = np.arange(len(labels))
    if images.test_labels is not None:
        test = np.arange(len(images.test_labels))
    else:
        assert images.test_fraction is not None
        rest, test = stratified_split(
            labels,
            images.test_fraction,
            key="test_fraction",
            seed=config.split_seed,
            purpose=SPLIT_TEST,
            class_names=images.class_names,
        )
    train, val = stratified_split(
        labels[rest],
        config.val_fraction,
        key="val_fraction",
        seed=config.split_seed,
        purpose=SPLIT_VAL,
        class_names=images.class_names,
    )
    return rest[train], rest[val], test


def _moments(
    config: Dataset, images: Images, train_index: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel: the configured ones, or the training images'."""
    if config.mean is not None and config.std is not None:
        return config.mean, config.std
    array = images.train_images
    sums = images.pixel_sums
    if sums is None:
        assert isinstance(array, np.ndarray), "mapped images come with their sums"
        sums = pixel_sums(array)
    return moments(sums[train_index], array.shape[1] * array.shape[2])
