"""Tables: what their rows become, and what is refused; runs on them: tests/trainer."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from lrbench.dataset import DatasetError, SklearnTable, TableFile
from lrbench.dataset.split import split_off

N = 60
UNKNOWN = 3  # the row with a category that no training row has


def frame(**columns: Any) -> pd.DataFrame:
    """Numbers and categories with and without gaps, and a class."""
    random = np.random.default_rng(0)
    numbers = random.normal(5, 3, (2, N))
    numbers[1, ::7] = np.nan
    rare = random.choice(["a", "b", "c"], N)
    rare[UNKNOWN] = "once"
    made = {"x": numbers[0], "y": numbers[1], "size": random.integers(1, 99, N), "rare": rare}
    made |= {"gaps": [None if i % 9 == 0 else "AB"[i % 2] for i in range(N)]}
    made |= {"on": random.random(N) < 0.5, "target": random.choice(["cat", "dog", "eel"], N)}
    return pd.DataFrame(made | columns)


def given(
    table: pd.DataFrame | str, folder: Path, suffix: str = "csv", **changes: Any
) -> TableFile:
    """The data set of `table`, a frame or a file's text, in a new file."""
    path = folder / f"table.{suffix}"
    if isinstance(table, str):
        path.write_text(table)
    elif suffix == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    keys: dict[str, Any] = {"val_fraction": 0.15, "test_fraction": 0.3, "split_seed": 0}
    keys |= {"numeric": (), "categorical": (), "ignore": (), "target": "target"}
    return TableFile(**(keys | {"path": str(path), "separator": ",", "missing": ()} | changes))


def test_rows_become_what_scikit_learn_makes_of_them(tmp_path: Path) -> None:
    table = frame()
    classes, labels = np.unique(table["target"], return_inverse=True)
    for suffix in ("csv", "csv.gz", "parquet"):
        arrays = given(table, tmp_path, suffix).read()
        train, val, test = split_off(
            labels, N, val=None, test=None, val_fraction=0.15, test_fraction=0.3, seed=0,
            names=tuple(classes), unit="rows",
        )  # fmt: skip
        assert UNKNOWN not in train, "every category is known: nothing tested"
        numbers = SimpleImputer(strategy="constant", fill_value=0, add_indicator=True)
        oracle = make_column_transformer(
            (make_pipeline(StandardScaler(), numbers), ["x", "y", "size"]),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["rare", "gaps", "on"]),
            sparse_threshold=0,
        ).fit(table.iloc[train])
        assert (arrays.categories, arrays.num_values) == ((3, 3, 2), 3)
        for split, rows in ((arrays.train, train), (arrays.val, val), (arrays.test, test)):
            assert split is not None
            expected = oracle.transform(table.iloc[rows])
            np.testing.assert_allclose(split[0], expected, rtol=1e-6, atol=1e-6)
            np.testing.assert_array_equal(split[1], labels[rows])


