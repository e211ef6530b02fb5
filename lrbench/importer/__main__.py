"""``python -m lrbench.importer SOURCE… to=FOLDER``: other tools' logs become run folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from lrbench.cli import shell
from lrbench.cli.wording import alike, counted
from lrbench.config.checks import nearest
from lrbench.importer import Import, import_runs
from lrbench.importer.choices import KEYS, Choices

if TYPE_CHECKING:
    from lrbench.audit import Audit

FORMAT = 1  # of what --json prints
HELP = """python -m lrbench.importer SOURCE... to=FOLDER [key=value ...]  (or: lrbench import ...)

Reads the logs in and below each SOURCE and writes a run folder of each run, to be compared with
python -m lrbench.compare FOLDER (or at once: python -m lrbench.compare SOURCE format=auto). Read
are TensorBoard's events, Lightning's metrics.csv, Hugging Face's trainer_state.json, Keras's
CSVLogger, W&B's offline .wandb files and exports (CSV, JSON), MLflow's file store and SQLite
database, timm's summary.csv, and any CSV with a header; files are known by their content. Nothing
of a source is executed.

{keys}
"""
OWN = ("to", *KEYS, "ignore")
MAX_NOTES = 12


def parse(words: Sequence[str]) -> tuple[list[Path], Path, Choices]:
    """The sources, the folder to write to and the choices that a command line names.

    Raises:
        ValueError: a word is none of these, or none says where from or where to.
    """
    sources: list[Path] = []
    given: dict[str, Any] = {"ignore": ()}
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith("-"):
            raise ValueError(
                f"{word} is not an option (--help, --json, --version): write key=value"
            )
        if not equals or (key not in OWN and Path(word).exists()):
            sources.append(Path(word))
        elif key not in OWN:
            raise ValueError(f"{word}: no such key{nearest(key, OWN)} ({', '.join(OWN)})")
        elif not value:
            raise ValueError(f"{word} has no value: write {key}=..., or leave it out")
        else:
            given[key] = (*given["ignore"], value) if key == "ignore" else value
    if not sources:
        raise ValueError("name a file or folder of logs: lrbench import SOURCE to=FOLDER")
    if "to" not in given:
        raise ValueError("to is missing: write to=FOLDER, where the run folders go")
    return sources, Path(given.pop("to")), Choices.take(given)


def show(found: Import, audits: dict[str, Audit]) -> None:
    """Print what was read as what, for correction, and what there is to know of each run."""
    from rich.console import Console

    from lrbench.cli.console import line

    console = Console(highlight=False)
    tools = Counter(run.tool for run in found.runs.values())
    kinds = ", ".join(f"{tool} {number}" for tool, number in tools.items())
    line(console, f"{counted(len(found.runs), 'run')} ({kinds})")
    for text in found.read_as:
        line(console, f"  {text}")
    line(console, "  wrong? measure=COLUMN better=lower|higher strategy=KEY seed=KEY pattern='...'")
    wrong = alike((name, str(told)) for name, audit in audits.items() for told in audit.findings)
    notes = [*(f"{name}: {told}" for name, told in wrong), *found.remarks]
    for note in notes[:MAX_NOTES]:
        line(console, f"note: {note}", "yellow")
    if len(notes) > MAX_NOTES:
        line(console, f"and {len(notes) - MAX_NOTES} more notes (--json tells all)", "yellow")
    line(console, f"wrote {found.folder}; compare: python -m lrbench.compare {found.folder}")


def as_json(found: Import, audits: dict[str, Audit]) -> dict[str, Any]:
    """What was read, for programs."""
    runs = [
        {"run": name, "tool": run.tool, "notes": run.notes, "audit": asdict(audits[name])}
        | {key: run.result[key] for key in ("strategy", "seed", "status", "steps")}
        for name, run in found.runs.items()
    ]
    measures = [asdict(measure) for measure in found.reading.measures]
    return {"format": FORMAT, "folder": str(found.folder), "columns": found.reading.columns,
            "measures": measures, "notes": found.notes, "runs": runs}  # fmt: skip


def _import(words: list[str]) -> None:
    from lrbench.cli.console import print_json

    sources, to, choices = parse([word for word in words if word != "--json"])
    found = import_runs(sources, to, **vars(choices))

    from lrbench.audit import LrLog, audit_each
    from lrbench.config import flatten
    from lrbench.files.result import parse_result

    logs = [LrLog.of(parse_result(run.result), run.history, flatten(run.config))
            for run in found.runs.values()]  # fmt: skip
    audits = dict(zip(found.runs, audit_each(logs), strict=True))  # which lr each really used
    if "--json" in words:
        print_json(as_json(found, audits))
    else:
        show(found, audits)


def _help() -> str:
    rows = {"to=": "FOLDER where the run folders go"}
    rows |= {f"{key}=": text for key, text in KEYS.items()}
    rows["ignore="] = "KEY of the recorded configs that does not matter; may be repeated"
    rows["--json"] = "print what was read, for programs"
    indent = " " * 19
    keys = [fill(f"  {key:<17}{text}", 99, subsequent_indent=indent) for key, text in rows.items()]
    return HELP.format(keys="\n".join(keys))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run("lrbench.importer", _import, argv, help=_help)


if __name__ == "__main__":
    main()
