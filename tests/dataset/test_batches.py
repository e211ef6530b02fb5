"""Splits and batches, on images whose pixels tell which image they are."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from lrbench.dataset import Data, DatasetError, ImageDataset, Images, Sizes
from lrbench.dataset import data as data_module
from lrbench.dataset.kinds import OFF
from lrbench.dataset.memory import Placement
from lrbench.dataset.moments import moments, pixel_sums

CPU = torch.device("cpu")
NUM_TRAIN, NUM_TEST, SIDE = 200, 30, 4
PLACEMENTS: list[Placement] = ["device", "host", "mmap"]


class FakeMap:
    """Images that claim to be mapped."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape = array.shape

        self.announced: list[list[int]] = []

    def announce(self, index: np.ndarray) -> None:
        self.announced.append(index.tolist())

    def take(self, index: np.ndarray) -> np.ndarray:
        return self.array[index]

    def read(self) -> np.ndarray:
        return self.array


def numbered(first: int, count: int) -> np.ndarray:
    """uint8 (N, H, W, 3): every pixel of image i is (i, 2i, 3i) modulo 256."""
    numbers = np.arange(first, first + count)[:, None] * np.array([1, 2, 3])
    return np.broadcast_to(numbers[:, None, None], (count, SIDE, SIDE, 3)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class Numbered(ImageDataset):
    """200 + 30 images; image i has the colours (i, 2i, 3i) and label i mod 5."""

    mapped: bool = False
    official_test: bool = True

    def sizes(self) -> Sizes | None:
        return None

    def read(self) -> Images:
        wrap: Any = FakeMap if self.mapped else np.asarray
        train, test = numbered(0, NUM_TRAIN), numbered(NUM_TRAIN, NUM_TEST)
        official = self.official_test
        return Images(
            train_images=wrap(train),
            train_labels=np.arange(NUM_TRAIN) % 5,
            test_images=wrap(test) if official else None,
            test_labels=np.arange(NUM_TRAIN, NUM_TRAIN + NUM_TEST) % 5 if official else None,
            test_fraction=None if official else 0.2,
            class_names=tuple("abcde"),
            pixel_sums=pixel_sums(train),
        )


PLAIN = Numbered(val_fraction=0.1, split_seed=0, mean=(0, 0, 0), std=(1 / 255,) * 3, augment=OFF)
AUGMENTED = replace(PLAIN, augment=replace(OFF, crop_padding=1, flip=True, cutout=2))


def load(
    config: ImageDataset,
    monkeypatch: pytest.MonkeyPatch,
    placement: Placement = "device",
    channels_last: bool = False,
) -> Data:
    monkeypatch.setattr(data_module, "choose_placement", lambda *_, **__: placement)
    if placement == "mmap":
        config = replace(config, mapped=True)  # type: ignore[call-arg]
    data = config.load(CPU, channels_last=channels_last)
    assert data.placement == placement
    return data


def identities(images: torch.Tensor) -> list[int]:
    """The numbers of the images (B, 3, H, W), after checking that all their pixels agree."""
    first = images[:, 0, 0, 0].round().int()
    wanted = (first[:, None] * torch.tensor([1, 2, 3])) % 256
    assert torch.equal(images.round().int(), wanted[:, :, None, None].expand(images.shape).int())
    return first.tolist()


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_an_epoch_has_each_image_at_most_once_with_its_label(
    placement: Placement, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = load(PLAIN, monkeypatch, placement, channels_last).train
    steps = train.steps_per_epoch(32)
    assert (len(train), steps) == (180, 5)
    seen: list[int] = []
    for images, labels in train.batches(seed=0, batch_size=32, start_step=0, stop_step=steps):
        assert images.shape == (32, 3, SIDE, SIDE)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        assert images.is_contiguous(memory_format=memory_format)
        numbers = identities(images)
        assert labels.tolist() == [number % 5 for number in numbers]
        seen += numbers
    assert len(set(seen)) == len(seen) == 160


@pytest.mark.parametrize("official_test", [True, False])
def test_splits_are_disjoint_and_complete(
    official_test: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load(replace(PLAIN, official_test=official_test), monkeypatch)
    train = identities(data.train.batch(0, seed=0, batch_size=len(data.train))[0])
    val, test = (
        [number for images, _ in split.batches(7) for number in identities(images)]
        for split in (data.val, data.test)
    )
    assert [len(train), len(val), len(test)] == ([180, 20, 30] if official_test else [144, 16, 40])
    total = NUM_TRAIN + NUM_TEST if official_test else NUM_TRAIN
    assert sorted(train + val + test) == list(range(total))
    assert val == sorted(val)
    assert test == sorted(test)
    if official_test:
        assert test == list(range(NUM_TRAIN, NUM_TRAIN + NUM_TEST))


def test_evaluation_batches_are_whole_and_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    test = load(AUGMENTED, monkeypatch).test
    sizes = []
    for images, labels in test.batches(8):
        sizes.append(len(images))
        assert labels.tolist() == [number % 5 for number in identities(images)]
    assert sizes == [8, 8, 8, 6]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_batches_are_the_same_wherever_images_are(
    placement: Placement, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = load(AUGMENTED, monkeypatch).train
    train = load(AUGMENTED, monkeypatch, placement, channels_last).train
    batches = list(train.batches(seed=7, batch_size=50, start_step=2, stop_step=9))
    assert len(batches) == 7
    for step, (images, labels) in enumerate(batches, start=2):
        wanted_images, wanted_labels = reference.batch(step, seed=7, batch_size=50)
        torch.testing.assert_close(images, wanted_images, rtol=0, atol=1e-4)  # 0 to 255
        assert torch.equal(labels, wanted_labels)


def test_a_batch_depends_on_its_arguments_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (load(AUGMENTED, monkeypatch).train for _ in range(2))
    expected = [one.batch(step, seed=3, batch_size=16)[0] for step in range(30)]
    torch.manual_seed(12)
    before = torch.get_rng_state()
    for step in (29, 0, 17, 11):
        other.batch(step, seed=4, batch_size=16)
        assert torch.equal(other.batch(step, seed=3, batch_size=16)[0], expected[step])
    assert torch.equal(torch.get_rng_state(), before)


def order(data: Data, seed: int, epoch: int, batch_size: int = 60) -> list[int]:
    steps = data.train.steps_per_epoch(batch_size)
    batches = data.train.batches(
        seed=seed, batch_size=batch_size, start_step=epoch * steps, stop_step=(epoch + 1) * steps
    )
    return [number for images, _ in batches for number in identities(images)]


def test_order_depends_on_seed_and_epoch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(PLAIN, monkeypatch)
    orders = {(seed, epoch): order(data, seed, epoch) for seed in (0, 1) for epoch in (0, 1)}
    for a, b in itertools.combinations(orders.values(), 2):
        assert a != b
        assert sorted(a) == sorted(b)
    assert order(data, 0, 1, batch_size=20) == orders[0, 1]


def test_augmentation_differs_between_steps_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    train = load(AUGMENTED, monkeypatch).train

    # One batch is the whole split; sorted by colour, only augmentation tells two of them apart.
    def black(step: int, seed: int) -> list[float]:
        images, _ = train.batch(step, seed=seed, batch_size=180)
        return (images == 0).float().mean(dim=0).flatten().tolist()

    assert black(0, 0) == black(0, 0)
    assert black(0, 0) != black(1, 0)
    assert black(0, 0) != black(0, 1)


@pytest.mark.parametrize("batch_size", [0, -1, 181])
def test_a_batch_that_cannot_be_full_is_refused(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = load(PLAIN, monkeypatch).train
    message = (
        f"batch_size={batch_size} must be between 1 and the number of training images \\(180\\)"
    )
    with pytest.raises(ValueError, match=message):
        train.steps_per_epoch(batch_size)
    with pytest.raises(ValueError, match=message):
        train.batch(0, seed=0, batch_size=batch_size)


def test_streaming_reads_one_batch_ahead_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    train = load(PLAIN, monkeypatch, "host").train
    asked: list[int] = []
    ready = threading.Semaphore(0)
    plain_batch = train.batch

    def batch(step: int, **keys: Any) -> Any:
        result = plain_batch(step, **keys)
        asked.append(step)
        ready.release()
        return result

    monkeypatch.setattr(train, "batch", batch)
    batches = train.batches(seed=0, batch_size=10, start_step=5, stop_step=8)
    for expected in ([5, 6], [5, 6, 7], [5, 6, 7]):
        next(batches)
        while len(asked) < len(expected):
            assert ready.acquire(timeout=100)
        assert asked == expected
    assert next(batches, None) is None
    assert asked == [5, 6, 7]


def test_abandoned_streaming_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    train = load(PLAIN, monkeypatch, "host").train
    before = threading.active_count()
    batches = train.batches(seed=0, batch_size=10, start_step=0, stop_step=100)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_fault_in_the_thread_reaches_the_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(PLAIN, monkeypatch, "host")

    def gather(*_: object) -> None:
        raise DatasetError("the cache is damaged")

    monkeypatch.setattr(data.train._store, "gather", gather)
    with pytest.raises(DatasetError, match="the cache is damaged"):
        next(data.train.batches(seed=0, batch_size=10, start_step=0, stop_step=3))


def test_on_a_cpu_a_mapped_files_next_batch_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that reads ahead would take its cores from the training."""
    train = load(PLAIN, monkeypatch, "mmap").train
    assert isinstance(train._store, data_module.Store)
    mapped = train._store._mapped
    assert isinstance(mapped, FakeMap)
    batches = train.batches(seed=0, batch_size=60, start_step=1, stop_step=5)
    threads = threading.active_count()
    used = []
    for number, (images, _) in enumerate(batches, 1):
        assert len(mapped.announced) == min(number, 3)
        used.append(identities(images))
    assert mapped.announced == used[1:]  # over the end of an epoch, too
    assert threading.active_count() == threads


def test_moments_are_measured_on_the_training_images_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = load(replace(PLAIN, mean=None, std=None), monkeypatch)
    pixels = (
        numbered(0, NUM_TRAIN)[
            identities(load(PLAIN, monkeypatch).train.batch(0, seed=0, batch_size=180)[0])
        ].reshape(-1, 3)
        / 255
    )
    assert data.mean == pytest.approx(pixels.mean(axis=0), abs=1e-12)
    assert data.std == pytest.approx(pixels.std(axis=0), abs=1e-12)
    images, _ = data.train.batch(0, seed=0, batch_size=180)
    assert images.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)
    assert images.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1] * 3, abs=1e-5)


def test_moments_by_hand() -> None:
    images = np.array([[[[0, 51, 9]], [[255, 51, 9]]], [[[0, 204, 9]], [[255, 204, 9]]]])
    sums = pixel_sums(images.astype(np.uint8))
    assert sums[1].tolist() == [[255, 408, 18], [65025, 83232, 162]]
    mean, std = moments(sums, 2)
    assert mean == pytest.approx((0.5, 0.5, 9 / 255), abs=1e-15)
    assert std == pytest.approx((0.5, 0.3, 1.0), abs=1e-15)  # the last has a single value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (0.5,)}, r"dataset.mean=\[0.5\] must have one number per channel \(3\)"),
        (
            {"augment": replace(OFF, crop_padding=4, flip=False, cutout=0)},
            "dataset.augment.crop_padding=4 must be below the images' 4 pixels",
        ),
        (
            {"augment": replace(OFF, crop_padding=0, flip=False, cutout=9)},
            "dataset.augment.cutout=9 must be below the images' 4 pixels",
        ),
        ({"val_fraction": 0.001}, "dataset.val_fraction=0.001 of 200 images is none"),
        ({"val_fraction": 0.999}, "class a has too few images: 40"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match=message):
        load(replace(PLAIN, **changes), monkeypatch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_gpu_gets_the_same_batches(
    placement: Placement, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = load(AUGMENTED, monkeypatch).train
    config = replace(AUGMENTED, mapped=placement == "mmap")
    train = config.load(torch.device("cuda"), channels_last=channels_last).train
    for step, (images, labels) in enumerate(
        train.batches(seed=7, batch_size=50, start_step=0, stop_step=7)
    ):
        wanted_images, wanted_labels = reference.batch(step, seed=7, batch_size=50)
        assert torch.allclose(images.cpu(), wanted_images, atol=1e-6)
        assert torch.equal(labels.cpu(), wanted_labels)
