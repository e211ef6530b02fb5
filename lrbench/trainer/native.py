"""Whether this machine's processor trains a network faster in bf16 than in fp32.

It is measured on the network itself, for the names of a processor's instructions do not tell: with
the same ones convolutions may gain where matrix products lose. What was found is kept in the user's
cache folder ($XDG_CACHE_HOME/lrbench, else ~/.cache/lrbench), a file for each processor, number of
threads, version of torch and network, so that all runs of a sweep, and a run that is resumed,
compute alike. A folder that cannot be written costs a measurement in each process, no more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lrbench.files.atomic import atomic_write

log = logging.getLogger(__name__)

Loss = Callable[[Tensor, Tensor], Tensor]

EXAMPLES = 8  # of the batch that is measured on, at most
PAIRS = 5  # passes in each precision
FASTER = 1.1  # bf16 is taken if it is at least so many times as fast
HOPELESS = 0.5  # below it a first pair is enough

_found: dict[str, bool] = {}  # this process's results, in case the cache is not writable


def bf16_is_faster(model: nn.Module, loss: Loss, batch: tuple[Tensor, Tensor]) -> bool:
    """Whether `model` trains at least `FASTER` times as fast in bf16 as in fp32 on this CPU.

    Args:
        model: left as it is, and torch's random numbers too; gradients are dropped.
        loss: of the model's outputs and the targets.
        batch: inputs and targets, (B, ...) each.
    """
    if not _has_kernels():
        return False
    inputs, targets = (part[:EXAMPLES] for part in batch)
    told = _description(model, inputs)
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]

    def measure() -> float:
        kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
        with torch.random.fork_rng(devices=[]):
            ratio = speed_up(lambda dtype: _seconds(model, loss, inputs, targets, dtype))
        for buffer, before in kept:
            buffer.copy_(before)
        log.info("bf16 is %.2f times as fast as fp32 on this processor for this network", ratio)
        return ratio

    if name not in _found:
        _found[name] = remembered(name, told, measure) >= FASTER
    return _found[name]


def _has_kernels() -> bool:
    """Whether torch may compute faster in bf16 here; without oneDNN's kernels, it takes far longer.

    oneDNN has them for AVX-512 and beyond, whether or not these have instructions for bf16.
    """
    if not torch.backends.mkldnn.is_available():
        return True  # another library may have fast kernels
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def speed_up(seconds: Callable[[torch.dtype], float]) -> float:
    """How many times as fast as fp32 bf16 is, the median of passes in turns.

    Args:
        seconds: takes one pass in a precision and tells how long that took.
    """
    for dtype in (torch.float32, torch.bfloat16):  # a first pass prepares what later ones use
        seconds(dtype)
    ratios: list[float] = []
    while len(ratios) < PAIRS and not (ratios and ratios[0] < HOPELESS):
        ratios.append(seconds(torch.float32) / seconds(torch.bfloat16))
    return statistics.median(ratios)


def remembered(name: str, told: dict[str, Any], measure: Callable[[], float]) -> float:
    """What `measure` found on this machine, now or earlier; one process at a time measures.

    Args:
        name: of the file in the cache folder, without its ending.
        told: what was measured, in words, for whoever looks into the file.
    """
    with _locked() as folder:
        path = None if folder is None else folder / f"bf16-{name}.json"
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if path is not None:
                return float(json.loads(path.read_text())["speed_up"])
        ratio = measure()
        with contextlib.suppress(OSError):
            if path is not None:
                with atomic_write(path) as file:
                    file.write(json.dumps({"speed_up": ratio, **told}, indent=1).encode())
        return ratio


@contextlib.contextmanager
def _locked() -> Iterator[Path | None]:
    """The cache folder, while no other process measures; None where there cannot be one."""
    with contextlib.ExitStack() as stack:
        folder = None
        with contextlib.suppress(OSError, RuntimeError):  # not writable; no home
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lrbench"
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / "lock").open("a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def _seconds(
    model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, dtype: torch.dtype
) -> float:
    """Seconds of one forward and backward pass; infinite where the network cannot do it in bf16."""
    began = time.perf_counter()
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            outputs = model(inputs)
        loss(outputs.float(), targets).backward()
    except RuntimeError:
        if dtype == torch.float32:  # training would fail with it too
            raise
        return float("inf")
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - began


def _description(model: nn.Module, inputs: Tensor) -> dict[str, Any]:
    """All that the speed depends on."""
    return {
        "processor": processor(),
        "instructions_allowed": os.environ.get("ONEDNN_MAX_CPU_ISA", "all"),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "inputs": [str(inputs.dtype), list(inputs.shape)],
        "layers": [type(layer).__name__ for layer in model.modules()],
        "weights": [[list(p.shape), list(p.stride())] for p in model.parameters()],
    }


def processor() -> str:
    """The processor's name and, where known, what it can do."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        fields = {key.strip(): text.strip() for key, _, text in (s.partition(":") for s in lines)}
        flags = f"{fields.get('flags', '')} {fields.get('Features', '')}".split()
        name = fields.get("model name", platform.machine())
        return " ".join([name, *sorted(f for f in flags if f.startswith(FLAGS))])
    return f"{platform.machine()} {platform.processor()}"


# Of the flags that Linux tells: "AMD EPYC" alone names processors with and without bf16.
FLAGS = ("avx", "amx", "bf16", "sve", "i8mm", "asimd")
