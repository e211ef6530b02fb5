"""Your own images: a folder per class, decoded once into a cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrbench.config.checks import require
from lrbench.dataset.kinds import Dataset, Images, Sizes


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Dataset):
    """Images in ``root/train/<class>/`` and, if there is one, ``root/test/<class>/``.

    Attributes:
        root: the folder; ``~`` is the home folder.
        cache: where decoded images are kept.
        image_size: side in pixels: images are scaled until their shorter side fits, and their
            middle is taken; None where all are square and of one size already.
        in_channels: 3 for colour, 1 for grey; images are converted.
        test_fraction: share of the images kept for testing where there is no test/ folder.
    """

    root: str
    cache: str
    image_size: int | None
    in_channels: int
    test_fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.image_size
        require(size is None or size >= 1, "image_size", size, "must be 1 or more, or null")
        require(self.in_channels in (1, 3), "in_channels", self.in_channels, "must be 1 or 3")
        ok = 0 < self.test_fraction < 1
        require(ok, "test_fraction", self.test_fraction, "must be in (0, 1)")

    def sizes(self) -> Sizes | None:
        """Counts the files; the images' size is known once they were decoded."""
        from lrbench.dataset.cache import DamagedCacheError, cache_home, open_cache
        from lrbench.dataset.split import part_size
        from lrbench.dataset.tree import scan

        root = Path(self.root).expanduser()
        if not root.is_dir():
            return None
        tree = scan(root)
        image_size = self.image_size
        if image_size is None:
            home = cache_home(
                root, self._cache(), in_channels=self.in_channels, image_size=image_size
            )
            try:
                images = open_cache(home / tree.digest[:32])
                image_size = images.meta.shape[1] if images else None
            except (DamagedCacheError, OSError):  # `read` will tell
                image_size = None
        if tree.test_counts is not None:
            test, rest = sum(tree.test_counts), tree.num_train
        else:
            test = part_size(tree.num_train, self.test_fraction)
            rest = tree.num_train - test
        val = part_size(rest, self.val_fraction)
        return Sizes(
            train=rest - val,
            val=val,
            test=test,
            in_channels=self.in_channels,
            image_size=image_size,
            num_classes=len(tree.class_names),
        )

    def read(self) -> Images:
        import numpy as np

        from lrbench.dataset.cache import cached_images
        from lrbench.dataset.memory import HEADROOM, free_host_memory
        from lrbench.dataset.tree import scan

        tree = scan(Path(self.root).expanduser())
        images = cached_images(
            tree,
            self._cache(),
            in_channels=self.in_channels,
            image_size=self.image_size,
            verify_bytes=int(HEADROOM * free_host_memory()),
        )
        labels = np.arange(len(tree.class_names))
        test = tree.test_counts
        return Images(
            train_images=images.rows(0, tree.num_train),
            train_labels=np.repeat(labels, tree.train_counts),
            test_images=None if test is None else images.rows(tree.num_train, len(tree.files)),
            test_labels=None if test is None else np.repeat(labels, test),
            test_fraction=None if test is not None else self.test_fraction,
            class_names=tree.class_names,
            pixel_sums=images.pixel_sums[: tree.num_train],
        )

    def _cache(self) -> Path:
        return Path(self.cache).expanduser()
