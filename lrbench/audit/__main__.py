"""``python -m lrbench.audit DIR…``: which lr each run in these folders really used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lrbench.cli import shell

FORMAT = 1  # of what --json prints
HELP = """python -m lrbench.audit DIR...   (or: lrbench audit DIR...)

Holds the learning rate that each run in and below DIR logged against what its schedule would have
given, as its config names it, or else by its form. DIR holds run folders, of lrbench or imported
(python -m lrbench.importer). Exit code 2 if something is found.

  --json     what was found, for programs
  --version
"""


def _audit(words: list[str]) -> int:
    """Audit the runs in the folders that `words` name; how many findings there are."""
    from rich.console import Console

    from lrbench.audit import Audit, audit_each
    from lrbench.audit.read import read_logs
    from lrbench.cli.console import line, print_json

    folders = [word for word in words if word != "--json"]
    wrong = next((word for word in folders if not Path(word).is_dir()), None)
    if wrong is not None or not folders:
        what = f"{wrong} is no folder" if wrong else "name a folder of runs"
        raise ValueError(f"{what}: python -m lrbench.audit DIR (or --json, --version, --help)")
    read = list(read_logs([Path(folder) for folder in folders]))
    audits = audit_each(log for _, log in read if not isinstance(log, str))
    told = [(name, Audit(log, ()) if isinstance(log, str) else next(audits)) for name, log in read]
    if "--json" in words:
        runs = [{"run": name, **asdict(audit)} for name, audit in told]
        print_json({"format": FORMAT, "runs": runs})
    else:
        console = Console(highlight=False)
        for name, audit in told:
            line(console, f"{name}: {audit.description}")
            for finding in audit.findings:
                line(console, f"  {finding}", "yellow")
    return sum(len(audit.findings) for _, audit in told)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    found: list[int] = []
    shell.run("lrbench.audit", lambda words: found.append(_audit(words)), argv, help=lambda: HELP)
    if any(found):
        sys.exit(2)


if __name__ == "__main__":
    main()
