"""Files, MD5 sums and sizes of MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Files, MD5 sums and sizes of one dataset.

    Attributes:
        torchvision_class: its name in ``torchvision.datasets``.
        folder: where its files are, below the root.
        archive: the tar file that they come in, or None where they come one by one.
        md5: accepted sums of each file: torchvision's and, for Fashion-MNIST, those of Debian's
            package: its gzip headers name no file and another date; the rest is the same.
        class_names: empty where a file of the dataset tells them.
    """

    torchvision_class: str
    folder: str
    archive: str | None = None
    md5: Mapping[str, tuple[str, ...]]
    num_train: int
    num_test: int
    image_size: int
    in_channels: int
    num_classes: int
    class_names: tuple[str, ...] = ()


_IDX_FILES = (
    *("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    *("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
)


def _idx(
    torchvision_class: str, md5: tuple[tuple[str, ...], ...], class_names: tuple[str, ...]
) -> Publication:
    """A dataset of the size and in the files of MNIST."""
    return Publication(
        torchvision_class=torchvision_class,
        folder=f"{torchvision_class}/raw",
        md5=dict(zip(_IDX_FILES, md5, strict=True)),
        num_train=60_000,
        num_test=10_000,
        image_size=28,
        in_channels=1,
        num_classes=10,
        class_names=class_names,
    )


PUBLICATIONS = {
    "mnist": _idx(
        "MNIST",
        (
            ("f68b3c2dcbeaaa9fbdd348bbdeb94873",),
            ("d53e105ee54ea40749a09fcbcd1e9432",),
            ("9fb629c4189551a2d022fa330f9573f3",),
            ("ec29112dd5afa0611ce80d1b7f02629c",),
        ),
        tuple("0123456789"),
    ),
    "fashion_mnist": _idx(
        "FashionMNIST",
        (
            ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "cf8536b0aa1a6ac5fa3f23001093305c"),
            ("25c81989df183df01b3e8a0aad5dffbe", "10bea18fdb374794d4bb42e356e600c9"),
            ("bef4ecab320f06d8554ea6380940ec79", "f78720b4224f21cce2f2ccf2d7a94c9a"),
            ("bb300cfdad3c16e7a12a480ee83cd310", "0d30e22e447f3c33dab9ed536400ac01"),
        ),
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker"),
            *("Bag", "Ankle boot"),
        ),
    ),
    "cifar10": Publication(
        torchvision_class="CIFAR10",
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        md5={
            "data_batch_1": ("c99cafc152244af753f735de768cd75f",),
            "data_batch_2": ("d4bba439e000b95fd0a9bffe97cbabec",),
            "data_batch_3": ("54ebc095f3ab1f0389bbae665268c751",),
            "data_batch_4": ("634d18415352ddfa80567beed471001a",),
            "data_batch_5": ("482c414d41f54cd18b22e5b47cb7c3cb",),
            "test_batch": ("40351d587109b95175f43aff81a1287e",),
            "batches.meta": ("5ff9c542aee3614f3951f8cda6e48888",),
        },
        num_train=50_000,
        num_test=10_000,
        image_size=32,
        in_channels=3,
        num_classes=10,
    ),
    "cifar100": Publication(
        torchvision_class="CIFAR100",
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        md5={
            "train": ("16019d7e3df5f24257cddd939b257f8d",),
            "test": ("f0ef6b0ae62326f3e7ffdfab6717acfc",),
            "meta": ("7973b15100ade9c7d40fb424638fde48",),
        },
        num_train=50_000,
        num_test=10_000,
        image_size=32,
        in_channels=3,
        num_classes=100,
    ),
}
