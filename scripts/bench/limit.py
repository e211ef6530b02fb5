"""How close an update comes to what its operations reach alone: python scripts/bench/limit.py

Of each workload one update is taken apart: its matrix products, convolutions and attentions,
forward and backward, are run again one by one, with the same operands, in a tight loop. `alone` is
the FLOP/s that they reach together so, `update` what the whole update reaches, and `share` the part
of an update's time that they would take alone. `best` is the fastest square matrix product of this
processor. What takes the rest is told by the profiler: the largest other operations.

Times are the processor's, of one thread, in eager fp32, medians, as the machine may be shared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from common import JOBS, Job, heading, table
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

WORKLOADS = {
    **JOBS,
    "vit_tiny": Job("vit_tiny", "cifar10", 64, (32, 3), lr=1e-3, optimizer="adamw"),
    "gpt_tiny": Job(
        "gpt_tiny", "python_docs", 32, lr=1e-3, task="language_modelling", optimizer="adamw"
    ),
    "mlp": Job("mlp", "diabetes", 64, lr=3e-3, task="regression", optimizer="adamw"),
}
ROUND_SECONDS = 0.02  # that an operation is repeated for, so that the clock's own time is nothing


class Counted(TorchDispatchMode):
    """Collects the operations that have FLOPs, with their operands, and counts their calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[Any, int] = {}
        self.operations: dict[Any, Callable[[], Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket in flop_registry:
            operands = tree_leaves((args, kwargs))
            key = func, *((tuple(o.shape), o.stride()) if isinstance(o, Tensor) else str(o)
                          for o in operands)  # fmt: skip
            self.calls[key] = self.calls.get(key, 0) + 1
            self.operations[key] = lambda: func(*args, **kwargs)
        return func(*args, **kwargs)


def seconds(operation: Callable[[], Any], repeats: int) -> float:
    """The processor's median seconds of `operation`."""
    operation()
    began = time.process_time()
    operation()
    number = max(1, round(ROUND_SECONDS / max(1e-7, time.process_time() - began)))
    found = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(number):
            operation()
        found.append((time.process_time() - began) / number)
    return statistics.median(found)


def best(repeats: int) -> float:
    """FLOP/s of the fastest square matrix product."""
    found = []
    for size in (256, 512, 1024):
        a, b = torch.randn(size, size), torch.randn(size, size)
        found.append(2 * size**3 / seconds(lambda a=a, b=b: a @ b, repeats))  # type: ignore[misc]
    return max(found)


def rest(update: Callable[[], Any], num_steps: int = 10) -> str:
    """The operations without FLOPs that take most of an update."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as profiled:
        for _ in range(num_steps):
            update()
    counted = {str(packet).replace(".", "::") for packet in flop_registry}
    events = profiled.key_averages()
    total = sum(e.self_cpu_time_total for e in events)
    others = [e for e in events if e.key not in counted and "convolution" not in e.key]
    others.sort(key=lambda e: -e.self_cpu_time_total)
    return ", ".join(
        f"{e.key.removeprefix('aten::').split(':')[0]} {e.self_cpu_time_total / total:.0%}"
        for e in others[:3]
    )


def limit(job: Job, repeats: int) -> list[str]:
    """A row of the table."""
    data = job.data(10 * job.batch_size)
    loop = job.loop(data, 1000, compile=False, precision="fp32")
    loop.model.train()
    batch = data.train.batch(0, seed=0, batch_size=job.batch_size)

    def update() -> None:
        loop.updater(0, *batch)

    update()
    with FlopCounterMode(display=False) as counter:
        update()
    with Counted() as counted:
        update()
    flops, whole, alone = counter.get_total_flops(), [], []
    for _ in range(repeats):  # in turns, as the machine is not always equally fast
        whole.append(seconds(update, 3))
        alone.append(sum(n * seconds(counted.operations[k], 3) for k, n in counted.calls.items()))
    shares = [a / w for a, w in zip(alone, whole, strict=True)]
    took, alone_took = statistics.median(whole), statistics.median(alone)
    return [
        job.name,
        f"{flops / 1e9:.3g}",
        f"{1e3 * took:.3g}",
        f"{flops / took / 1e9:.0f}",
        f"{flops / alone_took / 1e9:.0f}",
        f"{statistics.median(shares):.0%}",
        rest(update),
    ]


def main(models: Sequence[str], repeats: int) -> None:
    """Print a line per workload."""
    heading(f"GFLOP/s of an update and of its operations alone, medians of {repeats}")
    rows = [limit(WORKLOADS[name], repeats) for name in models]
    columns = ["job", "GFLOP", "ms", "update", "alone", "share", "what else takes most"]
    table(columns, rows)
    print(f"\nbest: {best(repeats) / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=list(WORKLOADS), help=f"of {', '.join(WORKLOADS)}"
    )
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    main(arguments.models, arguments.repeats)
