"""``python -m lrbench.compare DIR…``: the comparison again, of any folders of runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lrbench.cli import shell
from lrbench.compare import compare


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as everywhere in lrbench."""
        sys.exit(f"lrbench.compare: {message} (--help shows how)")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = _Parser(
        prog="python -m lrbench.compare",
        description="Compare learning-rate schedules: read run folders, write report.html, "
        "report.md, runs.csv, summary.csv, pairs.csv, summary.tex and plots/.",
    )
    found.add_argument("dirs", nargs="+", type=Path, metavar="DIR", help="folder of runs or sweeps")
    found.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write (default: the first DIR)"
    )
    found.add_argument(
        "--margin",
        type=float,
        default=0.2,
        metavar="POINTS",
        help="strategies this close count as equivalent (default: %(default)s points)",
    )
    found.add_argument(
        "--targets",
        default="50%,90%,99%",
        metavar="LIST",
        help="validation accuracies whose updates are counted: 90%% is that share of the way from "
        "chance to the best strategy's median, 0.93 the accuracy itself (default: %(default)s)",
    )
    found.add_argument(
        "--metric",
        default="test_accuracy",
        metavar="NAME",
        help="accuracy to compare by: test_accuracy, val_accuracy or best_val_accuracy (default: "
        "%(default)s)",
    )
    found.add_argument(
        "--seed", type=int, default=0, help="of the resampling (default: %(default)s)"
    )
    found.add_argument(
        "--chance",
        type=float,
        metavar="ACCURACY",
        help="accuracy of guessing, such as 0.1 (default: found in the runs)",
    )
    found.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="KEY",
        help="config key that is part of the strategy, such as optimizer.lr; may be repeated",
    )
    return found


def _compare(words: list[str]) -> None:
    arguments = parser().parse_args(words)
    comparison = compare(
        arguments.dirs,
        arguments.output,
        metric=arguments.metric,
        margin=arguments.margin / 100,
        targets=tuple(arguments.targets.split(",")),
        seed=arguments.seed,
        chance=arguments.chance,
        vary=tuple(arguments.vary),
    )
    from rich.console import Console

    from lrbench.compare.terminal import show

    show(comparison, Console(highlight=False))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run("lrbench.compare", _compare, argv)


if __name__ == "__main__":
    main()
