"""Which files in a folder are logs, told by their content, and which of them are one run."""

from __future__ import annotations

import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from lrbench.files.reading import ReadError, plain_text, read_bytes
from lrbench.files.run_folder import RESULT
from lrbench.importer import binary, text
from lrbench.importer.raw import RawRun, flat_yaml

SETTINGS_FILES = ("hparams.yaml", "args.yaml", "config.yaml", "args.json", "params.json",
                  "config.json")  # fmt: skip
HEAD = 65_536  # bytes that tell a format: a header may be long
REPORT = "report.html"  # of a comparison; beside it lie
REPORTED = ("report.json", "runs.csv", "summary.csv", "pairs.csv", "looks.json")


@dataclass(frozen=True)
class Format:
    """One kind of log: how it is known by its beginning, and how it is read."""

    fits: Callable[[Path, bytes], bool]
    read: Callable[[Path, str], list[RawRun]]


def _is_text(head: bytes) -> bool:
    return bool(head.strip()) and not re.search(rb"[\x00-\x08\x0e-\x1f]", head)


FORMATS = (  # the first that fits
    Format(lambda _, head: binary.is_events(head), binary.read_events),
    Format(lambda _, head: head.startswith(binary.WANDB), binary.read_wandb),
    Format(
        lambda path, head: head.startswith(binary.SQLITE) and binary.is_mlflow(path),
        binary.read_mlflow_database,
    ),
    Format(
        lambda path, head: b"artifact_uri:" in head and (path.parent / "metrics").is_dir(),
        binary.read_mlflow_folder,
    ),
    Format(lambda _, head: _is_text(head) and head.lstrip()[:1] in b"{[", text.read_json),
    Format(
        lambda _, head: (
            _is_text(head) and bool(re.match(rb"\s*[\"#\w][^\n]*[,;\t][^\n]*\n\s*[^\n]*\d", head))
        ),
        text.read_table,
    ),
)


def read_sources(sources: Sequence[Path]) -> tuple[list[RawRun], list[str]]:
    """Every run in and below `sources`, each once, and which files were of no use.

    Raises:
        ValueError: a source is missing, or nothing in them is a log that is read.
    """
    raws: list[RawRun] = []
    notes: list[str] = []
    for source in sources:
        if not source.exists():
            raise ValueError(f"{source} does not exist")
        files = sorted(_files(source))
        found = []
        for path in files:
            try:
                found += [(path, raw) for raw in _read(path, source)]
            except (ReadError, OSError) as error:
                notes.append(f"{plain_text(path.name)} {plain_text(error)}: left out")
        prefix = f"{source.name}/" if len(sources) > 1 else ""
        alone = Counter(path.parent for path, _ in {(p, id(p.parent)): 0 for p, _ in found})
        for path, raw in found:
            name = raw.name
            below = path.parent.relative_to(source).as_posix() if source.is_dir() else "."
            if name == _name(path, source) and alone[path.parent] == 1 and below != ".":
                name = below  # the only log of its folder goes by the folder's name
            config = {**_settings_beside(path, source), **raw.config}
            raws.append(replace(raw, name=f"{prefix}{name}", config=config))
    runs = _merged(raws, notes)
    if not runs:
        more = f" ({notes[0]})" if notes else ""
        done = [source for source in sources if source.is_dir() and any(source.rglob(RESULT))]
        if done:
            raise ValueError(
                f"{done[0]} holds run folders, which need no import: "
                f"python -m lrbench.compare {shlex.quote(str(done[0]))}"
            )
        raise ValueError(
            f"no log that is read in {', '.join(map(str, sources))}{more}: name the folder or file "
            "of one of the tools that python -m lrbench.importer --help lists"
        )
    return runs, notes


def _files(source: Path) -> Iterator[Path]:
    """The regular files in and below `source`; links and hidden folders are not followed."""
    if source.is_file():
        yield source
    for root, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if RESULT in names:  # a run folder as lrbench or an importer wrote it needs no import
            folders.clear()
            continue
        for name in names:
            path = Path(root, name)
            if REPORT in names and name in REPORTED:
                continue
            if name not in SETTINGS_FILES and path.is_file() and not path.is_symlink():
                yield path


def _name(path: Path, source: Path) -> str:
    below = path.relative_to(source) if source.is_dir() else Path(path.name)
    return below.with_suffix("").as_posix()


def _read(path: Path, source: Path) -> list[RawRun]:
    with path.open("rb") as file:
        head = file.read(HEAD)
    for form in FORMATS:
        if form.fits(path, head):
            named = form.read in (text.read_table, binary.read_mlflow_database)
            below = path.relative_to(source) if source.is_dir() else Path(path.name)
            return form.read(path, _name(path, source) if named else below.as_posix())
    return []


def _settings_beside(path: Path, source: Path) -> dict[str, Any]:
    """What files of settings in the log's folder, else in the one above, say."""
    for folder in (path.parent, path.parent.parent):
        if folder != source.parent and source.is_dir():
            for name in SETTINGS_FILES:
                file = folder / name
                if file.is_file() and not file.is_symlink():
                    try:
                        return flat_yaml(read_bytes(file).decode(errors="replace"))
                    except ReadError:
                        continue
    return {}


def _merged(raws: Sequence[RawRun], notes: list[str]) -> list[RawRun]:
    """One run for each name: its files put together, its settings from whichever knows them."""
    settings = {raw.name: raw.config for raw in raws if raw.tool == "settings"}
    short = {name.rpartition("/")[2]: config for name, config in settings.items()}
    by_name: dict[str, list[RawRun]] = defaultdict(list)
    trained = {raw.name for raw in raws if raw.tool == "Hugging Face"}
    for raw in raws:
        if raw.tool == "settings" or (raw.rows.empty and not raw.config):
            continue
        # A Trainer's own TensorBoard folder holds the same numbers, and its arguments.
        name = next((n for n in trained if raw.name.startswith(f"{n}/runs/" if n else "runs/")),
                    raw.name)  # fmt: skip
        by_name[name].append(raw)
    runs = []
    for name, group in by_name.items():
        config: dict[str, Any] = dict(short.get(name.rpartition("/")[2], {}))
        for raw in group:
            config |= raw.config
        tools = list(dict.fromkeys(raw.tool for raw in group))
        tool = next((t for t in tools if t == "Hugging Face"), tools[0])
        own = [raw for raw in group if raw.tool == tool and not raw.rows.empty]
        if len(tools) > 1:
            notes.append(
                f"{plain_text(name)}: logged by {' and '.join(tools)}: {tool}'s log is taken"
            )
        if not own:
            notes.append(f"{plain_text(name)}: its log is empty: left out")
            continue
        if tool == "Hugging Face":  # each checkpoint's state holds the whole log up to it
            own = [max(own, key=lambda raw: len(raw.rows))]
        rows = own[0].rows if len(own) == 1 else pd.concat([r.rows for r in own], ignore_index=True)
        left = tuple(dict.fromkeys(note for raw in own for note in raw.notes))
        # Names are shown, and a JSON text can spell what a terminal would obey.
        rows = rows.rename(columns=plain_text)
        rows = rows.loc[:, ~rows.columns.duplicated()]
        run = RawRun(name=plain_text(name) or "run", tool=tool, rows=rows, config=config,
                     notes=left, ended=own[-1].ended)  # fmt: skip
        runs.append(run)
    return runs
