"""Lines of text on a console."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def line(console: Console, text: str | Text, style: str = "") -> None:
    """Print `text`: wrapped on a terminal, one line however long in a pipe."""
    shown = Text(text, style=style) if isinstance(text, str) else text
    console.print(shown, soft_wrap=not console.is_terminal)


def warn(console: Console, text: str) -> None:
    """Print `text` as a warning."""
    line(console, Text("warning: ", style="bold yellow") + Text(text))
