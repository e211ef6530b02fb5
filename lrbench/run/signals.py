"""Ctrl-C, SIGTERM and a cluster's preemption as a request to stop after the current update."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, NoReturn

from lrbench.cli.shell import Stopped as Stopped

STOPS = (signal.SIGINT, signal.SIGTERM)
PREEMPTIONS = (signal.SIGUSR1, signal.SIGUSR2)


def stop_now(signum: int, frame: FrameType | None) -> NoReturn:
    """A signal handler that unwinds the stack, where Python's own would end the process at once."""
    del frame
    raise Stopped(128 + signum)


def unwind_on_sigterm() -> None:
    """Install `stop_now` for SIGTERM, unless someone else minds it, or this is a thread."""
    main_thread = threading.current_thread() is threading.main_thread()
    if main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, stop_now)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only sets `signum`; the next acts as usual.

    Whoever launched the run may have handlers of its own. One for SIGINT or SIGTERM stays. One for
    SIGUSR1 or SIGUSR2 is a preemption's, such as submitit's, which puts the job in the queue again
    and ends the process: it is called on leaving, when the run has saved its checkpoint.

    In a thread other than the main one, where Python takes no signal handlers, nothing is caught.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._handlers: dict[int, Any] = {}  # as they were

    def __call__(self) -> bool:
        """Whether a stop was asked for."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
