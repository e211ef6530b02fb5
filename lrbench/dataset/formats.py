"""The file formats of the published datasets: LeCun's idx and CIFAR's pickles."""

from __future__ import annotations

import gzip
import importlib
import io
import pickle
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lrbench.dataset.kinds import Images

if TYPE_CHECKING:
    from lrbench.dataset.publications import Publication


def read_idx(files: Mapping[str, bytes], publication: Publication) -> Images:
    """Images and labels from four gzipped idx files, whose MD5 sums were right."""
    side = publication.image_size

    def read(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        images = idx_array(files[f"{part}-images-idx3-ubyte.gz"], (count, side, side))
        labels = idx_array(files[f"{part}-labels-idx1-ubyte.gz"], (count,))
        return images[..., None], labels.astype(np.int64)

    train_images, train_labels = read("train", publication.num_train)
    test_images, test_labels = read("t10k", publication.num_test)
    return Images(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=publication.class_names,
    )


def idx_array(compressed: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array of `shape` from a gzipped idx file.

    The format: two zeros, 8 for uint8, the number of dimensions, each dimension as a big-endian
    32-bit number, then the values.
    """
    content = gzip.decompress(compressed)
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    assert content.startswith(header), "a file with the right MD5 sum has this header"
    return np.frombuffer(content, dtype=np.uint8, offset=len(header)).reshape(shape)


def read_cifar(files: Mapping[str, bytes], publication: Publication) -> Images:
    """Images, labels and class names from CIFAR's pickles, whose MD5 sums were right."""
    fine = "fine_" if publication.num_classes == 100 else ""

    def read(*names: str) -> tuple[np.ndarray, np.ndarray]:
        batches = [unpickle(files[name]) for name in names]
        planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch[f"{fine}labels"] for batch in batches])
        return planes.transpose(0, 2, 3, 1), labels.astype(np.int64)

    *train_names, test_name, meta_name = publication.md5
    train_images, train_labels = read(*train_names)
    test_images, test_labels = read(test_name)
    return Images(
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=tuple(unpickle(files[meta_name])[f"{fine}label_names"]),
    )


class _ArrayUnpickler(pickle.Unpickler):
    """Reads plain values and NumPy arrays; a pickle can call nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            return getattr(importlib.import_module(module), name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]  # wherever this version of NumPy has it
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def unpickle(content: bytes) -> dict[str, Any]:
    """The dictionary in a pickle that Python 2 wrote."""
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
