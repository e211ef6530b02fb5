"""Networks of other libraries: what they are given, how they are fitted, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrbench.config import build, trust
from lrbench.model import build_model
from lrbench.task import Shapes


@pytest.fixture(autouse=True)
def _trust_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, __name__)


class ThreeShapes(nn.Linear):
    """A network that asks for all three shapes."""

    def __init__(self, in_channels: int, image_size: int, num_classes: int, bias: bool) -> None:
        super().__init__(in_channels * image_size**2, num_classes, bias)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.flatten(1))


class TwoOutputs(ThreeShapes):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return super().forward(images), images


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, groups=3)


def no_network(num_classes: int) -> int:
    return num_classes


def network(target: str, in_channels: int = 1, image_size: int = 8, **keys: Any) -> nn.Module:
    spec = build({"_target_": target, **keys}, "model")
    shapes = Shapes(inputs=(in_channels, image_size, image_size), outputs=(10,))
    return build_model(spec, shapes, seed=0)


def test_first_convolution_is_fitted_to_the_channels() -> None:
    import torchvision

    found = network("torchvision.models.resnet18", weights=None)
    original = torchvision.models.resnet18(num_classes=10)
    first, expected = found.get_submodule("conv1"), original.conv1
    assert isinstance(first, nn.Conv2d)
    for name in ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(first, name) == getattr(expected, name)
    assert (first.in_channels, first.bias) == (1, None)
    others = {k: v.shape for k, v in original.state_dict().items() if k != "conv1.weight"}
    assert {k: v.shape for k, v in found.state_dict().items() if k != "conv1.weight"} == others


def test_matching_channels_leave_the_network_as_it_is() -> None:
    import torchvision

    found = network("torchvision.models.resnet18", in_channels=3, image_size=32, weights=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        expected = torchvision.models.resnet18(num_classes=10).state_dict()
    state = found.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)  # running statistics too


def test_shapes_are_given_by_name() -> None:
    found = network(f"{__name__}.ThreeShapes", in_channels=2, image_size=3, bias=False)
    assert [tuple(p.shape) for p in found.parameters()] == [(10, 18)]


@pytest.mark.parametrize(
    ("target", "keys", "message"),
    [
        (
            f"{__name__}.ThreeShapes",
            {"bias": True, "num_classes": 7},
            r"model: \S+ThreeShapes turns 2 images of 1×8×8 into \(2, 7\); "
            r"it must give one output of shape \(2, 10\)",
        ),
        (f"{__name__}.TwoOutputs", {"bias": True}, r"model: \S+ turns 2 images .* into tuple; .*"),
        (f"{__name__}.no_network", {}, r"model\._target_=\S+ must make a torch\.nn\.Module"),
        (
            f"{__name__}.Grouped",
            {},
            r"model: the first convolution of \S+ \(conv\) is for 3 channels and the images "
            r"have 1: set the number of channels by a key of its own in the YAML",
        ),
        (
            "torchvision.models.squeezenet1_0",
            {"weights": None},
            r"model: torchvision\.models\.squeezenet1_0 cannot take images of 1×8×8: .*",
        ),
        (
            "torchvision.models.resnet18",
            {"weights": "DEFAULT"},
            r"model: torchvision\.models\.resnet18: .*num_classes.*1000 but got 10.*",
        ),
        (
            "torchvision.models.resnet18",
            {"weights": "nope"},
            r"model: torchvision\.models\.resnet18: KeyError: 'nope'",
        ),
        (
            "torchvision.models.resnet18",
            {"weights": None, "num_classes": -3},
            r"model: torchvision\.models\.resnet18: RuntimeError: .* negative dimension -3: .*",
        ),
        (
            "torchvision.models.resnt18",
            {},
            r"model\._target_=torchvision\.models\.resnt18: .*did you mean resnet18\?",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    target: str, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        network(target, **keys)
