"""What a reader gives back: one run as its tool logged it, before anything is interpreted."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lrbench.files.reading import MEBIBYTE, ReadError, parse_yaml

MAX_LOG = 2048 * MEBIBYTE
NOT_FINITE = np.inf  # stands for a number that was logged and is NaN or infinite


@dataclass(frozen=True, kw_only=True)
class RawRun:
    """One run as it was logged.

    Attributes:
        name: its path below the source, with slashes.
        tool: what wrote the log, for people.
        rows: one row per record, oldest first, a column per name, float64; an empty cell (NaN)
            was not logged, and `NOT_FINITE` was logged as NaN or infinite.
        config: what the run recorded of its settings, flattened to ``a.b.c``.
        notes: what was left out while reading.
        ended: whether the tool says that the run came to its end; None where it says nothing.
    """

    name: str
    tool: str
    rows: pd.DataFrame
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    ended: bool | None = None


def wide(
    names: Sequence[str], ids: NDArray[np.intp], steps: NDArray[Any], values: NDArray[Any]
) -> pd.DataFrame:
    """Points in the order of logging as one row per stretch of points of the same step.

    Args:
        names: (K,) of the series.
        ids: (N,) index into `names` of each point.
        steps: (N,) its step.
        values: (N,) its value; NaN and infinite become `NOT_FINITE`.
    """
    if not len(steps):
        return pd.DataFrame(columns=["step", *names], dtype=np.float64)
    # A series that comes twice at one step begins a row of its own: the later value is the newer.
    row = np.concatenate([[0], np.cumsum(np.diff(steps) != 0)])
    table = np.full((row[-1] + 1, len(names)), np.nan)
    table[row, ids] = np.where(np.isfinite(values), values, NOT_FINITE)
    first = np.concatenate([[True], np.diff(row) > 0])
    return pd.DataFrame({"step": steps[first].astype(float)}).join(
        pd.DataFrame(table, columns=list(names))
    )


def numeric(column: pd.Series) -> pd.Series:
    """`column` as float64: texts such as ``nan`` are `NOT_FINITE`, those that are no number NaN."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    texts = column.astype("string").str.strip().str.lower()
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    spelt = texts.str.fullmatch(r"[-+]?(nan|inf|infinity)").fillna(False).to_numpy(dtype=bool)
    return pd.Series(np.where(spelt, NOT_FINITE, numbers), index=column.index)


def from_records(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table of records whose keys may differ; what is no number, and no text of one, is left."""

    def number(value: Any) -> Any:
        return NOT_FINITE if isinstance(value, float) and not np.isfinite(value) else value

    cleaned = [{str(k): number(v) for k, v in record.items()} for record in records]
    return pd.DataFrame(cleaned).apply(_numbers_or_texts)


def _numbers_or_texts(column: pd.Series) -> pd.Series:
    numbers = numeric(column)
    return column if numbers.isna().all() and column.notna().any() else numbers


def read_csv(data: bytes) -> tuple[pd.DataFrame, list[str]]:
    """The table in the CSV text `data`, and what was left out of it.

    Raises:
        ReadError: it is no such table.
    """
    notes = []
    header, newline, _ = data.partition(b"\n")
    separator = max(b",;\t", key=header.count)
    if not newline or not header.count(separator):
        raise ReadError("has no header with at least two columns and a line below it")
    body, _, last = data.rpartition(b"\n")
    if last and last.count(separator) < header.count(separator):
        data = body + b"\n"
        notes.append("its last line was half-written: left out")
    try:
        table = pd.read_csv(
            io.BytesIO(data), sep=chr(separator), on_bad_lines="skip", keep_default_na=False,
            na_values=["", "null", "None"], skipinitialspace=True, low_memory=False,
        )  # fmt: skip
    except (ValueError, UnicodeDecodeError) as error:  # pandas' ParserError is a ValueError
        raise ReadError(f"is no CSV ({' '.join(str(error).split())})") from error
    table.columns = [str(name).strip().lstrip("# ") for name in table.columns]
    if data.count(b"\n") - 1 != len(table) and b'"' not in data:
        lost = sum(1 for line in data.splitlines() if line.strip()) - 1 - len(table)
        notes += [f"{lost} lines that do not fit the header: left out"] if lost > 0 else []
    return table.loc[:, ~table.columns.duplicated()].apply(_numbers_or_texts), notes


def flat_yaml(text: str) -> dict[str, Any]:
    """The settings in a YAML or JSON text, flattened; empty where it is none that is read.

    Tags are never obeyed: a text that names Python objects is not read.
    """
    try:
        content = parse_yaml(text)
    except ReadError:
        return {}
    return flat(content) if isinstance(content, dict) else {}


def flat(node: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``{"a.b": value}``; what is no plain value is left out."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and set(value) <= {"value", "desc"} and "value" in value:
            value = value["value"]
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif isinstance(value, str | int | float):
            found[name] = value
    return found
