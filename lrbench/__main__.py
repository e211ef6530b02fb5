"""``python -m lrbench``: compose the config, build the parts, train."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import hydra
from rich import get_console

from lrbench.cli import sweep_folders
from lrbench.config import CONF, foreign_files, trust
from lrbench.record.display import say
from lrbench.run import sweep
from lrbench.run.job import MISTAKES, job, told
from lrbench.run.run import follow
from lrbench.run.signals import Stopped, unwind_on_sigterm
from lrbench.trainer import distributed

task = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)


def compare_sweep(folder: Path) -> None:
    """Compare the runs of a sweep and show what is found; a failure to is told, not raised."""
    from lrbench.compare import compare
    from lrbench.compare.terminal import show

    try:
        show(compare([folder]), get_console())
    except (ValueError, OSError) as error:
        say(f"no comparison: {' '.join(str(error).split())}", "bold yellow")


def main() -> None:
    """Run Hydra; a mistake is one line on stderr and exit code 1, HYDRA_FULL_ERROR=1 shows all."""
    if distributed.rank() > 0:
        with suppress(ValueError):  # which process 0 tells
            trust.take(sys.argv[1:])
        follow()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # make Hydra hand exceptions on instead of printing them
    if distributed.num_processes() == 1:  # else unwinding would wait for the others
        unwind_on_sigterm()
    try:
        try:
            sys.argv[1:] = sweep_folders.prepare(sys.argv[1:])
            with foreign_files.installed():
                task()
        finally:
            distributed.lead(None)  # where it came to no run
            # Not when interrupted: the same command will go on with the sweep, and conclude it.
            interrupted = isinstance(sys.exception(), KeyboardInterrupt | Stopped)
            incomplete = 0 if interrupted else sweep.conclude(compare_sweep)
    except (KeyboardInterrupt, Stopped) as stop:
        sweep.abandon()
        sys.exit(stop.code if isinstance(stop, Stopped) else 130)
    except MISTAKES as error:
        raise told(error) from error
    if incomplete:
        sys.exit(f"lrbench: {incomplete} of the sweep's runs did not complete")


if __name__ == "__main__":
    main()