def test_types_can_be_said(tmp_path: Path) -> None:
    texts, truths = ["a", "b", "c"] * (N // 3), [True, False] * (N // 2)
    table = frame(size=np.arange(N) % 3, rare=texts, on=truths, target=np.arange(N) % 5)
    table["y"] = table["y"].map("{:.1f}".format).replace("nan", "?")
    lists: dict[str, Any] = {"categorical": ("size",), "numeric": ("on", "target")}
    arrays = given(table, tmp_path, missing=("?",), ignore=("gaps",), **lists).read()
    assert arrays.categories == (3, 3)  # size, rare
    assert arrays.train[0].shape[1] == 3 + 1 + 6  # x, y, on; where y is missing; the categories
    assert (arrays.num_values, arrays.train[1].dtype) == (None, np.float64)
    classes = given(table, tmp_path, missing=("?",), categorical=("target",)).read()
    assert classes.num_values == 5
    text = "a b;target\n" + "1;x\n2;y\n4;x\n" * 9
    assert given(text, tmp_path, separator=";").read().train[0].shape[1] == 1


def test_diabetes_is_scikit_learns() -> None:
    common: dict[str, Any] = {"numeric": (), "categorical": (), "ignore": (), "split_seed": 0}
    common |= {"val_fraction": 0.15, "test_fraction": 0.2, "target": "target", "download": False}
    dataset = SklearnTable(name="diabetes", **common)
    data = dataset.load(torch.device("cpu"), channels_last=False)
    sizes = dataset.sizes()
    assert (len(data.train), len(data.val), len(data.test)) == (sizes.train, sizes.val, sizes.test)
    inputs, targets = data.train.batch(0, seed=0, batch_size=len(data.train))
    torch.testing.assert_close(inputs.mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(10))
    every = load_diabetes(scaled=False).target
    parts = [targets, *(t for split in (data.val, data.test) for _, t in split.batches(500))]
    assert sorted(torch.cat(parts).tolist()) == sorted(every)


ROWS = "x,y,target\n" + "".join(f"{i},{i * i % 7},{i % 3}.5\n" for i in range(20))
WRONG: list[tuple[str, dict[str, Any], str]] = [
    (ROWS, {"path": "nowhere.csv"}, r"dataset\.path=nowhere\.csv is not a file: name one"),
    (ROWS, {"path": "."}, r"dataset\.path=\. is not a file"),
    ("", {}, r"dataset\.path=\S+ cannot be read: No columns to parse from file: mend or replace"),
    ("x,target\n", {}, r"the table has no rows: give it some"),
    ("x,target\n1,2,3\n" * 3, {}, r"dataset\.path=\S+ has rows of more cells than the 2 names"),
    ("x,target\n1,2\n1,2,3\n", {}, r"dataset\.path=\S+ cannot be read: .*Expected 2 fields in"),
    ("target\n1.5\n2.5\n", {}, r"the table has no column besides target: give it some"),
    (ROWS, {"target": "targt"}, r"dataset\.target=targt: the table has no such column; did you me"),
    (ROWS, {"ignore": ("z",)}, r"dataset\.ignore=z: the table has no such column \(x, y, target"),
    (ROWS.replace("y", "x", 1), {}, r"the table has two columns x: give each a name of its own"),
    (ROWS.replace("y", "", 1), {}, r"the table's column 2 has no name: give it one"),
    (ROWS.replace("1.5", "", 2), {}, r"the table's target target has no value in 2 rows, the first "
     r"of them row 2: fill"),
    (ROWS.replace("1.5", "inf", 1), {}, r".* has in row 2 inf, no finite number: mend it or: write "
     r"dataset\.target=ANOTHER"),
    (re.sub(r"\d\.5", "1", ROWS), {}, r"the table's target target is the same in all rows"),
    (ROWS.replace(".5", ""), {}, r"the table's target target has 3 different whole numbers, which "
     r"may be .*: write dataset\.numeric=\[target\] or: write dataset\.categorical=\[target\]"),
    (re.sub(r",\d,", ",5,", ROWS), {}, r"the table's column y, the same in all training rows .*: "
     r"write dataset\.ignore=\[y\]"),
    (re.sub(r",\d,", ",,", ROWS), {"ignore": ("x",)}, r"the table's column y, the same in all .*"
     r"write dataset\.ignore=\[x,y\]"),
    (ROWS.replace("0,0", "0,many", 1), {}, r"the table's column y has in row 1 many, no finite num"
     r"ber: mend it or: write dataset\.categorical=\[y\]"),
    (re.sub(r",\d,", ",a b,", ROWS), {"numeric": ("x", "y")}, r".* column y has in row 1 a b, no fi"
     r"nite number: mend it or: write dataset\.numeric=\[x\]"),
    (re.sub(r"(\d+),\d,", r"\1,name\1,", ROWS), {}, r"the table's column y has 12 texts in 12 train"
     r"ing rows, too many to learn: write dataset\.ignore=\[y\]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "changes", "said"), WRONG, ids=range(len(WRONG)))
def test_wrong_tables(text: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"^{said}") as caught:
        given(text, tmp_path, **changes).read()
    assert "\n" not in str(caught.value)


def damaged(path: Path) -> None:
    path.write_bytes(b"PAR1 no more")


def with_lists(path: Path) -> None:
    pd.DataFrame({"x": [[1, 2]] * 9, "target": np.arange(9) / 2}).to_parquet(path)


def with_dates(path: Path) -> None:
    dates = pd.date_range("2026-01-01", periods=9)
    pd.DataFrame({"when": dates, "target": np.arange(9) / 2}).to_parquet(path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (damaged, r"dataset\.path=\S+ cannot be read: .*mend or replace it"),
        (
            with_lists,
            r"the table's column x holds mixed, neither numbers nor texts: write dataset\.i",
        ),
        (with_dates, r"the table's column when holds datetime64, neither numbers nor texts: write"),
    ],
)
def test_wrong_parquet_files(write: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=said):
        given("", tmp_path, path=str(tmp_path / "a.parquet")).read()
