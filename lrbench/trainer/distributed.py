"""One run in several processes with a device each, as torchrun starts them.

Every process holds the whole dataset and passes its share of every batch through the model;
gradients, BatchNorm's statistics, losses and decisions are those of the whole batch. Process 0
leads: it alone reads the command line, writes and speaks. The others follow. In one process
everything here gives back what it is given. Importing this module does not import torch.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor, nn

# Until training begins one process may wait for another that decodes or downloads the data.
# torchrun ends the others at once when one dies.
SET_UP_LIMIT = timedelta(hours=24)
# Once it trains, a process that hears nothing of another gives up after so long: a checkpoint, an
# evaluation or a compilation must fit in. (Where connections break, it is told at once.)
TRAINING_LIMIT = timedelta(minutes=10)
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

T = TypeVar("T")


class ProcessLost(ConnectionError):
    """Another process of the run ended or cannot be reached."""


class Dismissed(Exception):
    """Process 0 ends the run and has printed the reason; this process ends silently."""


@functools.cache
def num_processes() -> int:
    """How many processes share the run, on all nodes."""
    given = all(name in os.environ for name in VARIABLES)
    return int(os.environ["WORLD_SIZE"]) if given else 1


def rank() -> int:
    """This process's number, from 0 for the one that leads."""
    return int(os.environ["RANK"]) if num_processes() > 1 else 0


def local_rank() -> int:
    """This process's number on its node: which of the node's devices is its own."""
    return int(os.environ.get("LOCAL_RANK", rank())) if num_processes() > 1 else 0


def adopt_submitit_tasks() -> None:
    """Within a job that submitit started as several tasks, make them the processes of one run."""
    if "SUBMITIT_EXECUTOR" not in os.environ or any(name in os.environ for name in VARIABLES):
        return
    from submitit import JobEnvironment
    from submitit.helpers import TorchDistributedEnvironment

    if JobEnvironment().num_tasks > 1:
        TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
        num_processes.cache_clear()


def require_one_process(what: str) -> None:
    """Refuse to do `what` where several processes share one run.

    Raises:
        SystemExit: there are several; it says so in one line.
    """
    if num_processes() > 1:
        raise SystemExit(
            f"lrbench: {what} cannot run under torchrun, which is for one run: leave torchrun out"
        )


# Before training: over a store of keys, which process 0 or torchrun keeps.


@functools.cache
def _store() -> Any:
    import torch.distributed as dist

    store, _, _ = next(iter(dist.rendezvous("env://", timeout=TRAINING_LIMIT)))  # type: ignore[attr-defined]
    store.set_timeout(SET_UP_LIMIT)
    return dist.PrefixStore("lrbench", store)  # type: ignore[attr-defined]


_led = False


def lead(job: dict[str, Any] | None) -> None:
    """Give the other processes the run to take part in, as plain values; None: there is none.

    Only the first call counts.
    """
    global _led
    if num_processes() > 1 and rank() == 0 and not _led:
        _led = True
        _store().set("job", json.dumps(job))


def follow() -> dict[str, Any] | None:
    """Wait for the job that process 0 passes to `lead`, and return it."""
    job: dict[str, Any] | None = json.loads(_store().get("job"))
    return job


_meetings = itertools.count()


@contextmanager
def together() -> Iterator[None]:
    """Run the block in every process, and fail in all of them where it fails in one.

    Process 0 then raises its own error or one that names the process, and the others raise
    `Dismissed`, so that a mistake is printed once. An error that is a bug (neither ValueError nor
    OSError) is also raised in its own process, for the traceback.
    """
    if num_processes() == 1:
        yield
        return
    error: Exception | None = None
    try:
        yield
    except Exception as e:
        error = e
    key, own = f"meeting {next(_meetings)}", rank()
    said = "" if error is None else f"{type(error).__name__}: {' '.join(str(error).split())}"
    _store().set(f"{key} {own}", said)
    if own == 0:
        all_said = [_store().get(f"{key} {r}").decode() for r in range(num_processes())]
        first = next(((r, text) for r, text in enumerate(all_said) if text), None)
        _store().set(key, json.dumps(first))
    faulty = json.loads(_store().get(key))
    if faulty is None:
        return
    if own == 0:
        raise error or ValueError(f"process {faulty[0]} of {num_processes()}: {faulty[1]}")
    if own == faulty[0] and error is not None and not isinstance(error, ValueError | OSError):
        raise error
    raise Dismissed


def in_turn(load: Callable[[], T]) -> T:
    """The result of `load`: process 0 calls it first, then one process per node, then the rest.

    Data are so downloaded and decoded once per file system, whether nodes share one or not.
    """
    if num_processes() == 1:
        return load()
    turn = 0 if rank() == 0 else 1 if local_rank() == 0 else 2
    loaded: list[T] = []
    for now in range(3):
        with together():
            if now == turn:
                loaded.append(load())
    return loaded[0]


# While training: over process groups.

_control: Any = None  # the group, on the hosts, for what is decided rather than computed


