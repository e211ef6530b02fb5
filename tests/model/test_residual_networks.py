"""Residual networks against torchvision's, and their blocks by hand."""

from __future__ import annotations

import torch
from torch import nn

from lrbench.model.resnet import Block, ResNetModule, Subsample
from lrbench.model.wide_resnet import Block as WideBlock


def test_resnet18_is_torchvisions_with_another_stem() -> None:
    import torchvision

    ours = ResNetModule(
        blocks=(2, 2, 2, 2), width=64, projection=True, in_channels=3, num_classes=10
    )
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    values = ours.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    images = torch.randn(4, 3, 16, 16)
    for mode in (True, False):  # the first pass moves the running statistics of both
        ours.train(mode)
        theirs.train(mode)
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


def test_shortcut_takes_every_second_pixel_and_pads_with_zeros() -> None:
    features = torch.arange(2 * 9.0).view(1, 2, 3, 3)
    found = Subsample(stride=2, new_channels=1)(features)
    expected = [[[0, 2], [6, 8]], [[9, 11], [15, 17]], [[0, 0], [0, 0]]]
    assert found.tolist() == [expected]


def test_block_without_its_branch_is_the_shortcut() -> None:
    features = torch.randn(2, 3, 5, 5)
    halved = torch.cat((features[:, :, ::2, ::2], torch.zeros(2, 3, 3, 3)), 1)
    for channels, stride, expected in ((6, 2, halved), (3, 1, features)):
        block = Block(3, channels, stride, projection=False)
        nn.init.zeros_(block.norm2.weight)
        torch.testing.assert_close(block(features), expected.relu(), rtol=0, atol=0)


def test_block_is_the_papers_formula() -> None:
    block = Block(2, 4, 2, projection=False).eval()
    for norm in (block.norm1, block.norm2):
        nn.init.uniform_(norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(norm.bias)
    features = torch.randn(2, 2, 6, 6)
    branch = block.norm2(block.conv2(block.norm1(block.conv1(features)).clamp(min=0)))
    kept = torch.cat((features[:, :, ::2, ::2], torch.zeros(2, 2, 3, 3)), 1)
    expected = (branch + kept).clamp(min=0)
    torch.testing.assert_close(block(features), expected)


def test_wide_block_keeps_the_input_or_projects_its_activation() -> None:
    features = torch.randn(2, 3, 4, 4)
    same, halved = WideBlock(3, 3, 1).eval(), WideBlock(3, 6, 2).eval()
    for block in (same, halved):
        nn.init.zeros_(block.conv2.weight)
    torch.testing.assert_close(same(features), features, rtol=0, atol=0)
    assert halved.shortcut is not None
    torch.testing.assert_close(halved(features), halved.shortcut(halved.norm1(features).relu()))
