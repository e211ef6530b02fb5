"""Commands in processes of their own, which begin with torch and lrbench imported already.

Starting Python and importing torch costs 4 s of a processor, a fork of a process that has done so
0.02 s. What is tested of the start itself, such as what it imports, needs a real one.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TextIO

import pictures

FORKS = multiprocessing.get_context("forkserver")
PRELOADED = ["torch", "lrbench.compare.report", "lrbench.run.job", "lrbench.trainer.loop"]
SECONDS = 200  # after which a command is stopped
ENV = {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}


class Started:
    """``python -m MODULE WORDS`` in a process of its own.

    Attributes:
        stdout: what it says; None where that goes to files.
    """

    def __init__(
        self,
        module: str,
        words: Sequence[str],
        cwd: Path,
        env: Mapping[str, str] | None,
        outputs: Sequence[Path],
        numbers: Mapping[str, float],
    ) -> None:
        FORKS.set_forkserver_preload(PRELOADED)
        environment = {**os.environ, **ENV, **(env or {})}
        run = module, words, cwd, environment, outputs, pictures.real, numbers
        self._process = FORKS.Process(target=_run, args=run)
        self._process.start()
        self.stdout: TextIO | None = None

    def send_signal(self, signum: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signum)

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> int:
        """The exit code; of a process that a signal has ended, the signal's number below 0."""
        self._process.join(SECONDS)
        self._process.kill()
        assert self._process.exitcode is not None, f"it did not end in {SECONDS} s"
        return self._process.exitcode


def run_module(
    module: str,
    *words: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    numbers: Mapping[str, float] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """What ``python -m MODULE WORDS`` says, run in `cwd`.

    Args:
        env: added to the environment.
        numbers: values for constants of modules, by the constants' full names.
    """
    with TemporaryDirectory() as folder:
        outputs = Path(folder, "stdout"), Path(folder, "stderr")
        code = Started(module, words, cwd, env, outputs, dict(numbers)).wait()
        texts = [path.read_text() for path in outputs]
        return subprocess.CompletedProcess([module, *words], code, *texts)


def start_module(
    module: str, *words: str, cwd: Path, env: Mapping[str, str] | None = None
) -> Started:
    """``python -m MODULE WORDS``, begun in `cwd`; stderr goes to ``stdout``, too."""
    with TemporaryDirectory() as folder:
        pipe = Path(folder, "pipe")
        os.mkfifo(pipe)
        started = Started(module, words, cwd, env, (pipe, pipe), {})
        started.stdout = pipe.open()  # waits until the process has opened it
    return started


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start_two(module: str, *words: str, cwd: Path) -> list[Started]:
    """``python -m MODULE WORDS`` in two processes of one run, as torchrun would start them.

    No agent ends one with the other.
    """
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    ranks = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    return [start_module(module, *words, cwd=cwd, env=rank) for rank in ranks]


def _run(
    module: str,
    words: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    outputs: Sequence[Path],
    real_pictures: bool,
    numbers: Mapping[str, float],
) -> None:
    descriptors = {path: os.open(path, os.O_WRONLY | os.O_CREAT) for path in dict.fromkeys(outputs)}
    for number, path in enumerate(outputs, start=1):
        os.dup2(descriptors[path], number)
    for descriptor in descriptors.values():
        os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", closefd=False)  # what Python knew of the files before is wrong
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [str(cwd), *env.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = [module, *words]
    if not real_pictures:
        pictures.real = False
        pictures.install()
    for name, value in numbers.items():
        place, _, constant = name.rpartition(".")
        setattr(importlib.import_module(place), constant, value)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
