"""Decoded images in a file that later runs map into memory.

A cache folder belongs to one image folder and one set of options. It holds, for a state of the
image folder, a folder named after that state with

    images     uint8 (N, H, W, C)
    sums       int64 (N, 2, C): each image's sum of values and of squares
    meta.json  a sha256 of the rest, then: shape, images per chunk, CRC-32 of each chunk and of sums

While that is being made its name ends in ``.partial``; what a killed process leaves of it is made
anew. A lock keeps a second process from decoding the same images at the same time. Nothing is
followed or removed that is a link, and nothing removed that is not named as above.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import math
import mmap
import os
import re
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lrbench.dataset.kinds import DatasetError
from lrbench.dataset.tree import Tree, scan

log = logging.getLogger(__name__)

_CHUNK_BYTES = 2**20
_MAX_CHUNK_IMAGES = 1024
DECODING = 2  # how images are decoded; another number for another way
FILES = ("images", "sums", "meta.json")
_STATE = re.compile(r"[0-9a-f]{32}(\.partial)?")  # a folder's name


class DamagedCacheError(DatasetError):
    """A cache whose file at `path` is not what was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the cache {path} is damaged: delete it to have the images decoded again")
        self.path = path


@dataclass(frozen=True)
class Meta:
    """The content of meta.json."""

    shape: tuple[int, int, int, int]
    chunk_images: int
    chunk_crcs: tuple[int, ...]
    sums_crc: int


