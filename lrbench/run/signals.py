"""Stopping a run after its current update on Ctrl-C, SIGTERM or a cluster's preemption."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, NoReturn

from lrbench.cli.shell import Stopped as Stopped

STOPS = (signal.SIGINT, signal.SIGTERM)
PREEMPTIONS = (signal.SIGUSR1, signal.SIGUSR2)


def stop_now(signum: int, frame: FrameType | None) -> NoReturn:
    """A signal handler that raises `Stopped`, so that the ``finally`` blocks of the process run."""
    del frame
    raise Stopped(128 + signum)


def unwind_on_sigterm() -> None:
    """Install `stop_now` for SIGTERM, unless this is a thread or another handler is installed."""
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, stop_now)


class StopRequest:
    """Within its block, a first SIGINT or SIGTERM sets `signum`, and a second ends the process.

    A handler that a launcher has installed for SIGINT or SIGTERM stays in place. A handler for
    SIGUSR1 or SIGUSR2 is a preemption's (submitit's queues the job again and ends the process): it
    is called at the end of the block, when the run has saved its checkpoint.

    In a thread other than the main one nothing changes: Python allows no handler there.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._handlers: dict[int, Any] = {}  # those before the block

    def __call__(self) -> bool:
        """Whether a signal has asked the run to stop."""
        return self.signum is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (*STOPS, *PREEMPTIONS):
                handler = signal.getsignal(number)
                defaults = (signal.SIG_DFL, signal.default_int_handler, stop_now)
                ours = handler in defaults if number in STOPS else callable(handler)
                if ours:
                    self._handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.signum in PREEMPTIONS:
            signal.raise_signal(self.signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        del frame
        self.signum = signum
        for number in STOPS:
            if number in self._handlers:
                signal.signal(number, signal.SIG_DFL)  # the second one ends the process at once
