"""``python -m lrbench.compare DIR… key=value…``: the comparison again, of any folders of runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lrbench.cli import shell
from lrbench.compare import compare
from lrbench.compare.require import enforce, parse
from lrbench.importer.choices import KEYS

OPTIONS = {
    "margin": "strategies this close count as equivalent: a number in the measure's unit (0.2: 0.2 "
    "points, or nats), or a share of the best mean such as 1%% (default: 0.2 points for shares "
    "such as accuracies, 1%% for all else)",
    "targets": "validation values whose updates are counted: 90%% is that share of the way from "
    "guessing to the best strategy's median, 0.93 the value itself (default: 50%%,90%%,99%%)",
    "metric": "what to compare by, such as test_loss or best_val_accuracy (default: the first "
    "measure of the runs, on the test split where they have one)",
    "x": "what curves are drawn over and targets counted in: updates, epochs, seconds of the run, "
    "or what batches hold: images, tokens, rows (default: updates, or epochs where these differ)",
    "planned_seeds": "seeds that each strategy will have in the end, where runs are compared "
    "before all are there (default: those there at the first reading)",
    "chance": "what guessing scores, such as 0.1 (default: as the runs record it)",
    "vary": "config key that is part of the strategy, such as optimizer.lr; may be repeated",
    "ignore": "config key that may differ between runs compared, such as trainer.num_threads; may "
    "be repeated",
    "require": "what must hold for sure, such as 'wsd beats cosine' or 'loss(cosine) <= 0.5' (the "
    "most it may lose against the best, in the measure's unit), in every group; exit code 2 where "
    "it does not; may be repeated",
    "format": "auto: DIR holds other tools' logs, or is one, and is read as python -m "
    "lrbench.importer reads it (--help there), whose keys may then be given, as pattern=...",
    "output": "folder to write to (default: the first DIR; of logs outputs/compare/NAME)",
}

REPEATED = ("vary", "ignore", "require")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as everywhere in lrbench."""
        sys.exit(f"lrbench.compare: {message} (--help shows how)")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = _Parser(
        prog="python -m lrbench.compare",
        description="Compare learning-rate schedules: read run folders, write report.html, "
        "report.md, report.json, runs.csv, summary.csv, pairs.csv, summary.tex and plots/. Options "
        "may also be written as margin=1%.",
        argument_default=argparse.SUPPRESS,
    )
    found.add_argument("dirs", nargs="+", type=Path, metavar="DIR", help="folder of runs or sweeps")
    kinds = {"planned_seeds": int, "chance": float, "output": Path}
    for name, text in OPTIONS.items():
        action = "append" if name in REPEATED else "store"
        found.add_argument(
            f"--{name.replace('_', '-')}", type=kinds.get(name, str), action=action, help=text
        )
    for name in KEYS:
        found.add_argument(f"--{name.replace('_', '-')}", help=argparse.SUPPRESS)
    found.add_argument("--json", action="store_true", help="print report.json and nothing else")
    return found


def _compare(words: list[str]) -> None:
    from rich.console import Console

    from lrbench.cli.console import progress

    keys = {name: name.replace("_", "-") for name in (*OPTIONS, *KEYS)}
    own = [
        f"--{keys[key]}={value}" if equals and key in keys else word
        for word in words
        for key, equals, value in [word.partition("=")]
    ]
    given = vars(parser().parse_args(own))
    for name in REPEATED:
        given[name] = tuple(given.get(name, ()))
    if "targets" in given:
        given["targets"] = tuple(given["targets"].split(","))
    requirements = [parse(text) for text in given.pop("require")]
    as_json = given.pop("json", False)
    shown = progress(Console(stderr=True))
    comparison = compare(given.pop("dirs"), given.pop("output", None), progress=shown, **given)
    if as_json:
        from lrbench.compare.report import dumped

        print(dumped(comparison.report.content), end="")
    else:
        from lrbench.compare.terminal import show

        show(comparison, Console(highlight=False))
    enforce(requirements, {s.label: s for s in comparison.report.sections}, "lrbench.compare")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run("lrbench.compare", _compare, argv)


if __name__ == "__main__":
    main()
