"""``python -m lrbench.branch RUN at=…``: cooldowns from a run that holds its lr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from lrbench.branch.arguments import HELP, Request, parse
from lrbench.cli import shell


def branch(request: Request) -> str | None:
    """Do what the command line asks for.

    Returns:
        what failed, if anything did.

    Raises:
        ValueError, OSError: a mistake that a user can mend; the message is one line.
    """
    import os
    from functools import partial
    from pathlib import Path

    from rich.console import Console

    from lrbench.branch import cooldowns, findings
    from lrbench.branch.picture import save_picture
    from lrbench.cli.console import line, print_json
    from lrbench.cli.sweep_folders import folder_name
    from lrbench.files import run_folder
    from lrbench.files.atomic import atomic_write
    from lrbench.trainer import distributed

    distributed.require_one_process("a branch")
    trunk = cooldowns.read_trunk(request.run)
    planned = cooldowns.plan(trunk, request.points, request.cooldown)
    name = folder_name(["branch", trunk.folder.resolve().name], [str(trunk.folder.resolve())])
    folder = request.output or Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    tell = partial(line, Console(stderr=True, highlight=False))
    handle = run_folder.lock(folder)
    try:
        results = cooldowns.train(trunk, planned, folder, tell)
    finally:
        os.close(handle)
    found = findings.conclude(trunk, planned, results, folder)
    content = findings.as_json(trunk, found)
    with atomic_write(folder / "branch.json") as file:
        file.write(json.dumps(content).encode())
    save_picture(folder, found)
    if request.json:
        print_json(content)
    else:
        written = [folder / f"branch.{ending}" for ending in ("png", "svg", "json")]
        findings.show(found, written)
    diverged = sum(not result.completed for result in results.values())
    return f"{diverged} of {len(results)} runs diverged" if diverged else None


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    from lrbench.run.signals import unwind_on_sigterm

    def interrupted() -> None:
        print("interrupted: the same command continues with what is missing", file=sys.stderr)

    unwind_on_sigterm()
    shell.run(
        "lrbench.branch",
        lambda words: branch(parse(words)),
        argv,
        help=lambda: HELP,
        interrupted=interrupted,
    )


if __name__ == "__main__":
    main()
