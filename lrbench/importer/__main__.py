"""``python -m lrbench.importer SOURCE… to=FOLDER``: other tools' logs become run folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrbench.cli import shell
from lrbench.cli.wording import counted
from lrbench.config.checks import nearest
from lrbench.importer import Import, import_runs

HELP = """python -m lrbench.importer SOURCE... to=FOLDER [key=value ...]  (or: lrbench import ...)

Reads the logs in and below each SOURCE and writes a run folder of each run, to be compared with
python -m lrbench.compare FOLDER. Read are TensorBoard's events, Lightning's metrics.csv, Hugging
Face's trainer_state.json, Keras's CSVLogger, W&B's offline .wandb files and exports (CSV, JSON),
MLflow's file store and SQLite database, timm's summary.csv, and any CSV with a header; files are
known by their content. Nothing of a source is executed.

  to=FOLDER            where the run folders go
  pattern='{strategy}/seed={seed}'   what a run's path says; {lr} too, and any other name {size}
                       sets runs apart in groups
  measure=COLUMN       what to compare by, as logged (guessed from well-known names)
  better=lower|higher  which way it is better; unit=nats, points, ...: its unit
  strategy=KEY seed=KEY lr=KEY   keys of the recorded configs that say it
  step=COLUMN          the column that says at which update a row was logged
  steps_per_epoch=N    where logs count epochs alone
  paired=true          equal seeds mean equal initial weights and batches (default: unknown)
  ignore=KEY           a key of the recorded configs that does not matter; may be repeated
  --version
"""
KEYS = ("to", "pattern", "measure", "better", "unit", "strategy", "seed", "lr", "step",
        "steps_per_epoch", "paired", "ignore")  # fmt: skip
MAX_NOTES = 12


def parse(words: Sequence[str]) -> tuple[list[Path], Path, dict[str, Any]]:
    """The sources, the folder to write to and the choices that a command line names.

    Raises:
        ValueError: a word is none of these, or none says where from or where to.
    """
    sources, given = [], {}
    ignored: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            raise ValueError(f"{word} is not an option (--help, --version): write key=value")
        if not equals or (key not in KEYS and Path(word).exists()):
            sources.append(Path(word))
        elif key not in KEYS:
            raise ValueError(f"{word}: no such key{nearest(key, KEYS)} ({', '.join(KEYS)})")
        elif not value:
            raise ValueError(f"{word} has no value: write {key}=..., or leave it out")
        elif key == "ignore":
            ignored.append(value)
        else:
            given[key] = value
    if not sources:
        raise ValueError("name a file or folder of logs: lrbench import SOURCE to=FOLDER")
    if "to" not in given:
        raise ValueError("to is missing: write to=FOLDER, where the run folders go")
    to = Path(given.pop("to"))
    choices: dict[str, Any] = {**given, "ignore": tuple(ignored)}
    if "steps_per_epoch" in given:
        if not given["steps_per_epoch"].isdecimal():
            raise ValueError(f"steps_per_epoch={given['steps_per_epoch']} must be a whole number")
        choices["steps_per_epoch"] = int(given["steps_per_epoch"])
    if "paired" in given:
        if given["paired"] not in ("true", "false"):
            raise ValueError(f"paired={given['paired']} must be true or false")
        choices["paired"] = given["paired"] == "true"
    return sources, to, choices


def show(found: Import) -> None:
    """Print what was read as what, for correction, and what there is to know of each run."""
    from rich.console import Console

    from lrbench.audit import LrLog, audit
    from lrbench.cli.console import line
    from lrbench.config import flatten
    from lrbench.files.result import parse_result

    console = Console(highlight=False)
    tools = Counter(run.tool for run in found.runs.values())
    kinds = ", ".join(f"{tool} {number}" for tool, number in tools.items())
    line(console, f"{counted(len(found.runs), 'run')} ({kinds})")
    for measure in found.reading.measures:
        columns = [f"{n} as {c}" for n, c in found.reading.columns.items()
                   if c.endswith(f"_{measure.name}")]  # fmt: skip
        way = "higher" if measure.higher_is_better else "lower"
        unit = f", unit {measure.unit}" if measure.unit else ""
        first = "compared by " if measure is found.reading.measures[0] else ""
        line(console, f"  {first}{measure.label} ({', '.join(columns)}; better: {way}{unit})")
    lrs = [n for n, c in found.reading.columns.items() if c == "lr" or c.startswith("lr/")]
    line(console, f"  learning rate: {', '.join(lrs) or 'not logged'}")
    strategies = Counter(str(run.result["strategy"]) for run in found.runs.values())
    line(console, "  strategies: " + ", ".join(f"{s} {n}" for s, n in sorted(strategies.items())))
    line(console, "  wrong? measure=COLUMN better=lower|higher strategy=KEY seed=KEY pattern='...'")
    notes = list(found.notes)
    each = Counter(note for run in found.runs.values() for note in run.notes)
    for note, number in each.items():
        who = next(name for name, run in found.runs.items() if note in run.notes)
        notes.append(f"{who}{f' and {number - 1} more' if number > 1 else ''}: {note}")
    for name, run in found.runs.items():  # which lr it really used
        result = parse_result(run.result)
        for finding in audit(LrLog.of(result, run.history, flatten(run.config))).findings:
            notes.insert(0, f"{name}: {finding}")
    for note in notes[:MAX_NOTES]:
        line(console, f"note: {note}", "yellow")
    if len(notes) > MAX_NOTES:
        line(console, f"and {len(notes) - MAX_NOTES} more notes", "yellow")
    line(console, f"wrote {found.folder}; compare: python -m lrbench.compare {found.folder}")


def _import(words: list[str]) -> None:
    sources, to, choices = parse(words)
    show(import_runs(sources, to, **choices))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run("lrbench.importer", _import, argv, help=lambda: HELP)


if __name__ == "__main__":
    main()
