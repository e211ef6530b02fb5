"""A folder of images as a list of files and digests that change with any of them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from lrbench.dataset.kinds import DIGEST_CHARACTERS, DatasetError

log = logging.getLogger(__name__)

ROLES = {"train": "train", "test": "test"}  # of a folder, by its name in any case
ROLES |= dict.fromkeys(("val", "valid", "validation"), "val")
# What file managers leave beside images.
LITTER = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Tree:
    """The files of ``train/<class>/``, ``val/<class>/`` and ``test/<class>/`` below `root`.

    Attributes:
        class_names: the folders of train/, sorted; a class's place here is its label.
        files: paths below `root`: train/, val/ and test/ in turn, by class, then by name.
        counts: files per class, of each of ``train``, ``val`` and ``test`` that there is.
        num_bytes: size of all files together.
        state: sha256 of every file's path, size and time of change.
        digest: of every file's path and size: a copy of the folder has the same.
        unread: folders in `root` that are none of these.
    """

    root: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    num_bytes: int
    state: str
    digest: str
    unread: tuple[str, ...]

    def count(self, split: str) -> int | None:
        """The number of files in `split`; None where there is no such folder."""
        return sum(self.counts[split]) if split in self.counts else None


def scan(root: Path) -> Tree:
    """List the images below `root`, without opening any.

    Every file is taken for an image, but those whose name begins with a dot or is in `LITTER`.

    Raises:
        DatasetError: `root` is not laid out so, or a class has no images.
    """
    if not root.is_dir():
        raise DatasetError(f"dataset.root={root} is not a folder: name one that holds train/")
    try:
        folders, unread = _splits(root)
        class_names = _folders(root / folders["train"]) if "train" in folders else ()
        if not class_names:
            raise DatasetError(
                f"dataset.root={root} has no train/<class>/ folders: give each class one"
            )
        found = {name: _split(root, path, class_names) for name, path in folders.items()}
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}") from error
    for name, files in zip(class_names, found["train"], strict=True):
        if not files:
            place = root / folders["train"] / name
            raise DatasetError(f"class {name} has no images in {place}: add some")
    ordered = {split: found[split] for split in ("train", "val", "test") if split in found}
    entries = [entry for split in ordered.values() for files in split for entry in files]
    states = "".join(f"{path}\0{size}\0{time}\n" for path, size, time in entries)
    contents = "".join(f"{path}\0{size}\n" for path, size, _ in entries)
    return Tree(
        root=root,
        class_names=class_names,
        files=tuple(path for path, _, _ in entries),
        counts={name: tuple(len(files) for files in split) for name, split in ordered.items()},
        num_bytes=sum(size for _, size, _ in entries),
        state=_sha256(states),
        digest=_sha256(contents)[:DIGEST_CHARACTERS],
        unread=unread,
    )


def _splits(root: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """The folder of each split, and those that are of none."""
    folders: dict[str, str] = {}
    unread = []
    for name in _folders(root):
        split = ROLES.get(name.lower())
        if split is None:
            unread.append(name)
        elif split in folders:
            raise DatasetError(
                f"dataset.root={root} has {folders[split]}/ and {name}/, both for {split}: "
                "join them or rename one"
            )
        else:
            folders[split] = name
    return folders, tuple(unread)


def _split(
    root: Path, folder: str, class_names: tuple[str, ...]
) -> list[list[tuple[str, int, int]]]:
    """The files of each class in `folder`."""
    for name in _folders(root / folder):
        if name not in class_names:
            raise DatasetError(
                f"{root / folder / name} is a class without a folder in {root / 'train'}: "
                "add one or remove it"
            )
    found = [_files(root, f"{folder}/{name}") for name in class_names]
    if not any(found):
        raise DatasetError(f"{root / folder} has no images: add some or remove it")
    return found


def _folders(folder: Path) -> tuple[str, ...]:
    with os.scandir(folder) as entries:
        return tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))


def _files(root: Path, folder: str) -> list[tuple[str, int, int]]:
    """(path below `root`, bytes, nanoseconds of last change) of each file, sorted."""
    if not (root / folder).is_dir():
        return []
    found = []
    with os.scandir(root / folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in LITTER:
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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
