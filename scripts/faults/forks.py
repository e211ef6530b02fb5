"""Runs of lrbench in forked children of a process that has torch imported already: 0.3 s each."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code, negative for a signal, what it said, and how long."""

    code: int
    said: str
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.code == -signal.SIGKILL


def warm_up(*, sweeps: bool = False) -> None:
    """Import what every run imports, once, on one thread: a forked process has no other threads.

    With `sweeps`, what a sweep imports at its end, too.
    """
    import torch

    torch.set_num_threads(1)
    import lrbench.__main__
    import lrbench.dataset.cache
    import lrbench.dataset.decode
    import lrbench.model
    import lrbench.record.hparams
    import lrbench.trainer.loop

    if sweeps:
        import lrbench.compare.analysis
        import lrbench.compare.heat_map
        import lrbench.compare.report  # noqa: F401


def lrbench(
    arguments: Sequence[str],
    cwd: Path,
    *,
    arm: Callable[[], None] | None = None,
    kill_after: float | None = None,
    signals: Sequence[tuple[float, int]] = (),
) -> Ended:
    """Run ``lrbench arguments`` in a child.

    Args:
        arm: called in the child before lrbench; lays the fault.
        kill_after: SIGKILL after so many seconds.
        signals: further signals, as seconds from the start and number.
    """
    said = cwd / f"said-{os.getpid()}"
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        _be_lrbench(arguments, cwd, said, arm)
    due = sorted([*signals, *([(kill_after, signal.SIGKILL)] if kill_after is not None else [])])
    status = 0
    for after, number in due:
        while time.perf_counter() - began < after:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            time.sleep(0.002)
        else:
            os.kill(child, number)
            continue
        break
    else:
        _, status = os.waitpid(child, 0)
    seconds = time.perf_counter() - began
    text = said.read_text(errors="replace")
    said.unlink()
    return Ended(os.waitstatus_to_exitcode(status), text, seconds)


def _be_lrbench(
    arguments: Sequence[str], cwd: Path, said: Path, arm: Callable[[], None] | None
) -> None:
    code = 70
    try:
        output = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(cwd)
        sys.argv = ["lrbench", *arguments]
        from lrbench.__main__ import main

        if arm is not None:
            arm()
        try:
            main()
            code = 0
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
            code = 0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code % 256)
