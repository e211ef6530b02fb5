"""The 1,797 digits that come with scikit-learn: nothing to download."""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from dataclasses import dataclass
from pathlib import Path

from lrbench.config.checks import require
from lrbench.dataset.base import ImageDataset
from lrbench.dataset.kinds import DatasetError, Images, Sizes

_NUM_IMAGES, _SIDE, _WHITE = 1797, 8, 16


@dataclass(frozen=True, kw_only=True)
class Digits(ImageDataset):
    """Handwritten digits, 8×8 grey (Alpaydin & Kaynak 1998), as scikit-learn ships them.

    There is no official test set. Values of 0 to 16 are multiplied by 15, which keeps their
    proportions and fits into a byte.

    Attributes:
        test_fraction: share of all images kept for testing.
    """

    test_fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        ok = 0 < self.test_fraction < 1
        require(ok, "test_fraction", self.test_fraction, "must be in (0, 1)")

    def sizes(self) -> Sizes | None:
        from lrbench.dataset.split import part_size

        test = part_size(_NUM_IMAGES, self.test_fraction)
        val = part_size(_NUM_IMAGES - test, self.val_fraction)
        return Sizes(
            train=_NUM_IMAGES - test - val,
            val=val,
            test=test,
        )

    def read(self) -> Images:
        import numpy as np

        # Read without importing scikit-learn, which takes a second.
        path = _digits_file()
        try:
            with gzip.open(path, "rt") as file:
                rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DatasetError(f"{path} is damaged ({error}): reinstall scikit-learn") from error
        if rows.shape != (_NUM_IMAGES, _SIDE * _SIDE + 1) or rows[:, :-1].max() > _WHITE:
            raise DatasetError(f"{path} does not hold the digits: reinstall scikit-learn")
        return Images(
            train_images=(rows[:, :-1] * 15).reshape(-1, _SIDE, _SIDE, 1),
            train_labels=rows[:, -1].astype(np.int64),
            test_images=None,
            test_labels=None,
            test_fraction=self.test_fraction,
            class_names=tuple("0123456789"),
        )


def _digits_file() -> Path:
    spec = importlib.util.find_spec("sklearn")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            return path
    raise DatasetError("the digits come with scikit-learn, which is not installed: install it")
