"""A folder of images as a list of files and a digest that changes with any of them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from lrbench.dataset.kinds import DatasetError


@dataclass(frozen=True)
class Tree:
    """The files of ``train/<class>/`` and ``test/<class>/`` below `root`.

    Attributes:
        class_names: the folders of train/, sorted; a class's place here is its label.
        files: paths below `root`: first train/, then test/, by class, then by name.
        train_counts, test_counts: files per class; the latter None without a test/ folder.
        num_bytes: size of all files together.
        digest: sha256 of every file's path, size and time of change.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...] | None
    num_bytes: int
    digest: str

    @property
    def num_train(self) -> int:
        return sum(self.train_counts)


def scan(root: Path) -> Tree:
    """List the images below `root`, without opening any.

    Every file is taken for an image, but those whose name begins with a dot are passed over.

    Raises:
        DatasetError: `root` is not laid out so, or a class has no images.
    """
    if not root.is_dir():
        raise DatasetError(f"dataset.root={root} is not a folder: name one that holds train/")
    try:
        class_names = _class_names(root / "train")
        if not class_names:
            raise DatasetError(
                f"dataset.root={root} has no train/<class>/ folders: give each class one"
            )
        train = [_files(root, f"train/{name}") for name in class_names]
        test = None
        if (root / "test").is_dir():
            for name in _class_names(root / "test"):
                if name not in class_names:
                    raise DatasetError(
                        f"{root / 'test' / name} is a class without a folder {root / 'train'}: "
                        "add one or remove it"
                    )
            test = [_files(root, f"test/{name}") for name in class_names]
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}") from error
    for name, files in zip(class_names, train, strict=True):
        if not files:
            raise DatasetError(f"class {name} has no images in {root / 'train' / name}: add some")
    if test is not None and not any(test):
        raise DatasetError(f"{root / 'test'} has no images: add some or remove it")
    entries = [entry for files in train + (test or []) for entry in files]
    lines = "".join(f"{path}\0{size}\0{time}\n" for path, size, time in entries)
    return Tree(
        root=root,
        class_names=class_names,
        files=tuple(path for path, _, _ in entries),
        train_counts=tuple(len(files) for files in train),
        test_counts=None if test is None else tuple(len(files) for files in test),
        num_bytes=sum(size for _, size, _ in entries),
        digest=hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest(),
    )


def _class_names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))


def _files(root: Path, folder: str) -> list[tuple[str, int, int]]:
    """(path below `root`, bytes, nanoseconds of last change) of each file, sorted."""
    if not (root / folder).is_dir():
        return []
    found = []
    with os.scandir(root / folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                raise DatasetError(
                    f"{entry.path} is a folder: images must lie directly in {root / folder}"
                )
            stat = entry.stat()
            if not S_ISREG(stat.st_mode):  # a pipe would be waited for, a device never ends
                raise DatasetError(f"{entry.path} is not a file: mend or remove it")
            found.append((f"{folder}/{entry.name}", stat.st_size, stat.st_mtime_ns))
    return sorted(found)
