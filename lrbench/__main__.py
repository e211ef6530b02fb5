"""``python -m lrbench``, or ``lrbench``: train what a config describes, or run another command."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lrbench.cli import shell

COMMANDS = (
    "audit",
    "branch",
    "compare",
    "importer",
    "preview",
    "find_lr",
    "search",
    "forecast",
    "study",
)  # each also python -m lrbench.NAME


def compare_sweep(folder: Path) -> None:
    """Compare the runs of a sweep and show what is found; a failure to is told, not raised."""
    from rich import get_console

    from lrbench.cli.console import progress
    from lrbench.compare import compare
    from lrbench.compare.terminal import show
    from lrbench.record.display import say

    try:
        show(compare([folder], progress=progress(get_console())), get_console())
    except (ValueError, OSError) as error:
        say(f"no comparison: {' '.join(str(error).split())}", "bold yellow")


def train(words: list[str]) -> str | None:
    """Train the run or the sweep that the command line describes, through Hydra.

    Returns:
        what failed, of a sweep.
    """
    import hydra

    from lrbench.cli import sweep_folders
    from lrbench.config import CONF, foreign_files, trust
    from lrbench.run import sweep
    from lrbench.run.job import job
    from lrbench.run.run import follow
    from lrbench.run.signals import unwind_on_sigterm
    from lrbench.trainer import distributed

    if distributed.rank() > 0:
        with suppress(ValueError):  # which process 0 tells
            trust.take(words)
        follow()
        return None
    os.environ["HYDRA_FULL_ERROR"] = "1"  # make Hydra hand exceptions on instead of printing them
    if distributed.num_processes() == 1:  # else unwinding would wait for the others
        unwind_on_sigterm()
    try:
        prepared = sweep_folders.prepare(words)
        sys.argv[1:] = prepared.argv
        task = job
        if prepared.changes:
            task = functools.partial(job, changes=prepared.changes, config_dir=prepared.config_dir)
        start = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
        with foreign_files.installed():
            start(task)()
    finally:
        distributed.lead(None)  # where it came to no run
        # Not when interrupted: the same command will go on with the sweep, and conclude it.
        interrupted = isinstance(sys.exception(), KeyboardInterrupt | shell.Stopped)
        incomplete = 0 if interrupted else sweep.conclude(compare_sweep)
    return f"{incomplete} of the sweep's runs did not complete" if incomplete else None


def _interrupted() -> None:
    from lrbench.run import sweep

    sweep.abandon()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the words of the command line name: training, where they name none."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["import"]:  # a name that no module of Python's can have
        words[0] = "importer"
    if words and words[0] in COMMANDS:
        importlib.import_module(f"lrbench.{words[0]}.__main__").main(words[1:])
        return
    shell.run("lrbench", train, words, interrupted=_interrupted)


if __name__ == "__main__":
    main()