class CachedImages:
    """Images of a cache: uint8 (N, H, W, C), mapped into memory and checked before use.

    `verify` checks all at once; otherwise `take` checks each chunk when it is first touched.
    """

    def __init__(self, folder: Path, meta: Meta) -> None:
        self.folder = folder
        self.meta = meta
        num_images, _, _, channels = meta.shape
        sums = _map(folder / "sums", num_images * 2 * channels * 8)
        self.pixel_sums = np.frombuffer(sums, dtype=np.int64).reshape(num_images, 2, channels)
        if zlib.crc32(self.pixel_sums.data) != meta.sums_crc:
            raise DamagedCacheError(folder / "sums")
        self._map = _map(folder / "images", math.prod(meta.shape))
        # Reading on from what is asked for, as the kernel does by itself, may read a thousand times
        # as much: images are wanted in random order.
        self._map.madvise(mmap.MADV_RANDOM)
        self._array = np.frombuffer(self._map, dtype=np.uint8).reshape(meta.shape)
        self._unchecked = np.ones(len(meta.chunk_crcs), dtype=bool)

    def verify(self) -> None:
        """Compare every chunk with its CRC-32, on all cores.

        Raises:
            DamagedCacheError: one differs.
        """
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._check_chunk, np.flatnonzero(self._unchecked).tolist()))

    def rows(self, start: int, stop: int) -> CachedRows:
        """Images ``start <= i < stop``."""
        return CachedRows(self, start, stop)

    def take(self, index: np.ndarray) -> np.ndarray:
        """The images at `index`, int64 (B,).

        Raises:
            DamagedCacheError: one of them differs from what was written.
        """
        if self._unchecked.any():
            touched = np.zeros_like(self._unchecked)
            touched[index // self.meta.chunk_images] = True
            for chunk in np.flatnonzero(touched & self._unchecked).tolist():
                self._check_chunk(chunk)
        self.announce(index)  # all at once, rather than each when it is touched
        return self._array[index]

    def announce(self, index: np.ndarray) -> None:
        """Have the kernel begin to read the images at `index`, int64 (B,), from the disk."""
        for row in np.sort(index).tolist():
            self._announce(row, row + 1)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Images ``start <= i < stop``, checked, and still mapped."""
        size = self.meta.chunk_images
        for chunk in range(start // size, -(-stop // size)):
            if self._unchecked[chunk]:
                self._check_chunk(chunk)
        self._announce(start, stop)
        return self._array[start:stop]

    def _check_chunk(self, chunk: int) -> None:
        start = chunk * self.meta.chunk_images
        stop = min(start + self.meta.chunk_images, len(self._array))
        self._announce(start, stop)
        rows = self._array[start:stop]
        if zlib.crc32(rows.data) != self.meta.chunk_crcs[chunk]:
            raise DamagedCacheError(self.folder / "images")
        self._unchecked[chunk] = False

    def _announce(self, start: int, stop: int) -> None:
        """Have the kernel begin to read images ``start <= i < stop`` from the disk."""
        size = math.prod(self.meta.shape[1:])
        first = start * size // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_WILLNEED, first, stop * size - first)


class CachedRows:
    """Consecutive images of a cache."""

    def __init__(self, images: CachedImages, start: int, stop: int) -> None:
        self._images = images
        self._start, self._stop = start, stop
        self.shape = (stop - start, *images.meta.shape[1:])

    def announce(self, index: np.ndarray) -> None:
        """Have the images at `index`, counted from the first of these, read in the background."""
        self._images.announce(index + self._start)

    def take(self, index: np.ndarray) -> np.ndarray:
        """The images at `index`, counted from the first of these."""
        return self._images.take(index + self._start)

    def read(self) -> np.ndarray:
        """All of these images."""
        return self._images.read(self._start, self._stop)


def open_cache(folder: Path) -> CachedImages | None:
    """The cache in `folder`, or None if there is none.

    Raises:
        DamagedCacheError: there is one, but it is cut short or altered.
    """
    try:
        return CachedImages(folder, _read_meta(folder / "meta.json"))
    except FileNotFoundError:
        if folder.is_dir():
            raise DamagedCacheError(folder) from None
        return None


def cached_images(
    tree: Tree, cache: Path, *, in_channels: int, image_size: int | None, verify_bytes: int
) -> CachedImages:
    """The images of `tree` from `cache`, decoded into it first if they are not there.

    A damaged cache is decoded again.

    Args:
        image_size: what images are cropped and resized to; None if they have one size already.
        verify_bytes: check the whole cache at once if it is not larger than this.
    """
    home = cache_home(tree.root, cache, in_channels=in_channels, image_size=image_size)
    folder = home / tree.state[:32]
    try:
        images = _open_sound(folder, verify_bytes, report=False)
        if images is None:
            home.mkdir(parents=True, exist_ok=True)
            _refuse_links(home)
            with _locked(home / "lock"):  # meanwhile another process may have made it
                images = _open_sound(folder, verify_bytes, report=True)
                if images is None:
                    _make(tree, folder, in_channels=in_channels, image_size=image_size)
                    _remove_others(home, folder)
                    images = open_cache(folder)
        assert images is not None
        return images
    except OSError as error:
        raise DatasetError(
            f"dataset.cache={cache} cannot be used ({error.strerror}): choose another folder or "
            "make room"
        ) from error


def cache_home(root: Path, cache: Path, *, in_channels: int, image_size: int | None) -> Path:
    """The folder in `cache` for the images below `root` decoded with these options."""
    root = root.resolve()
    told = f"{root}\0{in_channels}\0{image_size}\0{DECODING}"
    return cache / f"{root.name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _open_sound(folder: Path, verify_bytes: int, *, report: bool) -> CachedImages | None:
    """The cache in `folder`, or None if there is none or it is damaged; `report` says so."""
    try:
        images = open_cache(folder)
        if images is not None and np.prod(images.meta.shape) <= verify_bytes:
            images.verify()
    except DamagedCacheError as error:
        if report:
            log.warning("the cache %s is damaged: decoding the images again", error.path)
        return None
    return images


def _make(tree: Tree, folder: Path, *, in_channels: int, image_size: int | None) -> None:
    """Decode `tree` into the cache `folder`."""
    from lrbench.dataset.decode import Chunk, decode_chunks, image_side

    side = image_side(str(tree.root / tree.files[0])) if image_size is None else image_size
    image_shape = (side, side, in_channels)
    image_bytes = side * side * in_channels
    size = min(_MAX_CHUNK_IMAGES, _CHUNK_BYTES // image_bytes or 1)
    partial = folder.with_name(f"{folder.name}.partial")
    _remove(partial)
    partial.mkdir()
    images_path, sums_path = partial / "images", partial / "sums"
    for path, row_bytes in ((images_path, image_bytes), (sums_path, 2 * in_channels * 8)):
        with path.open("xb") as file:
            file.truncate(row_bytes * len(tree.files))
    chunks = [
        Chunk(
            start=start,
            files=tuple(f"{tree.root}/{file}" for file in tree.files[start : start + size]),
            shape=image_shape,
            resize=image_size is not None,
            images_path=str(images_path),
            sums_path=str(sums_path),
        )
        for start in range(0, len(tree.files), size)
    ]
    crcs = []
    with _progress(len(tree.files), tree.root) as advance:
        for chunk, crc in zip(chunks, decode_chunks(chunks, tree.num_bytes), strict=True):
            crcs.append(crc)
            advance(len(chunk.files))
    if scan(tree.root).state != tree.state:
        raise DatasetError(f"{tree.root} was changed while its images were decoded: run again")
    meta = Meta(
        shape=(len(tree.files), *image_shape),
        chunk_images=size,
        chunk_crcs=tuple(crcs),
        sums_crc=zlib.crc32(sums_path.read_bytes()),
    )
    _write_meta(partial / "meta.json", meta)
    for path in (images_path, sums_path, partial):
        _sync(path)
    _remove(folder)  # which is damaged, if it is there
    os.rename(partial, folder)


def _refuse_links(home: Path) -> None:
    """Refuse a cache folder that is a link, or holds one where files will be written.

    Raises:
        DatasetError: it names the link.
    """
    for path in (home, home / "lock", *home.glob("*"), *home.glob("*/*")):
        if path.is_symlink():
            raise DatasetError(f"{path} is a link, which no cache has: remove it")


def _remove_others(home: Path, folder: Path) -> None:
    """Delete what is left of earlier states of the image folder. Who has it mapped, keeps it."""
    for entry in home.iterdir():
        if entry != folder and _STATE.fullmatch(entry.name):
            _remove(entry)


def _remove(folder: Path) -> None:
    """Delete the cache `folder` with its own files; one that holds anything else is left."""
    if not folder.is_dir():
        return
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path`; a process that ends in any way gives it back."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another process is decoding these images: waiting for %s", path)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _progress(total: int, root: Path) -> Iterator[Callable[[int], None]]:
    """A progress bar, if on a terminal; gives what to call with the number of newly done images."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = ("Decoding {task.description}", BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(escape(root.name), total=total)
        yield lambda done: progress.advance(task, done)


def _read_meta(path: Path) -> Meta:
    digest, _, body = path.read_bytes().partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise DamagedCacheError(path)
    values = json.loads(body)
    return Meta(
        shape=tuple(values["shape"]),
        chunk_images=values["chunk_images"],
        chunk_crcs=tuple(values["chunk_crcs"]),
        sums_crc=values["sums_crc"],
    )


def _write_meta(path: Path, meta: Meta) -> None:
    body = json.dumps(asdict(meta)).encode()
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    _sync(path)


def _map(path: Path, num_bytes: int) -> mmap.mmap:
    """The file at `path`, of `num_bytes`, mapped into memory, read-only."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != num_bytes:
            raise DamagedCacheError(path)
        return mmap.mmap(file.fileno(), num_bytes, access=mmap.ACCESS_READ)


def _sync(path: Path) -> None:
    """Have the file or folder written to the disk itself before going on."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
