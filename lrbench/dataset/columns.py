"""From a table's columns to the numbers that a model is given, as the training rows say."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pandas as pd
from pandas.api import types

from lrbench.config.checks import nearest
from lrbench.dataset.kinds import Arrays, DatasetError
from lrbench.dataset.split import split_off

if TYPE_CHECKING:
    from lrbench.dataset.table import Table

log = logging.getLogger(__name__)

# What pandas calls the kinds of values that a column may hold.
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
TEXTS = ("string", "categorical", "boolean", "mixed-integer", "empty")
FEW_VALUES = 20  # of whole numbers: a target with more is no class by mistake


def encode(frame: pd.DataFrame, table: Table) -> Arrays:
    """The three splits of `frame`, as `table` says, with inputs float32 (N, width).

    First the numeric columns, less the mean of the training rows and over their standard deviation,
    with 0, the mean, where a value is missing. Then 1 for a missing value and else 0, for each
    column that misses any in the training rows. Then a block for each categorical column, all 0
    but for a 1 at the row's category; a missing value is a category where the training rows miss
    any, and a category that is not in the training rows has no 1 at all: a weight that training
    never saw would be noise.

    Raises:
        DatasetError: the table has not the columns that are named, or none that can be learnt from.
    """
    _check_names(frame, table)
    frame = frame.rename(columns=str).drop(columns=list(table.ignore)).reset_index(drop=True)
    targets, classes = _targets(frame[table.target], table)
    train, val, test = split_off(
        targets if classes else np.zeros(len(frame), np.int64),
        len(frame),
        val=None,
        test=None,
        val_fraction=table.val_fraction,
        test_fraction=table.test_fraction,
        seed=table.split_seed,
        names=classes or ("",),
        unit="rows",
    )
    columns = frame.drop(columns=table.target)
    numeric = [name for name in columns if _is_numeric(columns[name], table, train)]
    categorical = [name for name in columns if name not in numeric]
    _check_constant(columns.iloc[train], table)
    numbers = _numbers(columns[numeric], train)
    blocks = [_one_hot(columns[name], train) for name in categorical]
    inputs = np.concatenate([*numbers, *blocks], axis=1, dtype=np.float32)
    log.info(
        "table: numeric %s; categorical %s; target %s: %s",
        ", ".join(numeric) or "none",
        ", ".join(categorical) or "none",
        table.target,
        f"{len(classes)} classes" if classes else "a number",
    )
    splits = [(inputs[rows], targets[rows]) for rows in (train, val, test)]
    return Arrays(
        train=splits[0],
        val=splits[1],
        test=splits[2],
        num_values=len(classes) or None,
        categories=tuple(block.shape[1] for block in blocks),
    )


def _refuse(what: str, key: str, names: Sequence[str]) -> NoReturn:
    """Raise the DatasetError that says `what`, and that `key` should hold `names`."""
    value = names[0] if key == "target" else _listed(names)
    raise DatasetError(f"the table's {what}: write dataset.{key}={value}")


def _listed(names: Sequence[str]) -> str:
    """`names` as a list on the command line."""
    return f"[{','.join(n if n.replace('_', '').isalnum() else repr(n) for n in names)}]"


def _check_names(frame: pd.DataFrame, table: Table) -> None:
    """Refuse names that are missing or no names, and a table without rows."""
    names = [str(name) for name in frame.columns]
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise DatasetError(f"the table's column {number} has no name: give it one")
        if names.index(name) < number - 1:
            raise DatasetError(f"the table has two columns {name}: give each a name of its own")
    named = {"target": (table.target,), "numeric": table.numeric}
    named |= {"categorical": table.categorical, "ignore": table.ignore}
    for key, given in named.items():
        for name in given:
            if name not in names:
                known = nearest(name, names) or f" ({', '.join(names[:10])}, …)"
                raise DatasetError(f"dataset.{key}={name}: the table has no such column{known}")
    if not len(frame):
        raise DatasetError("the table has no rows: give it some")
    if len(names) == 1 + len(table.ignore):
        raise DatasetError(f"the table has no column besides {table.target}: give it some")


def _targets(column: pd.Series, table: Table) -> tuple[np.ndarray, tuple[str, ...]]:
    """The targets, and their classes' names; none where they are numbers, float64 (N,)."""
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise DatasetError(
            f"the table's target {column.name} has no value in {len(missing)} rows, the first of "
            f"them row {missing[0] + 1}: fill them in or take them out"
        )
    is_numeric = _is_numeric(column, table, None)
    values = column.nunique()
    if values == 1:
        raise DatasetError(
            f"the table's target {column.name} is the same in all rows: name another"
        )
    whole = types.is_integer_dtype(column) and values <= FEW_VALUES
    if is_numeric and whole and column.name not in table.numeric:
        _refuse(
            f"target {column.name} has {values} different whole numbers, which may be numbers or "
            f"classes: write dataset.numeric={_listed([*table.numeric, column.name])} or",
            "categorical",
            [*table.categorical, column.name],
        )
    if is_numeric:
        return _as_numbers(column), ()
    names, labels = np.unique(column.map(str).to_numpy(dtype=object), return_inverse=True)
    return labels.astype(np.int64), tuple(names)


