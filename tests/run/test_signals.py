"""Requests to stop: whose handler acts when, and what is left as it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from lrbench.run.signals import Stopped, StopRequest, stop_now

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Begin and end with Python's own handlers."""
    former = {number: signal.getsignal(number) for number in NUMBERS}
    for number in NUMBERS:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in NUMBERS]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_one_only_asks_and_the_second_acts(number: signal.Signals) -> None:
    before = handlers()
    with StopRequest() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.signum == number
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert handlers() == before


def test_signals_that_someone_else_minds_or_ignores_are_left_to_them() -> None:
    seen: list[int] = []

    signal.signal(signal.SIGTERM, lambda *got: seen.append(got[0]))  # as submitit does
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for a job in the background
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop()
        assert signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL
    assert seen == [signal.SIGTERM]


def test_a_preemption_waits_for_the_checkpoint() -> None:
    order: list[str] = []

    def requeue(*_: object) -> None:
        order.append("requeued")
        raise SystemExit(144)

    def run() -> None:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGUSR2)
            if stop():
                order.append("saved")
                raise Stopped(128 + signal.SIGUSR2)

    signal.signal(signal.SIGUSR2, requeue)
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 144
    assert order == ["saved", "requeued"]
    assert signal.getsignal(signal.SIGUSR2) == requeue


def test_what_the_command_installs_for_sigterm_counts_as_the_default() -> None:
    signal.signal(signal.SIGTERM, stop_now)
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signum == signal.SIGTERM
    with pytest.raises(Stopped) as ended:
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
