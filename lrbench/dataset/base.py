"""The configurations that all datasets have, and those that all datasets of images have."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from lrbench.config.checks import require
from lrbench.dataset.kinds import Arrays, Augment, Images, Sizes

if TYPE_CHECKING:
    import torch

    from lrbench.dataset.data import Data


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(ABC):
    """What a config says of a dataset."""

    def sizes(self) -> Sizes | None:
        """Split sizes from the configuration or the files' names alone, or None if unknowable.

        Imports neither torch nor the dataset, downloads nothing and decodes nothing.

        Raises:
            DatasetError: the dataset is there, but laid out wrongly.
        """
        return None

    def digest(self) -> str | None:
        """The digest of the data that `load` gives; None where only reading them tells."""
        return None

    @abstractmethod
    def load(self, device: torch.device, *, channels_last: bool) -> Data:
        """Read, split and place the dataset, ready for batches on `device`.

        Args:
            device: where batches are wanted; the examples are kept there too if they fit.
            channels_last: give batches of images channels_last strides.

        Raises:
            DatasetError: the dataset cannot be read, or is too small for its splits.
        """


@dataclass(frozen=True, kw_only=True)
class Dataset(DatasetConfig):
    """Base of the datasets of examples split at random: a subclass says how to `read` them.

    Attributes:
        val_fraction: share of the training examples kept for validation, where `read` gives none;
            of classes, the same of each. None where `read` gives some.
        split_seed: seed of every split; independent of the run's seed.
    """

    val_fraction: float | None
    split_seed: int

    def __post_init__(self) -> None:
        fits = self.val_fraction is None or 0 < self.val_fraction < 1
        require(fits, "val_fraction", self.val_fraction, "must be in (0, 1)")
        require(self.split_seed >= 0, "split_seed", self.split_seed, "must be 0 or more")

    @abstractmethod
    def read(self) -> Arrays | Images:
        """Read the dataset, downloading or decoding it first where that is needed.

        Raises:
            DatasetError: a file is missing, damaged or unreadable.
        """

    def load(self, device: torch.device, *, channels_last: bool) -> Data:
        del channels_last
        from lrbench.dataset.arrays import assemble  # imports torch

        return assemble(
            type(self).__name__,
            cast("Arrays", self.read()),  # which `assemble` sees to
            device,
            val_fraction=self.val_fraction,
            split_seed=self.split_seed,
        )


@dataclass(frozen=True, kw_only=True)
class ImageDataset(Dataset):
    """Base of the datasets of images of one class each, whose `read` gives `Images`.

    Attributes:
        mean, std: per channel, where black is 0 and white is 1; None measures the training images.
        augment: what is done to training images at random.
    """

    val_fraction: float
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    augment: Augment

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean is not None and not all(math.isfinite(m) for m in self.mean):
            raise ValueError(f"mean={list(self.mean)} must be finite numbers")
        if self.std is not None and not all(0 < s < math.inf for s in self.std):
            raise ValueError(f"std={list(self.std)} must be finite numbers above 0")
        if (self.mean is None) != (self.std is None):
            name = "mean" if self.mean is None else "std"
            raise ValueError(f"{name}=None must be given where the other of mean and std is")

    @abstractmethod
    def read(self) -> Images: ...

    def load(self, device: torch.device, *, channels_last: bool) -> Data:
        from lrbench.dataset.images import assemble  # imports torch

        return assemble(
            type(self).__name__,
            self.read(),
            device,
            val_fraction=self.val_fraction,
            split_seed=self.split_seed,
            mean=self.mean,
            std=self.std,
            augment=self.augment,
            channels_last=channels_last,
        )
