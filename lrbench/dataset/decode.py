"""Decoding image files into an array file, chunk by chunk, in several processes.

This file imports neither torch nor a dataset library: each worker process imports it anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lrbench.dataset.kinds import DatasetError
from lrbench.dataset.moments import pixel_sums

# Those that Pillow decodes itself: of others some start programs, or are no pictures.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_MODES = {1: "L", 3: "RGB"}
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_SMALL_BYTES = 4 * 2**20  # of files; below this, starting processes takes longer than decoding


@dataclass(frozen=True)
class Chunk:
    """Consecutive images to decode, and where to write them.

    Attributes:
        start: position of the first image among all.
        shape: (H, W, C) of every image.
        resize: bring images to `shape`, otherwise they must have it.
        images_path, sums_path: files of all images, uint8 (N, H, W, C), and of their pixel sums,
            int64 (N, 2, C).
    """

    start: int
    files: tuple[str, ...]
    shape: tuple[int, int, int]
    resize: bool
    images_path: str
    sums_path: str


def image_side(path: str) -> int:
    """Side in pixels of the square image at `path`, from its header.

    Raises:
        DatasetError: it is not square, or not an image.
    """
    with _named_errors(path), _open(path) as image:
        width, height = image.size
    if width != height:
        raise DatasetError(
            f"{path} has {width}×{height} pixels, which is not square: set dataset.image_size to "
            "have all images cropped and resized"
        )
    return width


def decode_image(path: str, shape: tuple[int, int, int], *, resize: bool) -> np.ndarray:
    """The image at `path` as uint8 (H, W, C) of `shape`.

    Colours are converted to grey by luma (ITU-R 601), grey to colour by repetition; transparency
    is ignored, a camera's mark of which side is up (EXIF) is not; of an animation the first frame
    counts. With
    `resize`, the largest square in the middle is scaled bilinearly, each pixel averaging all that
    it covers.

    Raises:
        DatasetError: it does not decode, has more than 8 bits per channel, or, without `resize`,
            has another size.
    """
    height, width, channels = shape
    with _named_errors(path), _open(path) as image:
        if image.mode in _DEEP_MODES:
            raise DatasetError(
                f"{path} has more than 8 bits per channel ({image.mode}): convert it to 8 bits"
            )
        if not resize and image.size != (width, height):
            raise DatasetError(
                f"{path} has {image.width}×{image.height} pixels, not {width}×{height} as those "
                "before it: set dataset.image_size to have all images cropped and resized"
            )
        pixels = ImageOps.exif_transpose(image).convert(_MODES[channels])
    if resize and pixels.size != (width, height):
        side = min(pixels.size)
        left, top = (pixels.width - side) / 2, (pixels.height - side) / 2
        pixels = pixels.resize(
            (width, height), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side)
        )
    return np.asarray(pixels).reshape(shape)


def decode_chunk(chunk: Chunk) -> int:
    """Decode the images of `chunk`, write them and their sums; the CRC-32 of the images' bytes."""
    images = np.empty((len(chunk.files), *chunk.shape), dtype=np.uint8)
    for image, path in zip(images, chunk.files, strict=True):
        image[...] = decode_image(path, chunk.shape, resize=chunk.resize)
    _write_at(chunk.sums_path, chunk.start, pixel_sums(images))
    return _write_at(chunk.images_path, chunk.start, images)


def decode_chunks(chunks: list[Chunk], num_bytes: int) -> Iterator[int]:
    """Decode `chunks`, `num_bytes` of files in all, on every core; their CRC-32 come in order.

    So of several faulty images the first is named.
    """
    workers = min(_num_cores(), len(chunks))
    # A daemon may have no children.
    if workers < 2 or num_bytes < _SMALL_BYTES or multiprocessing.current_process().daemon:
        yield from map(decode_chunk, chunks)
        return
    # Not forked: the parent's threads (torch's, TensorBoard's) may hold locks.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker)
    try:
        futures: list[Future[int]] = [pool.submit(decode_chunk, chunk) for chunk in chunks]
        for future in futures:
            yield future.result()
    except BrokenProcessPool as error:
        raise DatasetError(
            "a process that decoded images was ended from outside, perhaps because the memory was "
            "full: run again"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Ignore Ctrl-C, which the parent handles, and end this process when the parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _write_at(path: str, row: int, array: np.ndarray) -> int:
    """Write the rows of `array` from `row` on into the file at `path`; their CRC-32."""
    content = array.tobytes()
    # Not through a memory map: there, a full disk would kill the process.
    with open(path, "r+b") as file:
        file.seek(row * (len(content) // len(array)))
        file.write(content)
    return zlib.crc32(content)


def _open(path: str) -> Image.Image:
    """The image at `path`, not decoded yet; one too large to decode is refused by Pillow."""
    return Image.open(path, formats=FORMATS)


@contextmanager
def _named_errors(path: str) -> Iterator[None]:
    """Turn whatever Pillow raises into a DatasetError that names the image."""
    try:
        yield
    except DatasetError:
        raise
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = f"none of {', '.join(FORMATS)}" if unknown else error
        raise DatasetError(
            f"{Path(path)} does not decode as an image ({reason}): mend or remove it"
        ) from error
