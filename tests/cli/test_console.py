"""A console that lacks characters, or that nobody reads, ends no command."""

import os
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial

import pytest
from rich.console import Console

from lrbench.cli import shell


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "on_broken_pipe", Console.on_broken_pipe)


def say(text: str) -> None:
    Console().print(text, soft_wrap=True)


def test_characters_that_the_encoding_lacks_are_degraded() -> None:
    read, write = os.pipe()
    with open(write, "w", encoding="latin-1") as stream, redirect_stdout(stream):
        shell.run("test", lambda _words: say("1 → 2"), [])
    with open(read, "rb") as file:
        assert file.read() == b"1 ? 2\n"


@pytest.mark.parametrize(
    ("write_out", "num_ended"), [(say, 3), (partial(print, flush=True), 1)], ids=["rich", "print"]
)
def test_a_command_goes_on_when_its_reader_is_gone(
    write_out: Callable[[str], None], num_ended: int
) -> None:
    """To its end with rich, as training and comparing print; a plain print ends it quietly."""
    read, write = os.pipe()
    os.close(read)
    ended: list[int] = []

    def work(_words: list[str]) -> None:
        for number in range(3):
            ended.append(number)
            write_out("1")

    with open(write, "w") as stream, redirect_stdout(stream):
        shell.run("test", work, [])
        print("discarded", flush=True)
    assert len(ended) == num_ended
