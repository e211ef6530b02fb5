"""Published datasets: Debian's Fashion-MNIST, and files made here in the same formats."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from lrbench.config import build
from lrbench.config.compose import read_choice
from lrbench.dataset import DatasetError, PublishedDataset, Sizes
from lrbench.dataset import files as files_module
from lrbench.dataset.formats import unpickle
from lrbench.dataset.publications import PUBLICATIONS

CPU = torch.device("cpu")
SIDE, NUM_TRAIN, NUM_TEST = 28, 20, 10
Files = dict[str, bytes]


def config(name: str, **changes: Any) -> PublishedDataset:
    node = read_choice("dataset", name).dataset
    return build(OmegaConf.merge(node, changes), "dataset")


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def idx_file(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes())


def idx_files() -> Files:
    rng = np.random.default_rng(0)
    files = {}
    for part, count in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        images = rng.integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
        files[f"{part}-images-idx3-ubyte.gz"] = idx_file(images)
        files[f"{part}-labels-idx1-ubyte.gz"] = idx_file((np.arange(count) % 10).astype(np.uint8))
    return files


def python2_pickle(array: np.ndarray, others: dict[str, list[Any]]) -> bytes:
    """What Python 2 wrote for ``{"data": array, **others}``, byte strings as strings."""

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode("latin1")

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    content = array.tobytes()
    out = io.BytesIO()
    out.write(b"\x80\x02}(" + text("data"))
    out.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85")
    out.write(text("b") + b"tR(" + number(1) + number(array.shape[0]) + number(array.shape[1]))
    out.write(b"\x86cnumpy\ndtype\n(" + text("u1") + number(0) + number(1) + b"tR(" + number(3))
    out.write(text("|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb\x89")
    out.write(b"T" + struct.pack("<i", len(content)) + content + b"tb")
    for key, values in others.items():
        items = [number(v) if isinstance(v, int) else text(v) for v in values]
        out.write(text(key) + b"](" + b"".join(items) + b"e")
    out.write(b"u.")
    return out.getvalue()


def cifar_files(name: str) -> Files:
    rng = np.random.default_rng(1)
    fine = "fine_" if name == "cifar100" else ""
    files = {}
    *batches, meta = PUBLICATIONS[name].md5
    for batch in batches:
        pixels = rng.integers(0, 256, (10, 3072), dtype=np.uint8)
        files[batch] = python2_pickle(pixels, {f"{fine}labels": list(range(10))})
    classes = [f"class{i}" for i in range(10)]
    files[meta] = pickle.dumps({f"{fine}label_names": classes}, protocol=2)
    return files


def archive(name: str, files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(f"{PUBLICATIONS[name].folder}/{member}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def make_small(
    name: str, monkeypatch: pytest.MonkeyPatch, url: str = "http://127.0.0.1:9/"
) -> tuple[Files, bytes]:
    """Have the dataset `name` consist of small files, offered at `url`.

    Returns:
        the files, and what is to download: an archive of them, or nothing.
    """
    from torchvision import datasets

    files = cifar_files(name) if name.startswith("cifar") else idx_files()
    publication = replace(
        PUBLICATIONS[name],
        md5={member: (md5(content),) for member, content in files.items()},
        num_train=NUM_TRAIN,
        num_test=NUM_TEST,
    )
    monkeypatch.setitem(PUBLICATIONS, name, publication)
    source = getattr(datasets, publication.torchvision_class)
    packed = b""
    if publication.archive:
        packed = archive(name, files)
        monkeypatch.setattr(source, "url", url + publication.archive)
        monkeypatch.setattr(source, "tgz_md5", md5(packed))
        for attribute in ("train_list", "test_list"):
            members = [[m, md5(files[m])] for m, _ in getattr(source, attribute)]
            monkeypatch.setattr(source, attribute, members)
        meta = source.meta | {"md5": md5(files[source.meta["filename"]])}
        monkeypatch.setattr(source, "meta", meta)
    else:
        monkeypatch.setattr(source, "mirrors", [url])
        resources = [(member, md5(content)) for member, content in files.items()]
        monkeypatch.setattr(source, "resources", resources)
    return files, packed


def store(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@contextlib.contextmanager
def server(files: Files, *, cut: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine; gives its address and the list of paths asked for.

    With `cut` it promises whole files and breaks off in the middle.
    """
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = files.get(self.path.lstrip("/"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{web.server_port}/", asked
        finally:
            web.shutdown()
            thread.join()


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_fashion_mnist_in_place(fashion_mnist_root: Path) -> None:
    fashion = config("fashion_mnist", root=str(fashion_mnist_root), download=False)
    data = fashion.load(CPU, channels_last=False)
    assert fashion.sizes() == Sizes(train=54_000, val=6_000, test=10_000)
    assert (len(data.train), len(data.val), len(data.test)) == (54_000, 6_000, 10_000)
    images, labels = next(data.test.batches(8))
    # The first labels of the test set, and the mean that its authors' readers know.
    assert labels.tolist() == [9, 2, 1, 1, 6, 1, 4, 6]
    assert data.class_names[9] == "Ankle boot"
    labels = torch.cat([labels for _, labels in data.val.batches(1000)])
    assert torch.bincount(labels).tolist() == [600] * 10
    images = torch.cat([images for images, _ in data.val.batches(1000)])
    assert images.mean().item() == pytest.approx(0, abs=0.02)
    assert images.std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_sums_and_places_are_torchvisions(name: str) -> None:
    from torchvision import datasets

    publication = PUBLICATIONS[name]
    source = getattr(datasets, publication.torchvision_class)
    if publication.archive is None:
        members = dict(source.resources)
        assert publication.folder == f"{source.__name__}/raw"
        # MNIST's are "0 - zero" and so on there.
        names = [label.split(" - ")[0] for label in source.classes]
        assert list(publication.class_names) == names
    else:
        members = dict(source.train_list + source.test_list)
        members[source.meta["filename"]] = source.meta["md5"]
        assert (publication.folder, publication.archive) == (source.base_folder, source.filename)
    assert {member: sums[0] for member, sums in publication.md5.items()} == members


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, layout) for name in PUBLICATIONS for layout in ("torchvision", "flat")]
    + [("cifar10", "archive"), ("cifar100", "archive")],
)
def test_equals_torchvisions_reading(
    name: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    files, packed = make_small(name, monkeypatch)
    publication = PUBLICATIONS[name]
    if layout == "archive":
        store(tmp_path, {str(publication.archive): packed})
    else:
        store(tmp_path / publication.folder if layout == "torchvision" else tmp_path, files)
    images = config(name, root=str(tmp_path), download=False).read()
    # torchvision looks in its own layout only
    oracle_root = tmp_path / "oracle"
    store(oracle_root / publication.folder, files)
    if publication.archive is None:
        for member, content in files.items():
            path = oracle_root / publication.folder / member.removesuffix(".gz")
            path.write_bytes(gzip.decompress(content))
    for train, found_images, found_labels in (
        (True, images.train_images, images.train_labels),
        (False, images.test_images, images.test_labels),
    ):
        oracle = getattr(datasets, publication.torchvision_class)(str(oracle_root), train=train)
        assert isinstance(found_images, np.ndarray)
        assert found_labels is not None
        pixels = np.asarray(oracle.data)
        assert np.array_equal(found_images.reshape(pixels.shape), pixels)
        assert found_labels.tolist() == np.asarray(oracle.targets).tolist()
    if publication.archive:
        assert list(images.class_names) == oracle.classes


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_download_then_use_without_network(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: Files = {}
    with server(offered) as (url, asked):
        files, packed = make_small(name, monkeypatch, url)
        publication = PUBLICATIONS[name]
        offered |= {publication.archive: packed} if publication.archive else files
        first = config(name, root=str(tmp_path), download=True).read()
        assert asked
        assert files_below(tmp_path) == sorted(f"{publication.folder}/{m}" for m in files)
        asked.clear()
        second = config(name, root=str(tmp_path), download=True).read()
        assert asked == []
    assert isinstance(first.train_images, np.ndarray)
    assert isinstance(second.train_images, np.ndarray)
    assert np.array_equal(first.train_images, second.train_images)


def test_only_what_is_missing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: Files = {}
    with server(offered) as (url, asked):
        files, _ = make_small("mnist", monkeypatch, url)
        offered |= files
        store(tmp_path, {n: c for n, c in files.items() if n.startswith("train")})
        config("mnist", root=str(tmp_path)).read()
        assert {path for path in asked if "train" in path} == set()
    assert files_below(tmp_path / "MNIST") == [
        "raw/t10k-images-idx3-ubyte.gz",
        "raw/t10k-labels-idx1-ubyte.gz",
    ]


def test_the_next_mirror_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    offered: Files = {}
    with server({}) as (empty, _), server(offered) as (url, _):
        files, _ = make_small("mnist", monkeypatch)
        offered |= files
        monkeypatch.setattr(datasets.MNIST, "mirrors", [empty, url])
        images = config("mnist", root=str(tmp_path)).read()
    assert len(images.train_labels) == NUM_TRAIN


@pytest.mark.parametrize("name", ["mnist", "cifar100"])
@pytest.mark.parametrize("fault", ["not found", "cut", "other content", "no server"])
def test_a_failed_download_is_one_line_and_leaves_nothing(
    name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: Files = {}
    with server(offered, cut=fault == "cut") as (url, _):
        address = "http://127.0.0.1:9/" if fault == "no server" else url
        files, packed = make_small(name, monkeypatch, address)
        publication = PUBLICATIONS[name]
        wanted = {publication.archive: packed} if publication.archive else files
        if fault == "cut":
            offered |= wanted
        elif fault == "other content":
            offered |= dict.fromkeys(wanted, b"<html>log in first</html>")
        with pytest.raises(DatasetError) as error:
            config(name, root=str(tmp_path)).read()
    message = str(error.value)
    reason = {
        "not found": "Not Found",
        "cut": "the file is incomplete or damaged",
        "other content": "the file is incomplete or damaged",
        "no server": "Connection refused",
    }[fault]
    first = next(iter(wanted))
    assert message.startswith(f"{first} could not be downloaded ({address}{first}: ")
    assert reason in message
    assert message.endswith("or set dataset.root to a folder that holds it")
    assert "\n" not in message
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
@pytest.mark.parametrize("damage", ["flipped bit", "cut", "empty"])
def test_a_damaged_file_is_refused_by_name(
    name: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = make_small(name, monkeypatch)
    publication = PUBLICATIONS[name]
    store(tmp_path / publication.folder, files)
    victim = sorted(files)[0]
    path = tmp_path / publication.folder / victim
    content = bytearray(files[victim])
    content[len(content) // 2] ^= 1
    damaged = {"flipped bit": bytes(content), "cut": files[victim][:-1], "empty": b""}[damage]
    path.write_bytes(damaged)
    with pytest.raises(DatasetError) as error:
        config(name, root=str(tmp_path)).read()
    assert str(error.value) == (
        f"{path} is damaged (MD5 {md5(damaged)}, expected {md5(files[victim])}): "
        "delete it to have it downloaded again"
    )


def test_a_damaged_archive_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, packed = make_small("cifar10", monkeypatch)
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DatasetError, match="is damaged") as error:
        config("cifar10", root=str(tmp_path), download=False).read()
    assert str(error.value).startswith(str(path))


def test_an_archive_from_someone_else_writes_nothing_and_fills_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = make_small("cifar10", monkeypatch)
    folder = PUBLICATIONS["cifar10"].folder
    first, second = sorted(files)[:2]
    (tmp_path / "root").mkdir()
    with tarfile.open(tmp_path / "root" / "cifar-10-python.tar.gz", "w:gz") as tar:
        for name, target in (
            ("../outside", None),
            (str(tmp_path / "absolute"), None),
            (f"{folder}/{first}", "/etc/passwd"),
            (f"{folder}/{second}", None),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = (tarfile.SYMTYPE if target else b"0"), target or ""
            content = b"" if target else b"0" * 5000
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    with pytest.raises(DatasetError, match=r"cifar-10-python\.tar\.gz is damaged"):
        config("cifar10", root=str(tmp_path / "root"), download=False).read()
    monkeypatch.setattr(files_module, "_LARGEST_BYTES", 100)
    publication = PUBLICATIONS["cifar10"]
    archive = tmp_path / "root" / "cifar-10-python.tar.gz"
    with pytest.raises(DatasetError, match=rf"is damaged \(MD5 {md5(b'0' * 100)}, expected"):
        files_module.unpack(archive, publication, [second])
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_missing_files_without_download(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as error:
        config("mnist", root=str(tmp_path), download=False).read()
    assert str(error.value) == (
        f"dataset.root={tmp_path} has no train-images-idx3-ubyte.gz of mnist: set dataset.root to "
        "the folder that holds it, or dataset.download=true"
    )


def test_a_root_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_small("mnist", monkeypatch)
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / "data"
    with pytest.raises(DatasetError) as error:
        config("mnist", root=str(root)).read()
    assert str(error.value) == (
        f"dataset.root={root} cannot be written (Not a directory): choose another folder or make "
        "room"
    )


def test_a_pickle_can_call_nothing() -> None:
    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("called",)

    with pytest.raises(pickle.UnpicklingError, match="print is not allowed"):
        unpickle(pickle.dumps(Attack(), protocol=2))


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = make_small("mnist", monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    store(tmp_path / ".cache" / "lrbench" / "data" / "MNIST" / "raw", files)
    assert len(config("mnist", download=False).read().train_labels) == NUM_TRAIN


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_every_choice_builds_and_knows_its_sizes(name: str) -> None:
    sizes = config(name).sizes()
    assert sizes is not None
    publication = PUBLICATIONS[name]
    assert sizes.train + sizes.val == publication.num_train
    assert sizes.val == publication.num_train // 10
    assert len(config(name).mean or ()) == publication.in_channels
