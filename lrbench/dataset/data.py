"""A dataset ready for training: splits that give batches on the device."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from lrbench.dataset.kinds import DIGEST_CHARACTERS, MappedImages
from lrbench.dataset.memory import Placement, choose_placement, free_host_memory, free_memory
from lrbench.dataset.mixing import Mix
from lrbench.dataset.split import BATCH_ORDER
from lrbench.task import Examples, Shapes, Task

Batch: TypeAlias = tuple[Tensor, Tensor]

# Batches are made several at a time, as far as they stay in a processor's cache: for small ones the
# operations cost more than their work. LeNet on Fashion-MNIST gains 9 %, ResNet-8 on digits 5 %.
BLOCK_BATCHES = 16
BLOCK_BYTES = 4 * 2**20


class Prepare(Protocol):
    """A function from stored inputs (B, ...) to the model's inputs."""

    @property
    def item_bytes(self) -> int:
        """The bytes of one prepared input."""

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """The inputs as evaluation sees them."""

    def training(
        self,
        inputs: Tensor,
        /,
        steps: range,
        *,
        seed: int,
        batch_size: int,
        share: np.ndarray | None,
    ) -> Tensor:
        """The inputs of the batches of updates `steps`, one after another, changed at random.

        The changes depend on (`seed`, step) and the place in the whole batch alone.

        Args:
            inputs: of each batch the `share` that `TrainSplit.batch` speaks of.
        """


@dataclass(frozen=True)
class AsStored:
    """Gives inputs as they are stored."""

    item_bytes: int

    def __call__(self, inputs: Tensor, /) -> Tensor:
        return inputs

    def training(
        self, inputs: Tensor, /, steps: range, *, seed: int, batch_size: int, share: Any
    ) -> Tensor:
        del steps, seed, batch_size, share
        return inputs


class Source(Protocol):
    """Examples that batches are made of.

    Attributes:
        home: where indices of training examples must be.
    """

    device: torch.device
    placement: Placement
    home: torch.device

    def gather(self, index: Tensor) -> Batch:
        """Inputs and targets of the examples at `index`, int64 (B,), on the device."""

    def announce(self, index: Tensor) -> None:
        """Have the inputs at `index` read in the background, where they are in a mapped file."""


class Store:
    """Examples kept on the device, on the host or in a mapped file.

    Args:
        inputs: (N, ...).
        targets: (N, ...).
        device: where batches are wanted.
        placement: where the examples are kept.
        channels_first: the inputs are images (N, H, W, C), to be kept as (N, C, H, W).
    """

    def __init__(
        self,
        inputs: np.ndarray | MappedImages,
        targets: np.ndarray,
        *,
        device: torch.device,
        placement: Placement,
        channels_first: bool = False,
    ) -> None:
        self.device = device
        self.placement = placement
        self._channels_first = channels_first
        self.home = home = device if placement == "device" else torch.device("cpu")
        self.targets = torch.from_numpy(np.require(targets, requirements=("C", "W"))).to(home)
        self._mapped: MappedImages | None = None
        self._inputs: Tensor | None = None
        if placement == "mmap":
            assert not isinstance(inputs, np.ndarray)
            self._mapped = inputs
            return
        array = inputs if isinstance(inputs, np.ndarray) else inputs.read()
        if channels_first:
            array = array.transpose(0, 3, 1, 2)
        self._inputs = torch.from_numpy(np.require(array, requirements=("C", "W"))).to(home)

    def gather(self, index: Tensor) -> Batch:
        """Stored inputs, contiguous, and targets at `index`, int64 (B,), on the device.

        `index` is on the device if the inputs are, else on the host.
        """
        if self._mapped is not None:
            inputs = torch.from_numpy(np.ascontiguousarray(self._mapped.take(index.numpy())))
            if self._channels_first:
                inputs = inputs.permute(0, 3, 1, 2).contiguous()
        else:
            assert self._inputs is not None
            inputs = self._inputs.index_select(0, index)
        targets = self.targets.index_select(0, index)
        return move(inputs, self.device), move(targets, self.device)

    def announce(self, index: Tensor) -> None:
        """Have the inputs at `index` read in the background, where they are in a mapped file."""
        if self._mapped is not None:
            self._mapped.announce(index.numpy())


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda":  # from pinned memory the copy does not hold up the host
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class TrainSplit:
    """Training examples in random order, changed at random where `prepare` does.

    Batch order depends on (seed, epoch) and the changes on (seed, step) alone, so `batch` is a
    pure function: a run can begin at any step. Every batch is full; the examples that an epoch
    leaves over are other ones each time.

    Args:
        index: positions in `store` of the split's examples, int64 (N,).
        unit: what examples are called in messages: ``images``.
        mix: what makes of each batch one of mixed examples.
    """

    def __init__(
        self,
        store: Source,
        index: np.ndarray,
        prepare: Prepare,
        unit: str,
        mix: Mix | None = None,
    ) -> None:
        self._store = store
        self._index = index
        self._prepare = prepare
        self._unit = unit
        self._mix = mix
        self._last_order: tuple[tuple[int, int], Tensor] | None = None

    def __len__(self) -> int:
        return len(self._index)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of full batches in one pass over the examples.

        Raises:
            ValueError: `batch_size` is above the number of examples.
        """
        if not 1 <= batch_size <= len(self):
            raise ValueError(
                f"batch_size={batch_size} must be between 1 and the number of training "
                f"{self._unit} ({len(self)})"
            )
        return len(self) // batch_size

    def batch(
        self, step: int, *, seed: int, batch_size: int, share: np.ndarray | None = None
    ) -> Batch:
        """The batch of update `step`, counted from 0 over all epochs.

        Args:
            share: positions in the batch, int64, of the examples to give; None: all of them.

        Returns:
            inputs: (B, ...); of images, float32 (B, C, H, W), normalised and augmented.
            targets: (B, ...); of mixed examples, float32 (B, classes), each class's share.
        """
        steps = range(step, step + 1)
        (batch,) = self._block(steps, seed=seed, batch_size=batch_size, share=share)
        return batch

    def _block(
        self, steps: range, *, seed: int, batch_size: int, share: np.ndarray | None
    ) -> list[Batch]:
        """The batches of `steps`, gathered and prepared together."""
        if self._mix is not None and share is not None:  # of examples with others' shares
            whole = self._block(steps, seed=seed, batch_size=batch_size, share=None)
            return [(inputs[share], targets[share]) for inputs, targets in whole]
        indices = [self._indices(step, seed, batch_size, share) for step in steps]
        inputs, targets = self._store.gather(torch.cat(indices))
        inputs = self._prepare.training(
            inputs, steps, seed=seed, batch_size=batch_size, share=share
        )
        own = len(indices[0])
        batches = list(zip(inputs.split(own), targets.split(own), strict=True))
        if self._mix is None:
            return batches
        numbered = zip(batches, steps, strict=True)
        return [self._mix(*batch, seed=seed, step=step) for batch, step in numbered]

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

        Where inputs are streamed, the next batch is read meanwhile: for a GPU by a thread, which
        prepares it, too. On a CPU a thread would take its cores from the training; there the kernel
        is told what to read.
        """
        steps = range(start_step, stop_step)
        block = functools.partial(self._block, seed=seed, batch_size=batch_size, share=share)
        if self._store.placement == "device":
            in_cache = BLOCK_BYTES // (batch_size * self._prepare.item_bytes)
            at_once = min(BLOCK_BATCHES, in_cache or 1)
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
        """The positions in the store, int64, of the examples of update `step`'s batch."""
        epoch, position = divmod(step, self.steps_per_epoch(batch_size))
        start = position * batch_size
        indices = self._order(seed, epoch)[start : start + batch_size]
        return indices if share is None else indices[torch.from_numpy(share).to(indices.device)]

    def _order(self, seed: int, epoch: int) -> Tensor:
        """The examples' positions in the store, int64 (N,), in the order of this epoch."""
        key = (seed, epoch)
        last = self._last_order  # read once: the prefetching thread may replace it
        if last is None or last[0] != key:
            rng = np.random.default_rng([seed, BATCH_ORDER, epoch])
            order = torch.from_numpy(self._index[rng.permutation(len(self._index))])
            last = self._last_order = (key, order.to(self._store.home))
        return last[1]


