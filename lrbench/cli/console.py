"""Lines of text on a console, whose encoding and reader cannot end the command."""

from __future__ import annotations

import io
import os
import sys

from rich.console import Console
from rich.text import Text


def line(console: Console, text: str | Text, style: str = "") -> None:
    """Print `text`: wrapped on a terminal, one line however long in a pipe."""
    shown = Text(text, style=style) if isinstance(text, str) else text
    console.print(shown, soft_wrap=not console.is_terminal)


def warn(console: Console, text: str) -> None:
    """Print `text` as a warning."""
    line(console, Text("warning: ", style="bold yellow") + Text(text))


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