def _is_numeric(column: pd.Series, table: Table, train: np.ndarray | None) -> bool:
    """Whether `column` holds numbers rather than categories; `train`: None for the target.

    Raises:
        DatasetError: it holds neither, or both, or numbers that are not finite.
    """
    name, kind = str(column.name), types.infer_dtype(column, skipna=True)
    without = ("target", ["ANOTHER"]) if train is None else ("ignore", [*table.ignore, name])
    if kind not in NUMBERS + TEXTS:
        _refuse(f"column {name} holds {kind}, neither numbers nor texts", *without)
    forced = name in table.numeric
    if name in table.categorical or (kind == "boolean" and not forced):
        return False
    present, numbers = column.notna().to_numpy(), _as_numbers(column)
    wrong = np.flatnonzero(present & ~np.isfinite(numbers))
    if len(wrong) and (forced or kind in NUMBERS or len(wrong) <= present.sum() / 2):
        remedy = "categorical", [*table.categorical, name]
        if kind in NUMBERS:
            remedy = without
        elif forced:
            remedy = "numeric", [other for other in table.numeric if other != name]
        row = wrong[0]
        _refuse(
            f"column {name} has in row {row + 1} {column.iloc[row]}, no finite number: mend it or",
            *remedy,
        )
    if not len(wrong):
        return True
    texts = 0 if train is None else column.iloc[train].nunique()
    if train is not None and texts > len(train) / 2:
        _refuse(
            f"column {name} has {texts} texts in {len(train)} training rows, too many to learn",
            *without,
        )
    return False


def _as_numbers(column: pd.Series) -> np.ndarray:
    """Its values, float64 (N,); NaN where one is missing or is no number."""
    plain = column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column
    numbers = pd.to_numeric(plain, errors="coerce")
    found: np.ndarray = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return found


def _check_constant(columns: pd.DataFrame, table: Table) -> None:
    """Refuse columns that are the same in every training row that has a value."""
    same = [name for name in columns if columns[name].nunique() <= 1]
    if same:
        what = f"column{'s'[len(same) == 1 :]} {', '.join(same)}, the same in all training rows"
        _refuse(
            f"{what} but those without a value: they tell nothing", "ignore", [*table.ignore, *same]
        )


def _numbers(columns: pd.DataFrame, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardised values, (N, columns), and what is missing, (N, columns that miss any)."""
    values = np.array([_as_numbers(columns[name]) for name in columns], dtype=np.float64)
    values = values.reshape(columns.shape[::-1]).T
    missing = np.isnan(values)
    standard = (values - np.nanmean(values[train], 0)) / np.nanstd(values[train], 0)
    return np.where(missing, 0, standard), missing[:, missing[train].any(0)]


def _one_hot(column: pd.Series, train: np.ndarray) -> np.ndarray:
    """(N, categories of the training rows), with one 1 a row; all 0 in one of another category."""
    texts = column.astype(object).map("={}".format, na_action="ignore").fillna("missing")
    values = texts.to_numpy(dtype=object)
    known = pd.Index(np.unique(values[train]))
    return np.eye(len(known) + 1, len(known), dtype=np.float32)[known.get_indexer(values)]
