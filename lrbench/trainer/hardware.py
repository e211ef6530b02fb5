"""The device that a run trains on, its threads, determinism, precision and compilation."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from lrbench.trainer import Trainer, distributed

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
# The number of updates from which compiling saves time on a CPU: a ResNet-20 takes 16 to 36 s to
# compile and is then some 20 ms faster per update (two cores, scripts/bench/layout.py).
COMPILING_PAYS = 2000


def choose_device(name: str) -> torch.device:
    """The device that `name` asks for; ``auto`` takes cuda, else mps, else cpu.

    Of several processes each gets a GPU of its own.

    Raises:
        ValueError: there is no such device here.
    """
    if distributed.num_processes() > 1:
        return _own_device(name)
    here = ["cpu"]
    if torch.backends.mps.is_available():
        here.insert(0, "mps")
    here[:0] = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if name == "auto":
        return torch.device(here[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        choices = ", ".join(["auto", *here])
        raise ValueError(f"trainer.device={name} is not on this machine: choose one of {choices}")
    return torch.device(wanted)


def _own_device(name: str) -> torch.device:
    """The device of this process, where several train one run."""
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"trainer.device={name}: several processes take auto, cuda or cpu")
    gpus, number = torch.cuda.device_count(), distributed.local_rank()
    if name == "cpu" or (name == "auto" and gpus == 0):
        return torch.device("cpu")
    if gpus == 1:  # the only one, or the one that a scheduler lets this process see
        number = 0
    if number >= gpus:
        raise ValueError(
            f"trainer.device={name}: process {number} of this node has no GPU, there are {gpus}: "
            "start no more processes than GPUs"
        )
    return torch.device("cuda", number)


def set_up(settings: Trainer, device: torch.device) -> None:
    """Apply the settings that hold for the whole process: threads and determinism."""
    if settings.num_threads is not None:
        torch.set_num_threads(settings.num_threads)
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    if settings.deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(settings.deterministic)  # imports torch's compiler: 1 s
    torch.backends.cudnn.benchmark = device.type == "cuda" and not settings.deterministic
    if device.type == "cpu":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have glibc's malloc keep freed memory for the next update; without glibc, do nothing.

    By default it returns large blocks to the kernel, which zeroes each page before it hands it out
    again: 6 % of a ResNet-20's time on CIFAR-10, 17 % of a LeNet's on Fashion-MNIST (two cores).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(M_MMAP_THRESHOLD, 2**24)  # 32 MiB, the most that it takes


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device, is_faster: Callable[[], bool]) -> torch.dtype:
    """The dtype of the forward pass.

    ``auto`` is bf16 on a GPU that has it, else fp32; ``bf16_if_native`` is bf16 also on a CPU that
    computes this network faster in it: where its matrix unit has bf16 (Intel's AMX) ResNet-20 is
    1.7 and ResNet-18 2.4 times as fast, on AVX2 a ninth (two cores, ``scripts/bench/layout.py``).

    Args:
        is_faster: measures whether bf16 is, on a CPU; see `lrbench.trainer.native`.

    Raises:
        ValueError: the device cannot do it.
    """
    if name in ("auto", "bf16_if_native"):
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        if device.type == "cpu" and name == "bf16_if_native":
            bf16 = is_faster()
        name = "bf16" if bf16 else "fp32"
    if name != "fp32" and not torch.amp.is_autocast_available(device.type):
        raise ValueError(f"trainer.precision={name} is not available on {device.type}: use fp32")
    return DTYPES[name]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """The context of a forward pass in `dtype`."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def choose_compile(setting: bool | str, device: torch.device, total_steps: int) -> bool:
    """Whether to compile the model for a run of `total_steps` updates.

    ``auto`` does on a GPU, and on a CPU with a C++ compiler if the run is long enough to win back
    the time that it takes. In several processes on CPUs it does not: each would compile.

    Raises:
        ValueError: it must, and there is no C++ compiler.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    found = device.type != "cpu" or shutil.which(compiler) is not None
    if setting == "auto" and device.type == "cpu":
        return found and total_steps >= COMPILING_PAYS and distributed.num_processes() == 1
    if setting == "auto":
        return device.type == "cuda"
    if setting and not found:
        raise ValueError(
            f"trainer.compile={setting} needs a C++ compiler, and there is no {compiler}: install "
            "one, name yours in the environment variable CXX, or write trainer.compile=false"
        )
    return bool(setting)


def describe(device: torch.device) -> str:
    """The device in words: ``cpu (x86_64, 2 threads)`` or ``cuda:0 (NVIDIA H200)``."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"
