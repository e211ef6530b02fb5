"""Commands in processes of their own, which begin with torch and lrbench imported already.

Starting Python and importing torch costs 4 s of a processor, a fork of a process that has done so
0.02 s. What is tested of the start itself, such as what it imports, needs a real one.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

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
    ) -> None:
        FORKS.set_forkserver_preload(PRELOADED)
        environment = {**os.environ, **ENV, **(env or {})}
        self._process = FORKS.Process(target=_run, args=(module, words, cwd, environment, outputs))
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
    module: str, *words: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What ``python -m MODULE WORDS`` says, run in `cwd`; `env` is added to the environment."""
    with TemporaryDirectory() as folder:
        outputs = Path(folder, "stdout"), Path(folder, "stderr")
        code = Started(module, words, cwd, env, outputs).wait()
        texts = [path.read_text() for path in outputs]
        return subprocess.CompletedProcess([module, *words], code, *texts)


def start_module(
    module: str, *words: str, cwd: Path, env: Mapping[str, str] | None = None
) -> Started:
    """``python -m MODULE WORDS``, begun in `cwd`; stderr goes to ``stdout``, too."""
    with TemporaryDirectory() as folder:
        pipe = Path(folder, "pipe")
        os.mkfifo(pipe)
        started = Started(module, words, cwd, env, (pipe, pipe))
        started.stdout = pipe.open()  # waits until the process has opened it
    return started


def _run(
    module: str, words: Sequence[str], cwd: Path, env: Mapping[str, str], outputs: Sequence[Path]
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
    runpy.run_module(module, run_name="__main__", alter_sys=True)
