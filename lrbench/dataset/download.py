"""Downloading a published dataset through torchvision, whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.dataset.files import unpack, verified
from lrbench.dataset.kinds import DatasetError

if TYPE_CHECKING:
    from lrbench.dataset.publications import Publication

_TIMEOUT_SECONDS = 30.0  # without a byte from the server


def download(root: Path, publication: Publication, names: Iterable[str]) -> dict[str, bytes]:
    """Fetch the files `names` of `publication` into torchvision's layout under `root`.

    They arrive in a temporary folder and move to their places once their sums are right, so an
    interrupted download leaves no file that looks like one of the dataset.

    Returns:
        the contents by name.

    Raises:
        DatasetError: no server gave the right files, or they cannot be written.
    """
    from torchvision import datasets

    source = getattr(datasets, publication.torchvision_class)
    folder = root / publication.folder
    with _written(root) as temporary:
        folder.mkdir(parents=True, exist_ok=True)
        if publication.archive:
            archive = _fetch([source.url], temporary / publication.archive, source.tgz_md5)
            contents = unpack(archive, publication, names)
        else:
            contents = {}
            sums = dict(source.resources)
            for name in names:
                urls = [mirror + name for mirror in source.mirrors]
                path = _fetch(urls, temporary / name, sums[name])
                contents[name] = verified(path.read_bytes(), publication.md5[name], path)
        for name, content in contents.items():
            arrived = temporary / "arrived"
            arrived.write_bytes(content)
            os.replace(arrived, folder / name)
    return contents


def download_file(url: str, path: Path, md5: str) -> None:
    """Fetch the file at `url`, which has the sum `md5`, to `path`, whole or not at all.

    Raises:
        DatasetError: as for `download`.
    """
    with _written(path.parent) as temporary:
        os.replace(_fetch([url], temporary / path.name, md5), path)


@contextlib.contextmanager
def _written(root: Path) -> Iterator[Path]:
    """A temporary folder in `root`, of whose faults the message names the key."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as temporary:
            yield Path(temporary)
    except OSError as error:
        raise DatasetError(
            f"dataset.root={root} cannot be written ({error.strerror}): choose another folder "
            "or make room"
        ) from error


def _fetch(urls: list[str], path: Path, md5: str) -> Path:
    """Download the first of `urls` that gives a file with the sum `md5` to `path`."""
    from torchvision.datasets.utils import download_url

    faults = []
    for url in urls:
        try:
            with _socket_timeout(_TIMEOUT_SECONDS):
                download_url(url, str(path.parent), filename=path.name, md5=md5)
            return path
        except (OSError, RuntimeError, RecursionError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and (
                error.filename == str(path) or error.errno in (errno.ENOSPC, errno.EDQUOT)
            ):
                raise  # the disk, not the network
            reason = getattr(error, "reason", None) or error
            if type(error) is RuntimeError:
                reason = "the file is incomplete or damaged"
            faults.append(f"{url}: {reason}")
    raise DatasetError(
        f"{path.name} could not be downloaded ({'; '.join(faults)}): try again later, or set "
        "dataset.root to a folder that holds it"
    )


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Let no connection made meanwhile wait longer than `seconds` for the other side."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
