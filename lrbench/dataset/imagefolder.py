"""Your own images: a folder per class, decoded once into a cache."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.config.checks import require
from lrbench.dataset.base import ImageDataset
from lrbench.dataset.kinds import Images, Sizes

if TYPE_CHECKING:
    import numpy as np

    from lrbench.dataset.cache import CachedRows
    from lrbench.dataset.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageDataset):
    """Images in ``root/train/<class>/`` and, if there are such, ``root/val/`` and ``root/test/``.

    ``valid`` and ``validation`` are names for val, too, and capitals make no difference.

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
        """Counts the files; opens none."""
        from lrbench.dataset.split import part_size

        tree = self._tree()
        if tree is None:
            return None
        rest, val, test = (tree.count(split) for split in ("train", "val", "test"))
        assert rest is not None
        if test is None:
            test = part_size(rest, self.test_fraction)
            rest -= test
        if val is None:
            val = part_size(rest, self.val_fraction)
            rest -= val
        return Sizes(train=rest, val=val, test=test)

    def digest(self) -> str | None:
        tree = self._tree()
        return None if tree is None else tree.digest

    def _tree(self) -> Tree | None:
        from lrbench.dataset.tree import scan

        root = Path(self.root).expanduser()
        return scan(root) if root.is_dir() else None

    def read(self) -> Images:
        import numpy as np

        from lrbench.dataset.cache import cached_images
        from lrbench.dataset.memory import HEADROOM, free_host_memory
        from lrbench.dataset.tree import scan

        tree = scan(Path(self.root).expanduser())
        for name in tree.unread:
            log.warning("%s is not read: it is none of train, val and test", tree.root / name)
        images = cached_images(
            tree,
            Path(self.cache).expanduser(),
            in_channels=self.in_channels,
            image_size=self.image_size,
            verify_bytes=int(HEADROOM * free_host_memory()),
        )
        rows: dict[str, CachedRows] = {}
        labels: dict[str, np.ndarray] = {}
        start = 0
        for split, counts in tree.counts.items():
            stop = start + sum(counts)
            rows[split] = images.rows(start, stop)
            labels[split] = np.repeat(np.arange(len(tree.class_names)), counts)
            start = stop
        return Images(
            train_images=rows["train"],
            train_labels=labels["train"],
            val_images=rows.get("val"),
            val_labels=labels.get("val"),
            test_images=rows.get("test"),
            test_labels=labels.get("test"),
            test_fraction=self.test_fraction,
            class_names=tree.class_names,
            pixel_sums=images.pixel_sums[: sum(tree.counts["train"])],
            digest=tree.digest,
        )
