"""Reading logs that are texts: CSV of any tool, JSON, Hugging Face's trainer_state.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lrbench.files.reading import ReadError, read_bytes
from lrbench.importer.names import RUN_COLUMNS
from lrbench.importer.raw import MAX_LOG, RawRun, flat, from_records, read_csv

_WANDB_EXPORT = re.compile(r"(?P<run>.+) - (?P<series>.+?)")
_WANDB_SPREAD = re.compile(r".+__(MIN|MAX)")


def read_table(path: Path, name: str) -> list[RawRun]:
    """The runs in a CSV file: one, or one for each value of its column that names runs."""
    table, notes = read_csv(read_bytes(path, MAX_LOG))
    return list(_runs(table, name, _csv_tool(table), tuple(notes)))


def _csv_tool(table: pd.DataFrame) -> str:
    """Whose CSV it looks like, for people; all are read alike."""
    names = list(map(str, table.columns))
    if "_step" in names or any(_WANDB_EXPORT.fullmatch(n) for n in names):
        return "W&B export"
    if {"epoch", "step"} <= set(names):
        return "Lightning CSV"
    if names[0] == "epoch":
        return "timm CSV" if any(n.startswith("eval_") for n in names) else "Keras CSV"
    return "CSV"


def _runs(table: pd.DataFrame, name: str, tool: str, notes: tuple[str, ...]) -> Iterator[RawRun]:
    """`table` cut into runs; one with a single row for each run says their settings."""
    spread = {match["run"] for c in table.columns if (match := _WANDB_EXPORT.fullmatch(str(c)))
              and not _WANDB_SPREAD.fullmatch(str(c))}  # fmt: skip
    if spread:  # exported from a chart: Step, "<run> - <series>", …
        x = [c for c in table.columns if not _WANDB_EXPORT.fullmatch(str(c))]
        for run in sorted(spread):
            own = [c for c in table.columns if str(c).startswith(f"{run} - ")
                   and not _WANDB_SPREAD.fullmatch(str(c))]  # fmt: skip
            rows = table[[*x, *own]].rename(columns=lambda c: str(c).removeprefix(f"{run} - "))  # noqa: B023
            yield RawRun(name=f"{name}/{run}", tool=tool, rows=_numbers(rows), notes=notes)
        return
    by = next((c for c in table.columns if str(c).lower() in RUN_COLUMNS), None)
    if by is None:
        yield RawRun(name=name, tool=tool, rows=_numbers(table), notes=notes)
    elif table[by].is_unique:
        for run, settings in table.set_index(by).iterrows():
            known = {str(k): v for k, v in settings.items() if pd.notna(v)}
            config = {k: v.item() if hasattr(v, "item") else v for k, v in known.items()}
            rows = pd.DataFrame()
            yield RawRun(name=f"{name}/{run}", tool="settings", rows=rows, config=config)
    else:
        for run, rows in table.groupby(by, sort=False):
            own = rows.drop(columns=by).reset_index(drop=True)
            yield RawRun(name=f"{name}/{run}", tool=tool, rows=_numbers(own), notes=notes)
            notes = ()


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.select_dtypes("number").astype(float)


def read_json(path: Path, name: str) -> list[RawRun]:
    """The run in a JSON file: a Trainer's state, a list of records, one a line, or columns."""
    text = read_bytes(path, MAX_LOG).decode(errors="replace")
    notes: tuple[str, ...] = ()
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ReadError("is nested too deeply") from error
    except ValueError:
        content, lost = [], 0
        for line in filter(str.strip, text.splitlines()):
            try:
                content.append(json.loads(line))
            except ValueError:
                lost += 1
        if not content:
            raise ReadError("is no JSON") from None
        notes = (f"{lost} lines are no JSON: left out",) if lost else ()
    if isinstance(content, dict) and isinstance(content.get("log_history"), list):
        return [_trainer_state(content, name)]
    columns = isinstance(content, dict) and content and all(
        isinstance(v, list) for v in content.values()
    )  # fmt: skip
    if columns:
        table = pd.DataFrame({k: pd.Series(v) for k, v in content.items()})
        records = table.to_dict("records")
    else:
        records = content if isinstance(content, list) else []
    if not records or not all(isinstance(record, Mapping) for record in records):
        raise ReadError("holds no records of numbers")
    return list(_runs(from_records(records), name, "JSON", notes))


def _trainer_state(state: Mapping[str, Any], name: str) -> RawRun:
    """A Hugging Face Trainer's run; of checkpoints' states the longest is kept by whoever merges.

    Its x is ``step``; the run is the folder that holds the checkpoints.
    """
    records = [r for r in state["log_history"] if isinstance(r, Mapping)]
    rows = from_records([r for r in records if "train_runtime" not in r])
    settings = {k: v for k, v in state.items() if isinstance(v, int | float | str)}
    taken, planned = state.get("global_step"), state.get("max_steps")
    folder = re.sub(r"(^|/)checkpoint-\d+$", "", name.rpartition("/")[0])
    ended = taken >= planned if isinstance(taken, int) and isinstance(planned, int) else None
    return RawRun(name=folder, tool="Hugging Face", rows=_numbers(rows),
                  config=flat(settings), ended=ended)  # fmt: skip
