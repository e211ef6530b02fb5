"""The measures of a model over a data split, and sums over batches from which they are made."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from lrbench.task import Sum, Task

Evaluation: TypeAlias = dict[str, float]  # each measure's value
# Of one batch, by name: a sum (a number or a list of them) and the number of its terms.
Row: TypeAlias = dict[str, tuple[Any, float]]


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    task: Task,
    *,
    autocast: Callable[[], AbstractContextManager[Any]],
    batch_size: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    gather: Callable[[list[Row]], list[Row]] = lambda rows: rows,
) -> Evaluation | None:
    """Evaluate `model` in evaluation mode; each example counts once.

    Args:
        batches: inputs and targets, (B, ...) each.
        batch_size: fill the inputs of a smaller batch up to this, so that a compiled model sees one
            shape; what it makes of the filling is dropped.
        stop: asked before every batch; once true, the answer is None.
        gather: makes of one process's rows, one for each batch, those of all processes that have a
            share of the examples.
    """
    was_training = model.training
    model.eval()
    sums: list[Mapping[str, Sum]] = []
    try:
        with torch.inference_mode():
            for inputs, targets in batches:
                if stop():
                    return None
                own = len(targets)
                if not own:  # a share of too few examples
                    continue
                if batch_size is not None and own < batch_size:
                    inputs = _filled(inputs, batch_size)
                with autocast():
                    outputs = model(inputs)
                outputs = outputs[:own].float()
                loss = task.evaluation_loss(outputs, targets)
                sums.append({"loss": loss, **task.score(outputs, targets)})
            rows = gather(fetched(sums))
    finally:
        model.train(was_training)
    found = task.finish(means(rows))
    # As the recorder keeps it, so that a schedule sees the loss that history.csv shows.
    return {m.name: _float32(found[m.name]) for m in task.measures if m.name in found}


def fetched(
    sums: Sequence[Mapping[str, Sum]],
    summed: Callable[[list[Tensor]], list[Tensor]] = lambda tensors: tensors,
    shares: int = 1,
) -> list[Row]:
    """The `sums` of several batches as Python's numbers, after one wait for the device.

    Args:
        summed: adds up, each with its like, the tensors of all processes that share every batch.
        shares: how many those are, with equal shares; counts that are no tensors are for one.
    """
    if not sums:
        return []
    tensors = {}
    for name, (_, count) in sums[0].items():
        tensors[name, 0] = torch.stack([row[name][0] for row in sums])
        if not isinstance(count, int):
            tensors[name, 1] = torch.stack([row[name][1] for row in sums])  # type: ignore[misc]
    columns = zip(tensors, summed(list(tensors.values())), strict=True)
    values = {key: tensor.tolist() for key, tensor in columns}

    def count_of(name: str, batch: int) -> Any:
        given = sums[batch][name][1]
        return shares * given if isinstance(given, int) else values[name, 1][batch]

    return [
        {name: (values[name, 0][batch], count_of(name, batch)) for name in sums[0]}
        for batch in range(len(sums))
    ]


def means(rows: Sequence[Row]) -> dict[str, Any]:
    """The mean over all `rows` of each of their sums; of a list, that of each place."""
    found: dict[str, Any] = {}
    for name in rows[0]:
        count = sum(row[name][1] for row in rows) or math.nan
        sums = [row[name][0] for row in rows]
        if isinstance(sums[0], list):
            found[name] = [math.fsum(column) / count for column in zip(*sums, strict=True)]
        else:
            found[name] = math.fsum(sums) / count
    return found


def _filled(inputs: Tensor, batch_size: int) -> Tensor:
    """`inputs` padded with copies of the first to `batch_size`, in the same memory layout.

    `torch.cat` would choose a layout of its own for grey images, and the model be compiled for it.
    """
    shape, strides = inputs.shape[1:], inputs.stride()[1:]
    filled = inputs.new_empty_strided((batch_size, *shape), (math.prod(shape), *strides))
    filled[: len(inputs)] = inputs
    filled[len(inputs) :] = inputs[:1]
    return filled


def _float32(value: float) -> float:
    return torch.tensor(value, dtype=torch.float32).item()


def of_one_batch(parts: Sequence[Mapping[str, Sum]]) -> Mapping[str, Sum]:
    """The sums over a batch from those of its equal `parts`, whose losses are parts of its mean."""
    whole: dict[str, Sum] = {}
    for name in parts[0]:
        counts = [part[name][1] for part in parts]
        total = torch.stack([part[name][0] for part in parts]).sum(0)
        whole[name] = total, 1 if name == "loss" else sum(counts)
    return whole
