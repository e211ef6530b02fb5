"""Published datasets that torchvision knows: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100.

Files are found where torchvision puts them, or lying in the root itself as Debian puts them. None
is trusted before its MD5 sum is one of those below. torchvision is imported only to download:
importing it takes longer than reading the files.
"""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.checks import require_choice
from lrbench.dataset.base import Dataset, DatasetError, Images, Sizes

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Publication:
    """What is known of a dataset before it is read.

    Attributes:
        torchvision_class: its name in ``torchvision.datasets``.
        folder: where its files are, below the root.
        md5: accepted sums of each file: torchvision's and, for Fashion-MNIST, those of Debian's
            package, which holds the same data compressed again.
        class_names: empty where a file of the dataset tells them.
    """

    torchvision_class: str
    folder: str
    md5: Mapping[str, tuple[str, ...]]
    num_train: int
    num_test: int
    image_size: int
    in_channels: int
    num_classes: int
    class_names: tuple[str, ...] = ()


PUBLICATIONS = {
    "mnist": Publication(
        torchvision_class="MNIST",
        folder="MNIST/raw",
        md5={
            "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873",),
            "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432",),
            "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3",),
            "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c",),
        },
        num_train=60_000,
        num_test=10_000,
        image_size=28,
        in_channels=1,
        num_classes=10,
        class_names=tuple("0123456789"),
    ),
    "fashion_mnist": Publication(
        torchvision_class="FashionMNIST",
        folder="FashionMNIST/raw",
        md5={
            "train-images-idx3-ubyte.gz": (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "cf8536b0aa1a6ac5fa3f23001093305c",
            ),
            "train-labels-idx1-ubyte.gz": (
                "25c81989df183df01b3e8a0aad5dffbe",
                "10bea18fdb374794d4bb42e356e600c9",
            ),
            "t10k-images-idx3-ubyte.gz": (
                "bef4ecab320f06d8554ea6380940ec79",
                "f78720b4224f21cce2f2ccf2d7a94c9a",
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "bb300cfdad3c16e7a12a480ee83cd310",
                "0d30e22e447f3c33dab9ed536400ac01",
            ),
        },
        num_train=60_000,
        num_test=10_000,
        image_size=28,
        in_channels=1,
        num_classes=10,
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class PublishedDataset(Dataset):
    """One of the datasets above, with its official test set.

    Attributes:
        name: which one.
        root: folder with the files or the place to download to; ``~`` is the home folder.
        download: fetch what is missing, through torchvision.
    """

    name: str
    root: str
    download: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice("name", self.name, PUBLICATIONS)

    def sizes(self) -> Sizes | None:
        from lrbench.dataset.split import part_size

        publication = PUBLICATIONS[self.name]
        val = part_size(publication.num_train, self.val_fraction)
        return Sizes(
            train=publication.num_train - val,
            val=val,
            test=publication.num_test,
            in_channels=publication.in_channels,
            image_size=publication.image_size,
            num_classes=publication.num_classes,
        )

    def read(self) -> Images:
        publication = PUBLICATIONS[self.name]
        root = Path(self.root).expanduser()
        paths = {name: _find(root, publication.folder, name) for name in publication.md5}
        missing = [name for name, path in paths.items() if path is None]
        if missing:
            raise DatasetError(
                f"dataset.root={self.root} has no {missing[0]} and dataset.download={self.download}"
            )
        found = {
            name: _verified(path, publication.md5[name]) for name, path in paths.items() if path
        }
        return _read_idx(found, publication)


def _find(root: Path, folder: str, name: str) -> Path | None:
    """Where the file `name` is: below `root` in torchvision's layout, or in `root` itself."""
    for path in (root / folder / name, root / name):
        if path.is_file():
            return path
    return None


def _verified(path: Path, sums: tuple[str, ...]) -> bytes:
    """The content of the file at `path`, whose MD5 sum is one of `sums`."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 not in sums:
        raise DatasetError(
            f"{path} is damaged (MD5 {md5}, expected {sums[0]}): delete it to download it again"
        )
    return content


def _read_idx(files: Mapping[str, bytes], publication: Publication) -> Images:
    """Images and labels from four gzipped files of LeCun's idx format."""
    side = publication.image_size

    def read(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        images = _idx_array(files[f"{part}-images-idx3-ubyte.gz"], (count, side, side))
        labels = _idx_array(files[f"{part}-labels-idx1-ubyte.gz"], (count,))
        return images[..., None], labels.astype("int64")

    train_images, train_labels = read("train", publication.num_train)
    test_images, test_labels = read("t10k", publication.num_test)
    return Images(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=publication.class_names,
    )


def _idx_array(compressed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array: two zeros, type 8, number of dimensions, big-endian dimensions, then data."""
    import numpy as np

    content = gzip.decompress(compressed)
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    assert content.startswith(header), "the MD5 sum was right"
    return np.frombuffer(content, dtype=np.uint8, offset=len(header)).reshape(shape)