class EvalSplit:
    """Examples for evaluation, in stored order and without augmentation."""

    def __init__(self, store: Source, index: np.ndarray, prepare: Prepare) -> None:
        self._store = store
        self._index = torch.from_numpy(index).to(store.home)
        self._prepare = prepare

    def __len__(self) -> int:
        return len(self._index)

    def batches(self, batch_size: int, *, share: int = 0, shares: int = 1) -> Iterator[Batch]:
        """All examples once as (inputs, targets), (B, ...) each.

        The last batch may be smaller. Of several `shares`, each has as many batches and every
        example is in one of them; a share's last batch may even be empty.
        """
        for every in self._index.split(batch_size * shares):
            index = every.tensor_split(shares)[share]
            inputs, targets = self._store.gather(index)
            yield self._prepare(inputs), targets


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """The three splits of a dataset; no example is in two of them.

    Attributes:
        examples: what they are, for the task and the model.
        digest: two datasets share it if they were read from the same content.
        placement: "device", "host" or "mmap": where the training inputs are kept. From the last
            two they stream.
        class_names: where targets are classes that have names.
        mean, std: of images, per channel, as used for normalising.
        notes: what else is recorded of them, or what is recorded in place of numbers of examples.
    """

    train: TrainSplit
    val: EvalSplit
    test: EvalSplit
    examples: Examples
    digest: str
    placement: Placement
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    def record(self, batch_size: int) -> dict[str, Any]:
        """Digest and sizes, by which results and checkpoints identify the data."""
        return {
            "digest": self.digest,
            "train": len(self.train),
            "val": len(self.val),
            "test": len(self.test),
            "steps_per_epoch": self.train.steps_per_epoch(batch_size),
            **self.notes,
        }

    def shapes(self, task: Task) -> Shapes:
        """The shapes of a model's inputs and outputs for `task` on these data."""
        declared = self.examples
        return Shapes(
            inputs=declared.inputs,
            outputs=task.outputs,
            whole_inputs=declared.whole_inputs,
            categories=declared.categories,
        )


def place(
    arrays: Sequence[np.ndarray | MappedImages], device: torch.device, *, mapped: bool
) -> Placement:
    """Where the inputs `arrays` of all splits are kept; `mapped`: they are mapped files."""
    return choose_placement(
        sum(math.prod(array.shape) * getattr(array, "itemsize", 1) for array in arrays),
        device_free=free_memory(device),
        host_free=free_host_memory(),
        on_host=device.type == "cpu",
        mapped=mapped,
    )


def content_digest(arrays: Sequence[np.ndarray]) -> str:
    """A hash of the shapes, types and values of `arrays`."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:DIGEST_CHARACTERS]
