"""``python -m lrbench.audit DIR…``: which lr each run in these folders really used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lrbench.cli import shell

HELP = """python -m lrbench.audit DIR...   (or: lrbench audit DIR...)

Holds the learning rate that each run in and below DIR logged against what its schedule would have
given, as its config names it, or else by its form. DIR holds run folders, of lrbench or imported
(python -m lrbench.importer). Exit code 2 if something is found.

  --version
"""


def _audit(words: list[str]) -> int:
    from rich.console import Console

    from lrbench.audit import audit
    from lrbench.audit.read import read_logs
    from lrbench.cli.console import line

    wrong = next((word for word in words if word.startswith("-") or not Path(word).is_dir()), None)
    if wrong is not None or not words:
        what = f"{wrong} is no folder" if wrong else "name a folder of runs"
        raise ValueError(f"{what}: python -m lrbench.audit DIR")
    console = Console(highlight=False)
    found = 0
    for name, log in read_logs([Path(word) for word in words]):
        told = audit(log) if not isinstance(log, str) else log
        line(console, f"{name}: {told if isinstance(told, str) else told.description}")
        for finding in () if isinstance(told, str) else told.findings:
            line(console, f"  {finding}", "yellow")
            found += 1
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    found: list[int] = []
    shell.run("lrbench.audit", lambda words: found.append(_audit(words)), argv, help=lambda: HELP)
    if any(found):
        sys.exit(2)


if __name__ == "__main__":
    main()
