"""Finding a published dataset's files, and trusting them only by their MD5 sums."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.dataset.kinds import DatasetError

if TYPE_CHECKING:
    from lrbench.dataset.publications import Publication

_LARGEST_BYTES = 200_000_000  # more than any file of these datasets, and far from filling memory


def find_files(root: Path, publication: Publication) -> dict[str, bytes]:
    """The verified contents, by name, of those files of `publication` that are under `root`.

    Each is looked for below `root` in torchvision's layout, in `root` itself, and in an archive
    that lies there.

    Raises:
        DatasetError: a file is damaged or cannot be read.
    """
    found = {}
    for name, sums in publication.md5.items():
        for path in (root / publication.folder / name, root / name):
            if path.is_file():
                found[name] = verified(_read(path), sums, path)
                break
    missing = [name for name in publication.md5 if name not in found]
    if missing and publication.archive and (root / publication.archive).is_file():
        found |= unpack(root / publication.archive, publication, missing)
    return found


def unpack(archive: Path, publication: Publication, names: Iterable[str]) -> dict[str, bytes]:
    """The verified contents of the files `names` in a tar `archive`; nothing is written.

    Raises:
        DatasetError: the archive or a file in it is damaged.
    """
    contents = {}
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                file = tar.extractfile(f"{publication.folder}/{name}")
                contents[name] = file.read(_LARGEST_BYTES) if file else b""
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error) as error:
        raise DatasetError(f"{archive} is damaged ({error}): delete it") from error
    return {
        name: verified(content, publication.md5[name], archive / name)
        for name, content in contents.items()
    }


def verified(content: bytes, sums: tuple[str, ...], path: Path) -> bytes:
    """`content`, read from `path`, if its MD5 sum is one of `sums`.

    Raises:
        DatasetError: it is not.
    """
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 not in sums:
        raise DatasetError(
            f"{path} is damaged (MD5 {md5}, expected {' or '.join(sums)}): "
            "delete it to have it downloaded again"
        )
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}): mend it") from error
