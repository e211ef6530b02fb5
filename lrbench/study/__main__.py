"""``python -m lrbench.study``: read the command line, conduct the study, report."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich import get_console

from lrbench.cli import shell
from lrbench.compare import require
from lrbench.config import ConfigError
from lrbench.files import run_folder
from lrbench.record.display import say
from lrbench.study.arguments import HELP, Arguments, parse
from lrbench.study.records import GUIDE
from lrbench.trainer import distributed

if TYPE_CHECKING:
    from lrbench.compare.report import Section
    from lrbench.study.composed import StudyConfig
    from lrbench.study.records import StudyOutcome

NAME = "lrbench.study"


@dataclass(frozen=True, kw_only=True)
class Studied:
    """What came of a study.

    Attributes:
        failed: how many of its runs did.
        outcome: None if it was planned only, or ended at its noise floor.
        sections: the comparison that its claims are from, of each workload by its words.
        content: of report.json; empty where it was planned only.
    """

    failed: int
    outcome: StudyOutcome | None = None
    sections: Mapping[str, Section] = field(default_factory=dict)
    content: str = ""


def study(arguments: Arguments) -> Studied:
    """Conduct what `arguments` ask for, or plan it.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    from lrbench.study.composed import compose_study

    with compose_study(arguments) as found:
        if found.study.workloads is None:
            return _study(found, arguments)
        folder, names = found.folder, found.study.workloads

    from lrbench.study import workloads

    all_of_them = {}
    for words, own in workloads.of_each(arguments, names, folder).items():
        say(words, "bold")
        with compose_study(own) as found:
            all_of_them[words] = _study(found, own)
    failed = sum(one.failed for one in all_of_them.values())
    outcomes = {words: one.outcome for words, one in all_of_them.items() if one.outcome}
    if not outcomes:
        return Studied(failed=failed)
    contents = {words: one.content for words, one in all_of_them.items()}
    told, page, content = workloads.write(outcomes, contents, folder)
    say(told, "bold")
    say(f"report  {page}")
    sections = {words: s for words, one in all_of_them.items() for s in one.sections.values()}
    return Studied(failed=failed, sections=sections, content=content)


def _study(found: StudyConfig, arguments: Arguments) -> Studied:
    """One workload's study."""
    from lrbench.study.launcher import Launcher
    from lrbench.study.protocol import conduct, noise

    for requirement in arguments.requirements:
        if unknown := sorted(requirement.names - set(found.study.strategies)):
            raise ConfigError(
                f"require={requirement.text!r}: the study has no {' and '.join(unknown)}; "
                f"study.strategies=[{','.join(found.study.strategies)}]"
            )
    launcher = Launcher(found)
    if arguments.dry_run:
        from lrbench.study.plan import describe, measure, phases

        planned = phases(found, launcher)
        for line in describe(found, planned, *measure(found, launcher)):
            say(line)
        return Studied(failed=0)
    found.folder.mkdir(parents=True, exist_ok=True)
    handle = run_folder.lock(found.folder)
    try:
        floor = noise(found, launcher)
        if floor is not None:
            say(floor.sentence, "bold")
            if floor.too_high and found.study.stop_at_noise:
                from lrbench.study.report.as_json import stopped

                return Studied(failed=len(launcher.missing), content=stopped(found.folder, floor))
        outcome = conduct(found, launcher, say)

        from lrbench.study import guide, report  # half a second: not before it is needed

        launcher.run(guide.points(outcome), GUIDE)
        written = report.write(outcome, launcher.missing, floor)
        written.show(get_console())
    finally:
        os.close(handle)
    say(f"curves  tensorboard --logdir {shlex.quote(str(found.folder))}")
    return Studied(
        failed=len(launcher.missing),
        outcome=outcome,
        sections={"": written.tuned},
        content=written.json,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    from lrbench.run.signals import unwind_on_sigterm

    def work(words: list[str]) -> str | None:
        distributed.require_one_process("a study")
        arguments = parse(words)
        with redirect_stdout(sys.stderr) if arguments.json else nullcontext():
            found = study(arguments)
        if arguments.json:
            print(found.content, end="")
        if not arguments.dry_run:
            require.enforce(arguments.requirements, found.sections, NAME)
        return f"{found.failed} of the study's runs failed" if found.failed else None

    def interrupted() -> None:
        say("interrupted: the same command continues with what is missing", "bold yellow")

    unwind_on_sigterm()
    shell.run(NAME, work, argv, help=lambda: HELP, interrupted=interrupted)


if __name__ == "__main__":
    main()
