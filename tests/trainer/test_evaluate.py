"""Evaluation counts each image once, whatever the batches."""

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.task import Classification, Examples
from lrbench.trainer.evaluate import evaluate

IMAGES = torch.randn(103, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(103) % 5
TASK = Classification(label_smoothing=0.0).build(
    Examples(inputs=(1, 4, 4), targets=LABELS.numpy(), num_values=5, unit="images")
)


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 5))


def batches(size: int) -> Iterator[tuple[Tensor, Tensor]]:
    yield from zip(IMAGES.split(size), LABELS.split(size), strict=True)


@pytest.mark.parametrize(("size", "fill"), [(103, None), (10, None), (10, 10), (64, 64), (1, None)])
def test_equals_the_whole_split_at_once(size: int, fill: int | None) -> None:
    net = model()
    result = evaluate(net, batches(size), TASK, autocast=nullcontext, batch_size=fill)
    net.eval()
    logits = net(IMAGES)
    assert result is not None
    assert result["loss"] == pytest.approx(F.cross_entropy(logits, LABELS).item(), rel=1e-5)
    expected = (logits.argmax(1) == LABELS).double().mean().item()
    assert result["accuracy"] == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("strides", [(16, 16, 4, 1), (16, 1, 4, 1)], ids=["NCHW", "NHWC"])
def test_filling_shows_a_compiled_model_one_shape(strides: tuple[int, ...]) -> None:
    seen = set()
    net = model()
    net.register_forward_hook(
        lambda _m, inputs, _o: seen.add((inputs[0].shape, inputs[0].stride()))
    )
    laid_out = ((x.as_strided(x.shape, strides), y) for x, y in batches(10))
    result = evaluate(net, laid_out, TASK, autocast=nullcontext, batch_size=10)
    assert seen == {((10, 1, 4, 4), strides)}
    assert result == evaluate(net, batches(10), TASK, autocast=nullcontext, batch_size=10)


def test_leaves_the_mode_and_the_statistics_as_they_were() -> None:
    net = model().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    evaluate(net, batches(10), TASK, autocast=nullcontext)
    assert net.training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_a_stop_is_heard_between_batches() -> None:
    asked = iter([False, False, True])
    net = model()
    assert evaluate(net, batches(10), TASK, autocast=nullcontext, stop=lambda: next(asked)) is None
    assert net.training
