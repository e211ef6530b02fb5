"""Batched augmentation against the same thing done image by image, pixel by pixel."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lrbench.dataset import Augment
from lrbench.dataset.kinds import OFF
from lrbench.dataset.transform import Draws, Transform, draw

CPU = torch.device("cpu")


def transform(
    augment: Augment | None,
    *,
    channels: int = 3,
    size: int = 6,
    channels_last: bool,
    mean: float = 0.0,
    std: float = 1 / 255,
) -> Transform:
    """By default one that changes no value: std 1/255 makes a byte its own number."""
    return Transform(
        (channels, size, size),
        mean=(mean,) * channels,
        std=(std,) * channels,
        device=CPU,
        channels_last=channels_last,
        augment=augment,
    )


def stored(images: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """(B, C, H, W) in the layout that the transform takes."""
    return images.permute(0, 2, 3, 1).contiguous() if channels_last else images


def one_by_one(images: np.ndarray, draws: Draws, augment: Augment) -> np.ndarray:
    """Crop, flip and cut out each image (B, C, H, W) with plain NumPy; 0 stands for the mean."""
    results = []
    padding, side = augment.crop_padding, augment.cutout
    size = images.shape[-1]
    for i, image in enumerate(images):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        top, left = draws.top[i], draws.left[i]
        result = padded[:, top : top + size, left : left + size].astype(np.float32)
        if draws.mirrored[i]:
            result = result[:, :, ::-1].copy()
        if side:
            top, left = draws.row[i] - side // 2, draws.column[i] - side // 2
            result[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
        results.append(result)
    return np.stack(results)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "augment",
    [
        replace(OFF, crop_padding=2, flip=False, cutout=0),
        replace(OFF, crop_padding=0, flip=True, cutout=0),
        replace(OFF, crop_padding=0, flip=False, cutout=3),
        replace(OFF, crop_padding=0, flip=False, cutout=4),
        replace(OFF, crop_padding=3, flip=True, cutout=2),
    ],
    ids=str,
)
def test_batch_equals_image_by_image(augment: Augment, channels: int, channels_last: bool) -> None:
    images = torch.randint(1, 256, (64, channels, 6, 6), dtype=torch.uint8)
    draws = draw(augment, 6, seed=3, step=5, batch_size=64)
    apply = transform(augment, channels=channels, channels_last=channels_last)
    before = images.clone()
    output = apply(stored(images, channels_last), draws)
    expected = one_by_one(images.numpy(), draws, augment)
    # x * (1 / (255 * std)) is x but for rounding, and other pixels are at least 1/255 away
    assert np.allclose(output.numpy(), expected, rtol=1e-6, atol=0)
    assert torch.equal(images, before)


@pytest.mark.parametrize("channels_last", [False, True])
def test_hand_worked_crop_and_flip(channels_last: bool) -> None:
    image = torch.tensor([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], dtype=torch.uint8)
    draws = Draws(
        *(
            np.array(values, dtype=np.int64)
            for values in ([0, 2, 1], [0, 1, 2], [0, 0, 1], *3 * ([0] * 3,))
        )
    )
    augment = replace(OFF, crop_padding=1, flip=True, cutout=0)
    apply = transform(augment, channels=1, size=3, channels_last=channels_last)
    output = apply.crop_and_flip(stored(image.repeat(3, 1, 1, 1), channels_last), draws)
    assert output.view(3, 3, 3).tolist() == [
        [[0, 0, 0], [0, 1, 2], [0, 4, 5]],  # corner (0, 0): shifted down and right
        [[4, 5, 6], [7, 8, 9], [0, 0, 0]],  # corner (2, 1): shifted up
        [[0, 3, 2], [0, 6, 5], [0, 9, 8]],  # corner (1, 2): shifted left, then mirrored
    ]


def test_hand_worked_cutout_is_clipped_at_the_border() -> None:
    augment = replace(OFF, crop_padding=0, flip=False, cutout=2)
    apply = transform(augment, channels=1, size=3, channels_last=False)
    images = torch.ones(3, 1, 3, 3)
    zeros = np.zeros(3, dtype=np.int64)
    draws = Draws(
        zeros, zeros, zeros, row=np.array([0, 2, 1]), column=np.array([0, 1, 2]), operations=zeros
    )
    apply.cut_out_(images, draws)
    assert images.view(3, 3, 3).int().tolist() == [
        [[0, 1, 1], [1, 1, 1], [1, 1, 1]],
        [[1, 1, 1], [0, 0, 1], [0, 0, 1]],
        [[1, 0, 0], [1, 0, 0], [1, 1, 1]],
    ]


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalisation_per_channel(channels_last: bool) -> None:
    mean, std = (0.5, 0.25, 0.1), (0.2, 0.3, 0.4)
    apply = Transform(
        (3, 4, 4), mean=mean, std=std, device=CPU, channels_last=channels_last, augment=None
    )
    images = torch.randint(0, 256, (5, 3, 4, 4), dtype=torch.uint8)
    output = apply(stored(images, channels_last), None)
    expected = (images.double() / 255 - torch.tensor(mean, dtype=torch.float64).view(3, 1, 1)) / (
        torch.tensor(std, dtype=torch.float64).view(3, 1, 1)
    )
    assert output.dtype == torch.float32
    assert torch.allclose(output.double(), expected, rtol=0, atol=1e-5)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    assert output.is_contiguous(memory_format=memory_format)


def test_cutout_shows_the_mean_colour() -> None:
    augment = replace(OFF, crop_padding=0, flip=False, cutout=5)
    apply = transform(augment, size=3, channels_last=True, mean=0.4, std=0.2)
    images = torch.full((1, 3, 3, 3), 255, dtype=torch.uint8)
    draws = draw(augment, 3, seed=0, step=0, batch_size=1)
    assert apply(images, draws).min() == 0.0  # (mean - mean) / std


def test_draws_cover_their_ranges_evenly() -> None:
    augment = replace(OFF, crop_padding=2, flip=True, cutout=3)
    draws = draw(augment, 7, seed=0, step=0, batch_size=10_000)
    for values, choices in (
        (draws.top, 5),
        (draws.left, 5),
        (draws.mirrored, 2),
        (draws.row, 7),
        (draws.column, 7),
    ):
        counts = np.bincount(values)
        assert len(counts) == choices
        expected = 10_000 / choices
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()


def test_draws_are_keyed_by_seed_and_step_and_not_by_each_other() -> None:
    on = replace(OFF, crop_padding=2, flip=True, cutout=3)
    first = draw(on, 7, seed=1, step=2, batch_size=50)
    again = draw(on, 7, seed=1, step=2, batch_size=50)
    assert all(
        np.array_equal(a, b)
        for a, b in zip(vars(first).values(), vars(again).values(), strict=True)
    )
    for seed, step in ((1, 3), (2, 2), (2, 1)):
        assert not np.array_equal(first.top, draw(on, 7, seed=seed, step=step, batch_size=50).top)
    plain = draw(
        replace(OFF, crop_padding=2, flip=False, cutout=0), 7, seed=1, step=2, batch_size=50
    )
    assert np.array_equal(first.left, plain.left)
    assert not plain.mirrored.any()


def test_known_draws() -> None:
    """The stream must not change: old runs could not be repeated."""
    draws = draw(
        replace(OFF, crop_padding=4, flip=True, cutout=8), 32, seed=0, step=0, batch_size=4
    )
    assert {name: values.tolist() for name, values in vars(draws).items()} == {
        "top": [4, 8, 8, 7],
        "left": [6, 2, 5, 2],
        "mirrored": [1, 0, 1, 1],
        "row": [5, 10, 7, 23],
        "column": [6, 2, 28, 5],
        "operations": [[]] * 4,
    }
