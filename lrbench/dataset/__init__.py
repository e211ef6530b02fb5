"""Datasets: examples on the training device, and batches (inputs, targets) of them.

Importing this package imports neither torch nor any dataset library: `Dataset.load` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lrbench.dataset.base import Dataset, DatasetConfig, ImageDataset
from lrbench.dataset.digits import Digits
from lrbench.dataset.imagefolder import ImageFolder
from lrbench.dataset.kinds import Arrays, Augment, DatasetError, Images, Sizes
from lrbench.dataset.published import PublishedDataset
from lrbench.dataset.table import SklearnTable, Table, TableFile
from lrbench.dataset.text import PythonDocs, Shakespeare, Text, TextDataset

if TYPE_CHECKING:
    from lrbench.dataset.data import Batch, Data, EvalSplit, TrainSplit

__all__ = [
    "Arrays",
    "Augment",
    "Batch",
    "Data",
    "Dataset",
    "DatasetConfig",
    "DatasetError",
    "Digits",
    "EvalSplit",
    "ImageDataset",
    "ImageFolder",
    "Images",
    "PublishedDataset",
    "PythonDocs",
    "Shakespeare",
    "Sizes",
    "SklearnTable",
    "Table",
    "TableFile",
    "Text",
    "TextDataset",
    "TrainSplit",
]


def __getattr__(name: str) -> Any:
    if name in ("Batch", "Data", "EvalSplit", "TrainSplit"):
        from lrbench.dataset import data  # imports torch

        return getattr(data, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
