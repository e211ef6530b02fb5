"""Writing imported runs as run folders."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from lrbench.files import run_folder
from lrbench.files.reading import read_bytes
from lrbench.importer.normalise import Imported


def write_runs(runs: Sequence[Imported], to: Path) -> dict[str, Imported]:
    """Write a folder of each of `runs` below `to`; returns the runs by their folders' names.

    Raises:
        ValueError: one of the folders holds a run that was not imported; nothing is written then.
        OSError: a file cannot be written; the error names it.
    """
    placed: dict[str, Imported] = {}
    for run in runs:
        name = base = _folder(run.name)
        while name in placed:
            name = f"{base}-{len(placed)}"
        placed[name] = run
    for name in placed:
        _check_free(to / name)
    for name, run in placed.items():
        folder = to / name
        (folder / run_folder.HIDDEN).mkdir(parents=True, exist_ok=True)
        run_folder.start_over(folder)
        config = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
        for file, content in ((run_folder.CONFIG, config), (run_folder.HISTORY, _csv(run))):
            (folder / file).unlink(missing_ok=True)
            (folder / file).write_text(content)  # the result, written last, makes them count
        run_folder.write_result(folder, run.result)
    return placed


def _csv(run: Imported) -> str:
    """The history as text: each number in the fewest digits that give it back, none as nothing."""
    history = run.history.astype({"step": "int64"})
    # Several times as fast as pandas: json writes floats as repr does, a whole column in C.
    columns = (json.dumps(history[name].tolist())[1:-1] for name in history)
    cells = [text.replace("NaN", "").split(", ") for text in columns]
    lines = map(",".join, zip(*cells, strict=True)) if len(history) else ()
    return "\n".join([",".join(map(str, history.columns)), *lines, ""])


def _folder(name: str) -> str:
    """`name` as the path of a folder that lies below another, whatever it is made of."""
    parts = (re.sub(r"[^\w.=@+-]+", "_", part).strip(".")[:120] for part in name.split("/"))
    return "/".join(part for part in parts if part) or "run"


def _check_free(folder: Path) -> None:
    """Raise a ValueError if a run lies in `folder` that no importer wrote."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    try:
        ours = "imported" in json.loads(read_bytes(folder / run_folder.RESULT))
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise ValueError(f"to: {folder} holds files that were not imported: choose another folder")
