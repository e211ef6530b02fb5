"""Tables: rows of numbers and categories, of which one column is to be predicted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.config.checks import require, require_choice
from lrbench.dataset.base import Dataset
from lrbench.dataset.kinds import Arrays, DatasetError, Sizes

if TYPE_CHECKING:
    import pandas as pd

NUM_ROWS = {"diabetes": 442, "california_housing": 20_640}


@dataclass(frozen=True, kw_only=True)
class Table(Dataset):
    """Base of the tables: a subclass says where its rows come from.

    Numbers and truth values are told from texts by the columns' types in pandas. A target of texts
    or truth values is a class, one of numbers with fractions is a number.

    Attributes:
        target: the column to predict.
        numeric, categorical: columns, the target among them, whose kind is to be this one.
        ignore: columns to leave out.
        test_fraction: share of all rows kept for testing.
    """

    val_fraction: float
    test_fraction: float
    target: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    ignore: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = 0 < self.test_fraction < 1
        require(ok, "test_fraction", self.test_fraction, "must be in (0, 1)")
        lists = {"numeric": self.numeric, "categorical": self.categorical, "ignore": self.ignore}
        seen: dict[str, str] = {}
        for key, names in lists.items():
            for name in names:
                rule = f"names {name} that is in {seen.get(name)} already: leave one out"
                require(name not in seen, key, list(names), rule)
                seen[name] = key
        rule = f"names the target {self.target}: choose another target or leave it out"
        require(self.target not in self.ignore, "ignore", list(self.ignore), rule)

    @abstractmethod
    def rows(self) -> pd.DataFrame:
        """All rows, with the target and columns that `ignore` may name.

        Raises:
            DatasetError: there are none to be had.
        """

    def read(self) -> Arrays:
        from lrbench.dataset.columns import encode  # imports pandas

        return encode(self.rows(), self)


@dataclass(frozen=True, kw_only=True)
class TableFile(Table):
    """A table in a file of one's own: CSV, compressed or not, or Parquet.

    Attributes:
        path: the file; one that ends in ``.parquet`` needs pyarrow.
        separator: of a CSV's cells, one character.
        missing: texts of a CSV that stand for no value, besides pandas' own: empty, NA, NaN, …
    """

    path: str
    separator: str
    missing: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.separator) == 1, "separator", self.separator, "must be one character")

    def rows(self) -> pd.DataFrame:
        import pandas as pd

        path, where = Path(self.path).expanduser(), f"dataset.path={self.path}"
        if not path.is_file():  # pandas would take an address on the web, too
            raise DatasetError(f"{where} is not a file: name one that holds a table")
        try:
            if path.suffix == ".parquet":
                return pd.read_parquet(path)
            options = {"sep": self.separator, "encoding": "utf-8"}
            (names,) = pd.read_csv(
                path, header=None, nrows=1, dtype=str, keep_default_na=False, **options
            ).to_numpy()
            frame = pd.read_csv(path, na_values=list(self.missing), low_memory=False, **options)
        except ImportError as error:
            remedy = "pip install 'lr-schedule-bench[parquet]'"
            raise DatasetError(f"{where} needs a package that reads Parquet: {remedy}") from error
        except (OSError, ValueError, EOFError) as error:  # pandas' and pyarrow's are ValueErrors
            reason = " ".join(str(error).split())
            raise DatasetError(f"{where} cannot be read: {reason}: mend or replace it") from error
        if len(frame.columns) != len(names) or not isinstance(frame.index, pd.RangeIndex):
            raise DatasetError(
                f"{where} has rows of more cells than the {len(names)} names in its "
                "first line: mend it"
            )
        frame.columns = pd.Index(names)  # as they stand there; pandas tells equal ones apart
        return frame


@dataclass(frozen=True, kw_only=True)
class SklearnTable(Table):
    """A table that scikit-learn ships or downloads.

    A downloaded one lies in scikit-learn's own folder, as a file that runs code when it is read,
    so no config can name another.

    Attributes:
        name: a key of `NUM_ROWS`.
        download: fetch it where it is missing.
    """

    name: str
    download: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("name", self.name, NUM_ROWS)

    def sizes(self) -> Sizes:
        from lrbench.dataset.split import part_size

        test = part_size(NUM_ROWS[self.name], self.test_fraction)
        val = part_size(NUM_ROWS[self.name] - test, self.val_fraction)
        return Sizes(train=NUM_ROWS[self.name] - test - val, val=val, test=test)

    def rows(self) -> pd.DataFrame:
        from sklearn import datasets

        if self.name == "diabetes":
            return datasets.load_diabetes(as_frame=True, scaled=False).frame
        try:
            found = datasets.fetch_california_housing(
                as_frame=True, download_if_missing=self.download
            )
        except (OSError, ValueError) as error:
            home, reason = datasets.get_data_home(), " ".join(str(error).split())
            remedy = "write dataset.download=true" if not self.download else "try again"
            raise DatasetError(f"{home} has no {self.name} ({reason}): {remedy}") from error
        return found.frame