@contextmanager
def connected(device: torch.device) -> Iterator[None]:
    """Let the processes exchange tensors within the block, each from its own device.

    Raises:
        ProcessLost: another one ended meanwhile, or did not answer in time.
    """
    if num_processes() == 1:
        yield
        return
    import torch
    import torch.distributed as dist

    global _control
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            store=dist.PrefixStore(f"groups {next(_meetings)}", _store()),  # type: ignore[attr-defined]
            rank=rank(),
            world_size=num_processes(),
            timeout=TRAINING_LIMIT,
            device_id=device if on_gpu else None,
        )
        _control = dist.new_group(backend="gloo", timeout=TRAINING_LIMIT)
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error).lower():
            raise ProcessLost(
                f"process {rank()} of {num_processes()} lost the others "
                f"({' '.join(str(error).split())[:200]})"
            ) from error
        raise
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def positions(batch_size: int, parts: int) -> np.ndarray | None:
    """The positions in a batch of the examples that this process trains on, int64; None: all.

    Each of the `parts` in which a batch passes the model (gradient accumulation) is shared out, so
    that all processes together see the parts that one would.

    Raises:
        ValueError: the parts cannot be shared out evenly.
    """
    number = num_processes()
    if number == 1:
        return None
    import numpy as np

    if batch_size % (parts * number):
        raise ValueError(
            f"batch_size={batch_size} must be a multiple of {parts * number}: {number} processes"
            + (f" with gradient_accumulation_steps={parts}" if parts > 1 else "")
        )
    return np.arange(batch_size).reshape(parts, number, -1)[:, rank()].reshape(-1)


def data_parallel(model: nn.Module) -> nn.Module:
    """`model`, such that a backward pass averages the gradients over all processes.

    Its BatchNorm layers, which it shares with `model`, then normalise by the whole batch.

    Raises:
        ValueError: they cannot.
    """
    if num_processes() == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    _synchronize_batch_norm(model)
    # Buffers are equal everywhere already. Without their broadcast, evaluating needs no company.
    known = inspect.signature(DistributedDataParallel).parameters
    broadcast = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    options: dict[str, Any] = {broadcast: False, "gradient_as_bucket_view": True}
    return DistributedDataParallel(model, **options)


def _synchronize_batch_norm(model: nn.Module) -> None:
    """Replace each BatchNorm layer within `model` by torch's own for several processes."""
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm

    for name, child in model.named_children():
        if not isinstance(child, _BatchNorm):
            _synchronize_batch_norm(child)
            continue
        if type(child) not in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm):
            raise ValueError(
                f"the model's {type(child).__name__} is no BatchNorm of torch's own, the only one "
                "whose statistics several processes can share: train it in one process"
            )
        if not any(tensor.is_cuda for tensor in child.state_dict().values()):
            raise ValueError(
                "the model has BatchNorm, whose statistics several processes share on GPUs only: "
                "train it in one process, which uses all cores by its threads, or on GPUs"
            )
        setattr(model, name, nn.SyncBatchNorm.convert_sync_batchnorm(child))


def accumulating(network: nn.Module, *, last: bool) -> AbstractContextManager[Any]:
    """The context of one pass of several: only the `last` averages gradients over processes."""
    if num_processes() == 1 or last:
        return nullcontext()
    context: AbstractContextManager[Any] = network.no_sync()  # type: ignore[operator]
    return context


def summed(tensors: list[Tensor]) -> list[Tensor]:
    """Each of `tensors` added up over all processes, in one exchange."""
    if num_processes() == 1:
        return tensors
    import torch
    import torch.distributed as dist

    flat = torch.cat([tensor.double().flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def gathered(rows: list[T]) -> list[T]:
    """The `rows` (plain values) of all processes in one list, in the order of the processes.

    The list is bit-identical in all processes, so that all decide alike.
    """
    if num_processes() == 1:
        return rows
    import torch.distributed as dist

    everyone: list[Any] = [None] * num_processes()
    dist.all_gather_object(everyone, rows, group=_control)
    return [row for own in everyone for row in own]


def agreed(ask: Callable[[], bool]) -> Callable[[], bool]:
    """A function with the same answer in all processes: whether `ask` was true in any of them.

    Each process must call it equally often. The answer is that of the call before, so that the
    exchange takes place while the processes work, and none waits for it.
    """
    if num_processes() == 1:
        return ask
    import torch
    import torch.distributed as dist

    under_way: list[tuple[Any, Tensor]] = []

    def answer() -> bool:
        flag = torch.tensor([int(ask())], dtype=torch.int32)
        work = dist.all_reduce(flag, dist.ReduceOp.MAX, group=_control, async_op=True)
        under_way.append((work, flag))
        if len(under_way) == 1:
            return False
        before, said = under_way.pop(0)
        before.wait()
        return bool(said.item())

    return answer


def largest(number: int) -> int:
    """The largest `number` of all processes."""
    if num_processes() == 1:
        return number
    import torch
    import torch.distributed as dist

    tensor = torch.tensor([int(number)])
    dist.all_reduce(tensor, dist.ReduceOp.MAX, group=_control)
    return int(tensor.item())
