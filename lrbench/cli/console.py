"""Lines of text on a console, whose encoding and reader cannot end the command."""

from __future__ import annotations

import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

Thing = TypeVar("Thing")
Progress = Callable[[Sequence[Thing], str], Iterable[Thing]]
MANY = 500  # things from which on it is shown how far a loop is


def line(console: Console, text: str | Text, style: str = "") -> None:
    """Print `text`: wrapped on a terminal, one line however long in a pipe."""
    shown = Text(text, style=style) if isinstance(text, str) else text
    console.print(shown, soft_wrap=not console.is_terminal)


def warn(console: Console, text: str) -> None:
    """Print `text` as a warning."""
    line(console, Text("warning: ", style="bold yellow") + Text(text))


def print_json(found: Mapping[str, Any]) -> None:
    """Print what a command found for programs; null stands for a number that is not finite."""

    def finite(node: Any) -> Any:
        if isinstance(node, Mapping):
            return {str(key): finite(value) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [finite(value) for value in node]
        return None if isinstance(node, float) and not math.isfinite(node) else node

    print(json.dumps(finite(found), indent=2, ensure_ascii=False))


def progress(console: Console) -> Progress:
    """What shows on `console` how far a loop over many things is; nothing where it is no terminal.

    It is given the things and what is done to them, and gives them back one by one.
    """

    def shown(things: Sequence[Thing], doing: str) -> Iterable[Thing]:
        if not console.is_terminal or len(things) < MANY:
            return things
        from rich.progress import track

        return track(things, doing, console=console, transient=True)

    return shown


def silent(things: Sequence[Thing], doing: str) -> Iterable[Thing]:
    """A `progress` that shows nothing."""
    del doing
    return things


def tolerant_console() -> None:
    """Print "?" for a character that the console's encoding lacks, and go on when nobody reads.

    A reader that goes away (``| head``) is no reason to stop: the rest of the output is discarded,
    and the command does its work to the end. This holds for the whole process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # stderr shows such a character by its number
        sys.stdout.reconfigure(errors="replace")
    Console.on_broken_pipe = discard_output  # type: ignore[method-assign, assignment]


def discard_output(_console: Console | None = None) -> None:
    """Send what this process still prints, and what it has buffered, nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
