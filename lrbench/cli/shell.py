"""The frame of every command: what ends it, with which exit code, and what is said then."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import lrbench
from lrbench.cli.console import discard_output, tolerant_console

# Whether tracebacks are asked for. Read once: Hydra is later told so, whatever the user said.
full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"


class Stopped(SystemExit):
    """A signal has stopped the command, and nothing is lost; exits with the shell's usual code."""


def run(
    name: str,
    work: Callable[[list[str]], str | None],
    argv: Sequence[str] | None = None,
    *,
    help: Callable[[], str] | None = None,
    interrupted: Callable[[], None] = lambda: None,
) -> None:
    """Run the command `name`: exit code 0 if it did its work, 1 for a mistake or failed runs.

    Args:
        work: does what the words of the command line ask for; gives what failed, if anything did.
        argv: the words; None: those of this process.
        help: what ``--help`` prints; None leaves the option to `work`.
        interrupted: is called after Ctrl-C or SIGTERM, before the process ends.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    tolerant_console()
    if "--version" in words:
        print(f"lrbench {lrbench.__version__}")
        return
    if help is not None and {"-h", "--help"} & set(words):
        print(help())
        return
    try:
        failed = work(words)
        sys.stdout.flush()
    except (KeyboardInterrupt, Stopped) as stop:
        interrupted()
        sys.exit(stop.code if isinstance(stop, Stopped) else 130)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        discard_output()
        return
    except Exception as error:
        from lrbench.cli.mistakes import MISTAKES  # imports Hydra

        if isinstance(error, MISTAKES):
            raise told(error, name) from error
        raise
    if failed:
        sys.exit(f"{name}: {failed}")


def told(error: BaseException, name: str = "lrbench") -> BaseException:
    """What ends the process with one line, or with the traceback where that is asked for."""
    from lrbench.cli.mistakes import explain

    return error if full_error else SystemExit(f"{name}: {explain(error)}")
