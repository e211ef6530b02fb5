"""``python -m lrbench.study``: read the command line, conduct the study, report."""

from __future__ import annotations

import os
import shlex
import sys

from rich import get_console

from lrbench.cli import mistakes
from lrbench.files import run_folder
from lrbench.record.display import say
from lrbench.study.arguments import HELP, Arguments, parse
from lrbench.study.records import GUIDE
from lrbench.trainer import distributed


def study(arguments: Arguments) -> int:
    """Conduct what `arguments` ask for, or plan it.

    Returns:
        how many of its runs failed.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    from lrbench.study.composed import compose_study
    from lrbench.study.launcher import Launcher
    from lrbench.study.protocol import conduct

    with compose_study(arguments) as found:
        launcher = Launcher(found)
        if arguments.dry_run:
            from lrbench.study.plan import describe, measure, phases

            planned = phases(found, launcher)
            for line in describe(found, planned, *measure(found, launcher)):
                say(line)
            return 0
        found.folder.mkdir(parents=True, exist_ok=True)
        handle = run_folder.lock(found.folder)
        try:
            outcome = conduct(found, launcher, say)

            from lrbench.study import guide, report  # half a second: not before it is needed

            launcher.run(guide.points(outcome), GUIDE)
            report.write(outcome, launcher.missing).show(get_console())
        finally:
            os.close(handle)
        say(f"curves  tensorboard --logdir {shlex.quote(str(found.folder))}")
        return len(launcher.missing)


def main() -> None:
    """Run the study; a mistake is one line on stderr and exit code 1."""
    from lrbench.run.job import MISTAKES
    from lrbench.run.signals import Stopped, unwind_on_sigterm

    unwind_on_sigterm()
    try:
        arguments = parse(sys.argv[1:])
        if arguments.help:
            print(HELP)
            return
        distributed.require_one_process("a study")
        failed = study(arguments)
    except (KeyboardInterrupt, Stopped) as stop:
        say("interrupted: the same command goes on with what is missing", "bold yellow")
        sys.exit(stop.code if isinstance(stop, Stopped) else 130)
    except MISTAKES as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"lrbench.study: {mistakes.explain(error)}")
    if failed:
        sys.exit(f"lrbench.study: {failed} of the study's runs failed")


if __name__ == "__main__":
    main()
