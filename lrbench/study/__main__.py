"""``python -m lrbench.study``: read the command line, conduct the study, report."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import get_console

from lrbench.cli import shell
from lrbench.files import run_folder
from lrbench.record.display import say
from lrbench.study.arguments import HELP, Arguments, parse
from lrbench.study.records import GUIDE
from lrbench.trainer import distributed

if TYPE_CHECKING:
    from lrbench.study.composed import StudyConfig
    from lrbench.study.records import StudyOutcome


def study(arguments: Arguments) -> int:
    """Conduct what `arguments` ask for, or plan it.

    Returns:
        how many of its runs failed.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    from lrbench.study.composed import compose_study

    with compose_study(arguments) as found:
        if found.study.workloads is None:
            return _study(found, dry_run=arguments.dry_run)[0]
        folder, names = found.folder, found.study.workloads

    from lrbench.study import workloads

    failed, outcomes = 0, {}
    for words, own in workloads.of_each(arguments, names, folder).items():
        say(words, "bold")
        with compose_study(own) as found:
            lost, outcome = _study(found, dry_run=arguments.dry_run)
        failed += lost
        if outcome is not None:
            outcomes[words] = outcome
    if outcomes:
        told, page = workloads.write(outcomes, folder)
        say(told, "bold")
        say(f"report  {page}")
    return failed


def _study(found: StudyConfig, *, dry_run: bool) -> tuple[int, StudyOutcome | None]:
    """One workload's study: how many of its runs failed, and its outcome if it went to its end."""
    from lrbench.study.launcher import Launcher
    from lrbench.study.protocol import conduct, noise

    launcher = Launcher(found)
    if dry_run:
        from lrbench.study.plan import describe, measure, phases

        planned = phases(found, launcher)
        for line in describe(found, planned, *measure(found, launcher)):
            say(line)
        return 0, None
    found.folder.mkdir(parents=True, exist_ok=True)
    handle = run_folder.lock(found.folder)
    try:
        floor = noise(found, launcher)
        if floor is not None:
            say(floor.sentence, "bold")
            if floor.too_high and found.study.stop_at_noise:
                return len(launcher.missing), None
        outcome = conduct(found, launcher, say)

        from lrbench.study import guide, report  # half a second: not before it is needed

        launcher.run(guide.points(outcome), GUIDE)
        report.write(outcome, launcher.missing).show(get_console())
    finally:
        os.close(handle)
    say(f"curves  tensorboard --logdir {shlex.quote(str(found.folder))}")
    return len(launcher.missing), outcome


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    from lrbench.run.signals import unwind_on_sigterm

    def work(words: list[str]) -> str | None:
        distributed.require_one_process("a study")
        failed = study(parse(words))
        return f"{failed} of the study's runs failed" if failed else None

    def interrupted() -> None:
        say("interrupted: the same command continues with what is missing", "bold yellow")

    unwind_on_sigterm()
    shell.run("lrbench.study", work, argv, help=lambda: HELP, interrupted=interrupted)


if __name__ == "__main__":
    main()
