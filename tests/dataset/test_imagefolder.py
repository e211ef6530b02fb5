"""Image folders: what is decoded, when the cache holds, and what happens to a damaged one."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lrbench.config import ConfigError, build
from lrbench.config.compose import read_choice
from lrbench.dataset import DatasetError, ImageFolder, Sizes
from lrbench.dataset import cache as cache_module
from lrbench.dataset import decode as decode_module
from lrbench.dataset.cache import CachedImages, CachedRows, DamagedCacheError, open_cache

CPU = torch.device("cpu")


def config(root: Path, cache: Path, **changes: Any) -> ImageFolder:
    node = read_choice("dataset", "imagefolder").dataset
    changes = {"root": str(root), "cache": str(cache), **changes}
    return build(OmegaConf.merge(node, changes), "dataset")


def save(path: Path, pixels: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def make_tree(root: Path, per_class: int = 8, side: int = 6, test: bool = True) -> Path:
    """PNGs of random pixels in train/{ant,bee} and test/{ant,bee}, a quarter as many there."""
    rng = np.random.default_rng(0)
    for split, count in (("train", per_class), ("test", per_class // 4 if test else 0)):
        for name in ("ant", "bee"):
            for i in range(count):
                pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
                save(root / split / name / f"{i:03}.png", pixels)
    return root


def all_files(root: Path) -> list[Path]:
    """In the order of the cache: train before test, then by class and name."""
    splits = [root / "train", root / "test"]
    return [path for split in splits for path in sorted(split.glob("*/*"))]


def read_all(folder: ImageFolder) -> np.ndarray:
    images = folder.read()
    parts = [images.train_images, images.test_images]
    return np.concatenate([part.read() for part in parts if isinstance(part, CachedRows)])


def cache_folder(cache: Path) -> Path:
    (folder,) = (path for path in cache.glob("*/*") if path.is_dir())
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "images")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the image files decoded in this process, as it goes."""
    names: list[str] = []
    original = decode_module.decode_image

    def decode_image(path: str, *args: Any, **keys: Any) -> np.ndarray:
        names.append(path)
        return original(path, *args, **keys)

    monkeypatch.setattr(decode_module, "decode_image", decode_image)
    return names


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three images per chunk."""
    monkeypatch.setattr(cache_module, "_MAX_CHUNK_IMAGES", 3)


def test_cifar10_equals_pillow_and_is_split_as_told(cifar10_jpeg: Path, cache: Path) -> None:
    folder = config(cifar10_jpeg, cache)
    data = folder.load(CPU, channels_last=True)
    assert folder.sizes() == Sizes(train=540, val=60, test=600)
    assert (len(data.train), len(data.val), len(data.test)) == (540, 60, 600)
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    files = sorted((cifar10_jpeg / "test").glob("*/*"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in files])
    expected = (pixels / 255 - np.array(data.mean)) / np.array(data.std)
    images = torch.cat([images for images, _ in data.test.batches(250)])
    assert np.allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    labels = torch.cat([labels for _, labels in data.test.batches(250)])
    assert labels.tolist() == [data.class_names.index(path.parent.name) for path in files]
    val_labels = torch.cat([labels for _, labels in data.val.batches(60)])
    assert torch.bincount(val_labels).tolist() == [6] * 10


def test_moments_are_those_of_the_training_split(tree: Path, cache: Path) -> None:
    folder = config(tree, cache, augment={"crop_padding": 0, "flip": False})
    data = folder.load(CPU, channels_last=False)
    images, _ = data.train.batch(0, seed=0, batch_size=len(data.train))
    assert images.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-5)
    assert images.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_without_a_test_folder_a_fraction_is_split_off(tmp_path: Path, cache: Path) -> None:
    tree = make_tree(tmp_path / "images", per_class=20, test=False)
    folder = config(tree, cache, test_fraction=0.25, val_fraction=0.2)
    sizes = Sizes(train=24, val=6, test=10)
    assert folder.sizes() == sizes
    data = folder.load(CPU, channels_last=False)
    assert (len(data.train), len(data.val), len(data.test)) == (24, 6, 10)


@pytest.mark.parametrize(
    ("val", "test"), [("val", "test"), ("Valid", "TEST"), ("validation", None)]
)
def test_every_split_of_the_folder_is_used(
    val: str, test: str | None, tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree = make_tree(tmp_path / "images", per_class=20)
    (tree / "test").rename(tree / val)
    if test:
        shutil.copytree(tree / val, tree / test)
        (tree / test / "ant" / "000.png").unlink()
    (tree / "train" / "ant" / "Thumbs.db").write_text("of a file manager")
    (tree / "extra").mkdir()
    folder = config(tree, cache)
    data = folder.load(CPU, channels_last=False)
    sizes = (len(data.train), len(data.val), len(data.test))
    assert sizes == ((40, 10, 9) if test else (32, 10, 8))
    assert folder.sizes() == Sizes(*sizes)
    names = sorted((tree / val).glob("*/*"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in names])
    ((images, _),) = data.val.batches(10)
    expected = (pixels / 255 - np.array(data.mean)) / np.array(data.std)
    assert np.allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    assert caplog.messages == [f"{tree}/extra is not read: it is none of train, val and test"]
    shutil.copytree(tree / val, tree / "VAL" if val != "val" else tree / "valid")
    with pytest.raises(DatasetError, match=r"both for val: join them or rename one"):
        config(tree, cache).read()


def test_a_second_run_decodes_nothing(tree: Path, cache: Path, decoded: list[str]) -> None:
    first = read_all(config(tree, cache))
    assert decoded == [str(path) for path in all_files(tree)]
    assert np.array_equal(first, np.stack([np.asarray(Image.open(p)) for p in all_files(tree)]))
    decoded.clear()
    assert np.array_equal(read_all(config(tree, cache)), first)
    assert decoded == []


@pytest.mark.parametrize("change", ["add", "remove", "rename", "touch", "rewrite"])
def test_a_changed_tree_is_decoded_again(
    change: str, tree: Path, cache: Path, decoded: list[str]
) -> None:
    read_all(config(tree, cache))
    stale = cache_folder(cache)
    path = tree / "train" / "bee" / "003.png"
    if change == "add":
        save(path.with_name("009.png"), np.zeros((6, 6, 3), dtype=np.uint8))
    elif change == "remove":
        path.unlink()
    elif change == "rename":
        path.rename(path.with_name("other.png"))
    elif change == "touch":
        os.utime(path, (1, 1))
    else:
        save(path, np.zeros((6, 6, 3), dtype=np.uint8))
    decoded.clear()
    images = read_all(config(tree, cache))
    assert decoded == [str(path) for path in all_files(tree)]
    assert np.array_equal(images, np.stack([np.asarray(Image.open(p)) for p in all_files(tree)]))
    assert cache_folder(cache) != stale  # and the stale one is gone


def test_options_have_caches_of_their_own(tree: Path, cache: Path, decoded: list[str]) -> None:
    choices: list[dict[str, Any]] = [{}, {"image_size": 4}, {"in_channels": 1}]
    shapes = [read_all(config(tree, cache, **choice)).shape for choice in choices]
    assert shapes == [(20, 6, 6, 3), (20, 4, 4, 3), (20, 6, 6, 1)]
    decoded.clear()
    assert [read_all(config(tree, cache, **choice)).shape for choice in choices] == shapes
    assert decoded == []


COLOUR = np.random.default_rng(5).integers(0, 256, (5, 5, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp", "gif", "jpg"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    save(path, COLOUR, **({"lossless": True} if suffix == "webp" else {}))
    image = decode_module.decode_image(str(path), (5, 5, 3), resize=False)
    assert image.shape == (5, 5, 3)
    if suffix not in ("gif", "jpg"):  # these lose something
        assert np.array_equal(image, COLOUR)


@pytest.mark.parametrize("suffix", ["tga", "eps", "ico", "sgi"])
def test_other_formats_are_refused(suffix: str, tmp_path: Path) -> None:
    """Pillow starts a program to decode some of them."""
    path = tmp_path / f"image.{suffix}"
    save(path, COLOUR)
    with pytest.raises(DatasetError, match=r"does not decode as an image \(none of JPEG, PNG, WEB"):
        decode_module.decode_image(str(path), (5, 5, 3), resize=False)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_as_people_see_them(orientation: int, tmp_path: Path) -> None:
    """Oracle: the camera's mark, by the words of the EXIF standard."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "image.png", COLOUR, exif=exif)
    upright = {
        1: COLOUR, 2: COLOUR[:, ::-1], 3: COLOUR[::-1, ::-1], 4: COLOUR[::-1],
        5: COLOUR.swapaxes(0, 1), 6: np.rot90(COLOUR, -1),
        7: COLOUR[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(COLOUR),
    }[orientation]  # fmt: skip
    found = decode_module.decode_image(str(tmp_path / "image.png"), (5, 5, 3), resize=False)
    assert np.array_equal(found, upright)


def test_grey_and_colour_and_transparency(tmp_path: Path) -> None:
    grey = COLOUR[..., 0]
    save(tmp_path / "grey.png", grey)
    save(tmp_path / "colour.png", COLOUR)
    save(tmp_path / "alpha.png", np.dstack([COLOUR, grey]))

    def decode(name: str, channels: int) -> np.ndarray:
        return decode_module.decode_image(str(tmp_path / name), (5, 5, channels), resize=False)

    assert np.array_equal(decode("grey.png", 3), np.dstack([grey] * 3))
    assert np.array_equal(decode("grey.png", 1), grey[..., None])
    assert np.array_equal(decode("alpha.png", 3), COLOUR)
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    assert np.abs(decode("colour.png", 1)[..., 0] - luma).max() < 1


@pytest.mark.parametrize(("width", "height"), [(12, 8), (8, 12), (8, 8)])
def test_resizing_scales_and_takes_the_middle(width: int, height: int, tmp_path: Path) -> None:
    # Uniform blocks of 2×2 pixels, halved: the filter weighs a block and its neighbours 1:6:1.
    blocks = np.random.default_rng(1).integers(0, 256, (height // 2, width // 2, 3), dtype=np.uint8)
    save(tmp_path / "image.png", blocks.repeat(2, axis=0).repeat(2, axis=1))
    found = decode_module.decode_image(str(tmp_path / "image.png"), (4, 4, 3), resize=True)
    padded = np.pad(blocks.astype(float), ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 6 * padded[1:-1] + padded[2:]) / 8
    halved = (rows[:, :-2] + 6 * rows[:, 1:-1] + rows[:, 2:]) / 8
    top, left = (height // 2 - 4) // 2, (width // 2 - 4) // 2
    middle = halved[top : top + 4, left : left + 4]
    inside = (slice(1, -1), slice(1, -1))  # at the image's border, weights are shared otherwise
    assert np.abs(found[inside] - middle[inside]).max() <= 1
    image = Image.open(tmp_path / "image.png")
    whole = np.asarray(image.resize((width // 2, height // 2), Image.Resampling.BILINEAR))
    assert np.array_equal(found, whole[top : top + 4, left : left + 4])


def test_processes_give_what_one_process_gives(
    cifar10_jpeg: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = read_all(config(cifar10_jpeg, tmp_path / "one"))
    monkeypatch.setattr(decode_module, "_SMALL_BYTES", 0)
    monkeypatch.setattr(decode_module, "_num_cores", lambda: 2)
    together = read_all(config(cifar10_jpeg, tmp_path / "two"))
    assert np.array_equal(alone, together)
    one, two = (cache_folder(tmp_path / name) for name in ("one", "two"))
    for name in ("images", "sums", "meta.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.usefixtures("small_chunks")
def test_the_first_image_that_does_not_decode_is_named(
    processes: int, tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_module, "_SMALL_BYTES", 0)
    monkeypatch.setattr(decode_module, "_num_cores", lambda: processes)
    bad = tree / "train" / "bee" / "002.png"
    bad.write_bytes(bad.read_bytes()[:60])
    (tree / "test" / "ant" / "notes.txt").write_text("not an image")
    with pytest.raises(DatasetError) as error:
        config(tree, cache).read()
    assert str(error.value).startswith(f"{bad} does not decode as an image (")
    assert str(error.value).endswith("): mend or remove it")
    assert "\n" not in str(error.value)
    bad.unlink()
    with pytest.raises(DatasetError) as error:
        config(tree, cache).read()
    assert str(error.value) == (
        f"{tree}/test/ant/notes.txt does not decode as an image (none of JPEG, PNG, WEBP, GIF, "
        "BMP, TIFF, PPM): mend or remove it"
    )


def test_images_of_another_size_or_depth_are_named(tree: Path, cache: Path) -> None:
    odd = tree / "train" / "bee" / "001.png"
    save(odd, np.zeros((6, 7, 3), dtype=np.uint8))
    with pytest.raises(DatasetError) as error:
        config(tree, cache).read()
    assert str(error.value) == (
        f"{odd} has 7×6 pixels, not 6×6 as those before it: set dataset.image_size to have all "
        "images cropped and resized"
    )
    assert read_all(config(tree, cache, image_size=6)).shape == (20, 6, 6, 3)
    save(odd, np.zeros((6, 6), dtype=np.uint16))
    with pytest.raises(DatasetError, match=r"has more than 8 bits per channel \(I;16\): convert"):
        config(tree, cache).read()


def test_an_oblong_first_image_is_named(tree: Path, cache: Path) -> None:
    first = tree / "train" / "ant" / "000.png"
    save(first, np.zeros((6, 7, 3), dtype=np.uint8))
    with pytest.raises(DatasetError, match=r"000.png has 7×6 pixels, which is not square: set "):
        config(tree, cache).read()


def test_a_file_from_someone_else_neither_runs_nor_hangs_nor_fills_memory(
    tree: Path, cache: Path, tmp_path: Path
) -> None:
    victim = next((tree / "train").glob("*/*"))
    marker = tmp_path / "ran"
    victim.write_bytes(  # would be run by Ghostscript
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n%%EndComments\n"
        b"(" + str(marker).encode() + b") (w) file closefile showpage\n%%EOF\n"
    )
    with pytest.raises(DatasetError, match=r"does not decode as an image \(none of JPEG"):
        config(tree, cache).read()
    assert not marker.exists()
    victim.write_bytes(b"P6 60000 60000 255\n")
    with pytest.raises(DatasetError, match=r"does not decode as an image .*decompression bomb"):
        config(tree, cache).read()
    victim.unlink()
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        make(victim)
        with pytest.raises(DatasetError, match=r"is not a file: mend or remove it"):
            config(tree, cache).read()
        victim.unlink()


def no_train(root: Path) -> str:
    shutil.rmtree(root / "train")
    return f"dataset.root={root} has no train/<class>/ folders: give each class one"


def empty_class(root: Path) -> str:
    (root / "train" / "cat").mkdir()
    return f"class cat has no images in {root}/train/cat: add some"


def hidden_only(root: Path) -> str:
    shutil.rmtree(root / "train" / "bee")
    (root / "train" / "bee").mkdir()
    (root / "train" / "bee" / ".DS_Store").write_text("")
    return f"class bee has no images in {root}/train/bee: add some"


def surplus_class(root: Path) -> str:
    (root / "test" / "cat").mkdir()
    return f"{root}/test/cat is a class without a folder in {root}/train: add one or remove it"


def nested(root: Path) -> str:
    (root / "train" / "ant" / "more").mkdir()
    return f"{root}/train/ant/more is a folder: images must lie directly in {root}/train/ant"


def empty_test(root: Path) -> str:
    for path in (root / "test").glob("*/*"):
        path.unlink()
    return f"{root}/test has no images: add some or remove it"


def nothing(root: Path) -> str:
    shutil.rmtree(root)
    return f"dataset.root={root} is not a folder: name one that holds train/"


@pytest.mark.parametrize(
    "spoil",
    [no_train, empty_class, hidden_only, surplus_class, nested, empty_test, nothing],
    ids=lambda function: function.__name__,
)
def test_a_tree_laid_out_otherwise_is_refused(spoil: Any, tree: Path, cache: Path) -> None:
    message = spoil(tree)
    with pytest.raises(DatasetError) as error:
        config(tree, cache).read()
    assert str(error.value) == message
    assert not cache.exists()


def test_too_few_images_for_the_split(tmp_path: Path, cache: Path) -> None:
    tree = make_tree(tmp_path / "images", per_class=4)
    with pytest.raises(DatasetError, match=r"dataset.val_fraction=0.01 of 8 images is none"):
        config(tree, cache, val_fraction=0.01).load(CPU, channels_last=False)


def flip_bit(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 4
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["images", "sums", "meta.json"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "removed"])
def test_a_damaged_cache_is_noticed_and_made_anew(
    name: str, damage: str, tree: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sound = read_all(config(tree, cache))
    path = cache_folder(cache) / name
    if damage == "flipped":
        flip_bit(path)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    assert np.array_equal(read_all(config(tree, cache)), sound)
    (message,) = caplog.messages
    assert message.startswith(f"the cache {cache_folder(cache)}")
    assert message.endswith("is damaged: decoding the images again")


@pytest.mark.usefixtures("small_chunks")
def test_a_cache_too_large_to_check_at_once_is_checked_as_it_is_used(
    tree: Path, cache: Path
) -> None:
    sound = read_all(config(tree, cache))
    flip_bit(cache_folder(cache) / "images", place=0.75)  # image 15 of 20, in chunk 5 of 7
    images = open_cache(cache_folder(cache))
    assert isinstance(images, CachedImages)
    assert np.array_equal(images.take(np.array([14, 2, 18])), sound[[14, 2, 18]])
    assert np.array_equal(images.rows(18, 20).read(), sound[18:])
    for index in ([0, 15], [17]):
        with pytest.raises(DamagedCacheError) as error:
            images.take(np.array(index))
        assert str(error.value) == (
            f"the cache {cache_folder(cache)}/images is damaged: "
            "delete it to have the images decoded again"
        )
    with pytest.raises(DamagedCacheError):
        images.rows(10, 16).read()
    with pytest.raises(DamagedCacheError):
        images.verify()


def pages_in_memory(path: Path) -> int:
    """Pages of the file at `path` that the kernel holds."""
    with path.open("rb") as file:
        mapped = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype=np.uint8)
    held = (ctypes.c_ubyte * -(-mapped.size // mmap.PAGESIZE))()
    address = ctypes.c_void_p(mapped.ctypes.data)
    assert ctypes.CDLL(None).mincore(address, ctypes.c_size_t(mapped.size), held) == 0
    return sum(page & 1 for page in held)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what it holds in memory")
@pytest.mark.usefixtures("small_chunks")
def test_nothing_is_read_but_what_is_asked_for(tmp_path: Path, cache: Path) -> None:
    """The kernel reads on by itself: of images in random order, much more than is wanted."""
    tree = make_tree(tmp_path / "images", per_class=32, side=64)  # an image fills three pages
    expected = read_all(config(tree, cache))[40]
    path = cache_folder(cache) / "images"
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if pages_in_memory(path) > 0:
        pytest.skip("this file system keeps files in memory")
    images = open_cache(cache_folder(cache))
    assert images is not None
    assert np.array_equal(images.take(np.array([40]))[0], expected)
    assert pages_in_memory(path) == 9  # the chunk of three images that was checked, of 240 pages


def test_what_lies_beside_a_cache_is_left_and_links_are_refused(tree: Path, cache: Path) -> None:
    read_all(config(tree, cache))
    home = cache_folder(cache).parent
    (home / "thesis").mkdir()
    stale = home / ("0" * 32)
    stale.mkdir()
    for folder in (home / "thesis", stale):
        (folder / "images").write_text("mine")
    (stale / "notes.txt").write_text("mine")
    os.utime(tree / "train" / "ant" / "000.png", (1, 1))  # decoded anew, the former state removed
    read_all(config(tree, cache))
    assert (home / "thesis" / "images").read_text() == "mine"
    assert [path.name for path in stale.iterdir()] == ["notes.txt"]
    precious = cache / "precious"
    precious.mkdir()
    (precious / "images").write_text("mine")
    shutil.rmtree(stale)
    for link in (home / ("0" * 32), home / "lock"):
        link.unlink(missing_ok=True)
        link.symlink_to(precious)
        os.utime(tree / "train" / "ant" / "000.png", (2, 2))
        with pytest.raises(DatasetError, match=rf"{link} is a link, which no cache has: remove it"):
            config(tree, cache).read()
        link.unlink()
    assert (precious / "images").read_text() == "mine"


def test_a_tree_changed_meanwhile_is_refused(
    tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = decode_module.decode_chunks

    def decode_chunks(*args: Any) -> Iterator[int]:
        yield from original(*args)
        (tree / "train" / "ant" / "000.png").unlink()

    monkeypatch.setattr(decode_module, "decode_chunks", decode_chunks)
    with pytest.raises(DatasetError, match="was changed while its images were decoded: run again"):
        config(tree, cache).read()


def test_a_full_disk_is_one_line(tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_at(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decode_module, "_write_at", write_at)
    with pytest.raises(DatasetError) as error:
        config(tree, cache).read()
    assert str(error.value) == (
        f"dataset.cache={cache} cannot be used (No space left on device): choose another "
        "folder or make room"
    )


def test_a_cache_folder_that_cannot_be_made(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match=r"file/c cannot be used \(Not a directory\)"):
        config(tree, tmp_path / "file" / "c").read()


SCRIPT = """
import hashlib, sys
from pathlib import Path
from lrbench.dataset import cache, tree
images = cache.cached_images(
    tree.scan(Path(sys.argv[1])), Path(sys.argv[2]), in_channels=3, image_size=None, verify_bytes=0
)
print(hashlib.sha256(images.read(0, images.meta.shape[0])).hexdigest())
"""


def start(tree: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(tree), str(cache)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_that_decode_at_once_agree(tmp_path: Path, cache: Path) -> None:
    tree = make_tree(tmp_path / "images", per_class=400)
    runs = [start(tree, cache) for _ in range(3)]
    results = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], results
    assert len({output for output, _ in results}) == 1
    assert cache_folder(cache).name.count(".") == 0


def test_what_a_killed_process_leaves_is_made_anew(tmp_path: Path, cache: Path) -> None:
    tree = make_tree(tmp_path / "images", per_class=1600)  # two chunks and more
    run = start(tree, cache)
    while run.poll() is None and not list(cache.glob("*/*.partial/images")):
        pass
    run.kill()
    run.communicate()
    assert cache_folder(cache).name.endswith(".partial")
    images = read_all(config(tree, cache))
    assert np.array_equal(images, np.stack([np.asarray(Image.open(p)) for p in all_files(tree)]))


def test_no_root_given() -> None:
    with pytest.raises(ConfigError, match=r"^dataset.root has no value: write dataset.root=...$"):
        build(read_choice("dataset", "imagefolder").dataset, "dataset")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 0}, "dataset.image_size=0 must be 1 or more, or null"),
        ({"in_channels": 4}, "dataset.in_channels=4 must be 1 or 3"),
        ({"test_fraction": 1}, "dataset.test_fraction=1.0 must be in (0, 1)"),
    ],
)
def test_mistakes_name_key_value_and_rule(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(Path("/nowhere"), Path("/nowhere"), **changes)
    assert str(error.value) == message


def test_sizes_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert config(tmp_path / "none", tmp_path).sizes() is None
