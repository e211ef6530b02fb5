"""Windows of a text: as many tokens as a model sees, and those that follow each."""

from __future__ import annotations

import mmap

import numpy as np
import torch
from torch import Tensor

from lrbench.dataset.arrays import IGNORED
from lrbench.dataset.data import AsStored, Batch, Data, EvalSplit, TrainSplit, move, place
from lrbench.dataset.kinds import DatasetError
from lrbench.dataset.memory import Placement
from lrbench.dataset.split import RANDOM_WINDOWS
from lrbench.dataset.tokens import Tokens
from lrbench.task import Examples


class Text:
    """A text's tokens, wherever they are placed, of which windows are given by their start.

    Args:
        tokens: whole numbers (N,); as an array if in `file`, which is mapped.
        context: tokens of a window.
        device: where batches are wanted.
        stop: the position after the last token that counts as a target; None: no window that is
            asked for has later ones.
    """

    def __init__(
        self,
        tokens: Tensor | np.ndarray,
        file: mmap.mmap | None,
        context: int,
        *,
        device: torch.device,
        placement: Placement,
        stop: int | None = None,
    ) -> None:
        self.device = device
        self.placement = placement
        self.home = device if placement == "device" else torch.device("cpu")
        self._tokens, self._file, self._stop = tokens, file, stop
        self._within = torch.arange(context + 1, device=self.home)

    def gather(self, index: Tensor) -> Batch:
        """The windows that start at `index`, int64 (B,), and the tokens that follow each of theirs.

        Targets from `stop` on are `IGNORED`, and the inputs there are of no matter.

        Returns:
            inputs, targets: int64 (B, context), on the device.
        """
        places = index[:, None] + self._within
        late = None
        if self._stop is not None:
            late = places[:, 1:] >= self._stop
            places.clamp_(max=self._stop - 1)
        if isinstance(self._tokens, Tensor):
            windows = self._tokens.index_select(0, places.flatten()).view(places.shape).long()
        else:
            windows = torch.from_numpy(self._tokens[places.numpy()].astype(np.int64))
        inputs, targets = windows[:, :-1].contiguous(), windows[:, 1:].contiguous()
        if late is not None:
            targets.masked_fill_(late, IGNORED)
        return move(inputs, self.device), move(targets, self.device)

    def announce(self, index: Tensor) -> None:
        """Have the windows that start at `index` read in the background."""
        if self._file is not None:
            size = self._tokens.itemsize
            for start in index.tolist():
                first = start * size // mmap.PAGESIZE * mmap.PAGESIZE
                stop = (start + len(self._within)) * size
                self._file.madvise(mmap.MADV_WILLNEED, first, stop - first)


class RandomWindows(TrainSplit):
    """Windows from random places of the training part, which depend on (seed, update) alone.

    Windows may overlap. An epoch is as many updates as one pass without overlap would take.
    """

    def __init__(self, store: Text, index: np.ndarray, prepare: AsStored, num_starts: int) -> None:
        super().__init__(store, index, prepare, "windows")
        self._num_starts = num_starts

    def _indices(self, step: int, seed: int, batch_size: int, share: np.ndarray | None) -> Tensor:
        rng = np.random.default_rng([seed, RANDOM_WINDOWS, step])
        starts = rng.integers(self._num_starts, size=batch_size)
        return torch.from_numpy(starts if share is None else starts[share]).to(self._store.home)


def assemble(tokens: Tokens, device: torch.device, *, context: int, order: str) -> Data:
    """Windows of a text for batches on `device`.

    Every token of the validation and the test part is a target once: their windows do not overlap,
    the last one is filled up, and the first begins with the last token of the part before.

    Args:
        context: tokens of a window.
        order: of the training windows, as `lrbench.dataset.TextDataset` says.

    Raises:
        DatasetError: the training part is shorter than a window.
    """
    train, val, _ = tokens.counts
    if train <= context:
        raise DatasetError(
            f"dataset.context={context} needs a training part of more tokens, and this text's has "
            f"{train}: write a smaller one or give more text"
        )
    array = tokens.array
    placement = place([array], device, mapped=tokens.map is not None)
    file = tokens.map if placement == "mmap" else None
    kept: Tensor | np.ndarray = array
    if file is not None:
        file.madvise(mmap.MADV_RANDOM)  # reading on from a window would be in vain
    else:
        home = device if placement == "device" else torch.device("cpu")
        kept = torch.from_numpy(np.require(array, requirements="W")).to(home)

    def text(stop: int | None = None) -> Text:
        return Text(kept, file, context, device=device, placement=placement, stop=stop)

    def part(start: int, stop: int) -> EvalSplit:
        starts = np.arange(start - 1, stop - 1, context)
        return EvalSplit(text(stop), starts, prepare)

    prepare = AsStored(2 * 8 * context)
    starts = np.arange(0, train - context, context)
    training = TrainSplit(text(), starts, prepare, "windows")
    if order == "random":
        training = RandomWindows(text(), starts, prepare, train - context)
    return Data(
        train=training,
        val=part(train, train + val),
        test=part(train + val, len(array)),
        examples=Examples(
            inputs=(context,),
            whole_inputs=True,
            targets=np.lib.stride_tricks.sliding_window_view(array[1:train], context)[::context],
            num_values=tokens.vocabulary,
            unit="windows",
            bytes_per_token=tokens.bytes_per_token,
        ),
        digest=tokens.digest,
        placement=placement,
        notes={
            **dict(zip(("train", "val", "test"), tokens.counts, strict=True)),  # in tokens
            "window": context,
            "vocabulary": tokens.vocabulary,
            "tokenizer": tokens.tokenizer,
        },
    )
