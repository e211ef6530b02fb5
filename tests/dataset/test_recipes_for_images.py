"""Mixup, CutMix and RandAugment, done to whole batches, against torchvision's."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.autoaugment import RandAugment, _apply_op

from lrbench.config import load
from lrbench.dataset import TrainSplit
from lrbench.dataset.kinds import OFF
from lrbench.dataset.mixing import Mix, blend, paste
from lrbench.dataset.randaugment import MAX_MAGNITUDE, OPERATIONS, rand_augment
from lrbench.dataset.transform import draw
from lrbench.task import Examples, Task

RANDOM = torch.Generator().manual_seed(0)
IMAGES = torch.randn(6, 3, 9, 8, generator=RANDOM).contiguous(memory_format=torch.channels_last)
CLASSES = torch.tensor([0, 3, 1, 4, 4, 2])
NAMES = (
    *("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"),
    *("Sharpness", "Identity", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)


def digits(channels_last: bool = True, **augment: Any) -> TrainSplit:
    node = {"_target_": "lrbench.dataset.Augment", **asdict(OFF), "crop_padding": 1, **augment}
    dataset = load("dataset", "digits", augment=node)
    split: TrainSplit = dataset.load(torch.device("cpu"), channels_last=channels_last).train
    return split


def test_mixup_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = v2.MixUp(num_classes=5)
    monkeypatch.setattr(theirs, "make_params", lambda _: {"lam": 0.3})
    images, shares = theirs(IMAGES, CLASSES)
    torch.testing.assert_close(blend(IMAGES, 0.3), images)
    torch.testing.assert_close(blend(torch.eye(5)[CLASSES], 0.3), shares)


@pytest.mark.parametrize(("own", "row", "column"), [(0.6, 0, 7), (0.3, 5, 2), (0.02, 8, 0)])
def test_cutmix_is_torchvisions(
    monkeypatch: pytest.MonkeyPatch, own: float, row: int, column: int
) -> None:
    theirs, places = v2.CutMix(num_classes=5), iter((column, row))
    monkeypatch.setattr(theirs._dist, "sample", lambda _: torch.tensor([own]))
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([next(places)]))
    images, shares = theirs(IMAGES, CLASSES)
    mixed, kept = paste(IMAGES, own, (row + 0.5) / 9, (column + 0.5) / 8)
    assert torch.equal(mixed, images)
    torch.testing.assert_close(blend(torch.eye(5)[CLASSES], kept), shares)


def test_mixing_is_a_function_of_seed_and_update() -> None:
    mix = Mix(replace(OFF, mixup=0.2, cutmix=1.0), 5)
    shares = []
    for step in range(400):
        images, share = mix(IMAGES, CLASSES, seed=3, step=step)
        again, _ = mix(IMAGES, CLASSES, seed=3, step=step)
        assert torch.equal(images, again)
        assert images.stride() == IMAGES.stride()
        torch.testing.assert_close(share.sum(1), torch.ones(6))
        shares.append(float(share[0, 0]))
    # Beta(0.2, 0.2) is below 0.01 with probability 0.2, Beta(1, 1) hardly ever.
    assert 0.05 < np.mean(np.array(shares) < 0.01) < 0.2
    assert len(set(shares)) > 200


def test_a_process_trains_on_its_share_of_the_mixed_batch() -> None:
    split = digits(mixup=1)
    images, shares = split.batch(5, seed=0, batch_size=12)
    places = np.array([1, 4, 5])
    own, own_shares = split.batch(5, seed=0, batch_size=12, share=places)
    assert torch.equal(own, images[places])
    assert torch.equal(own_shares, shares[places])
    assert own_shares.shape == (3, 10)


def test_a_classification_of_mixed_examples() -> None:
    """Oracle: each class of an example on its own, weighted by its share."""
    examples = Examples(inputs=(4,), targets=CLASSES.numpy(), num_values=5, unit="images")
    task: Task = load("task", "classification").build(examples)
    outputs = torch.randn(6, 5, generator=RANDOM)
    shares = blend(torch.eye(5)[CLASSES], 0.7)
    before = CLASSES.roll(1)
    expected = 0.7 * task.loss(outputs, CLASSES) + 0.3 * task.loss(outputs, before)
    torch.testing.assert_close(task.loss(outputs, shares), expected)
    total, count = task.score(outputs, shares)["accuracy"]
    right = 0.7 * (outputs.argmax(1) == CLASSES) + 0.3 * (outputs.argmax(1) == before)
    torch.testing.assert_close(total / count, right.mean())


@pytest.mark.parametrize("magnitude", [9, 27])
def test_randaugments_operations_are_torchvisions(magnitude: int) -> None:
    images = torch.randint(0, 256, (2, 3, 17, 17), dtype=torch.uint8, generator=RANDOM)
    known = RandAugment()._augmentation_space(MAX_MAGNITUDE + 1, (17, 17))
    assert sorted(NAMES) == sorted(known)
    assert len(NAMES) == len(OPERATIONS)
    for place, name in enumerate(NAMES):
        strengths, signed = known[name]
        strength = float(strengths[magnitude]) if strengths.ndim else 0.0
        for negative in (0, 1):
            found = rand_augment(images, np.full((2, 1), 2 * place + negative), magnitude)
            own = -strength if negative and signed else strength
            for image, ours in zip(images, found, strict=True):
                theirs = _apply_op(image, name, own, InterpolationMode.NEAREST, None)
                off = (ours.int() - theirs.int()).abs()
                assert off.max() <= 1, name  # v1's functions, the oracle, round otherwise


def test_each_image_has_its_own_operations() -> None:
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=RANDOM)
    operations = draw(replace(OFF, randaugment=2), 8, seed=0, step=0, batch_size=64).operations
    assert len(np.unique(operations)) == 2 * len(OPERATIONS)
    found = rand_augment(images, operations, 9)
    for place in range(64):
        alone = rand_augment(images[place : place + 1], operations[place : place + 1], 9)
        assert torch.equal(found[place], alone[0])


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_are_augmented(channels_last: bool) -> None:
    plain, augmented = digits(channels_last), digits(channels_last, randaugment=2, magnitude=9)
    before, after = (s.batch(3, seed=0, batch_size=64)[0] for s in (plain, augmented))
    assert before.shape == after.shape
    assert before.stride() == after.stride()
    differ = (before != after).flatten(1).any(1).float().mean()
    assert 0.7 < differ <= 1
