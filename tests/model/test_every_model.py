"""Every file of conf/model: shapes, weight counts, one real update, seeds, layouts, mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch.nn import functional as F

from lrbench.config import build
from lrbench.model import build_model
from lrbench.optimizer import Optimizer
from lrbench.task import Shapes

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
NAMES = [  # those for tables and texts: in files of their own
    name for name in NAMES if not name.startswith(("ft_", "gpt", "hugging"))
]
SMALL = [n for n in NAMES if n not in ("resnet44", "resnet56", "resnet110", "wrn_28_10")]
SLIM = {"wrn_28_10": {"widen_factor": 2}}  # all its layers without its 36 million weights
SHAPES = [(1, 8), (1, 28), (3, 32)]  # digits, MNIST, CIFAR


def model(
    name: str,
    in_channels: int = 1,
    image_size: int = 8,
    num_classes: int = 10,
    seed: int = 0,
    **changes: Any,
) -> nn.Module:
    node = OmegaConf.merge(OmegaConf.load(CONF / "model" / f"{name}.yaml"), changes)
    return build_model(
        build(node, "model"),
        Shapes(inputs=(in_channels, image_size, image_size), outputs=(num_classes,)),
        seed=seed,
    )


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def size_for(name: str) -> int:
    return 28 if name == "lenet" else 8


@pytest.mark.parametrize(
    ("name", "paper", "exact"),  # the paper's millions; the count for 3 channels and 10 classes
    [
        ("resnet20", 0.27, 269_722),
        ("resnet32", 0.46, 464_154),
        ("resnet44", 0.66, 658_586),
        ("resnet56", 0.85, 853_018),
        ("resnet110", 1.7, 1_727_962),
        ("resnet18", 11.17, 11_173_962),
        ("wrn_28_10", 36.5, 36_479_194),
    ],
)
def test_number_of_weights_is_the_papers(name: str, paper: float, exact: int) -> None:
    found = count(model(name, 3, 32))
    assert found == exact
    decimals = len(str(paper).partition(".")[2])
    assert round(found / 1e6, decimals) == paper


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_depth_counts_the_layers_with_weights(depth: int) -> None:
    layers = [m for m in model("resnet8", depth=depth).modules() if isinstance(m, nn.Conv2d)]
    assert len(layers) + 1 == depth  # and the classifier


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("in_channels", "image_size"), SHAPES)
def test_logits_for_each_shape_of_image(name: str, in_channels: int, image_size: int) -> None:
    if (name, image_size) == ("lenet", 8):
        with pytest.raises(ValueError, match=r"^image_size=8 is too small for LeNet.*model=mlp"):
            model(name, in_channels, image_size)
        return
    network = model(name, in_channels, image_size, num_classes=7, **SLIM.get(name, {})).eval()
    with torch.no_grad():
        logits = network(torch.randn(2, in_channels, image_size, image_size))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_one_update_changes_every_weight(name: str) -> None:
    size = size_for(name)
    network = model(name, 1, size, **SLIM.get(name, {})).train()
    spec = build(OmegaConf.load(CONF / "optimizer" / "sgd.yaml"), "optimizer")
    assert isinstance(spec, Optimizer)
    optimizer = spec.build(network)
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    torch.manual_seed(0)
    images, labels = torch.randn(8, 1, size, size), torch.arange(8)
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()
    unchanged = [key for key, p in network.named_parameters() if torch.equal(before[key], p)]
    assert unchanged == []


@pytest.mark.parametrize("name", SMALL)
def test_initial_weights_depend_on_the_seed_alone(name: str) -> None:
    size = size_for(name)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    first = model(name, 1, size, seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(321)
    torch.rand(7)
    again, other = (model(name, 1, size, seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(first[key], again[key]) for key in first)
    weights = [key for key in first if key.endswith(".weight") and first[key].ndim > 1]
    assert weights
    assert not any(torch.equal(first[key], other[key]) for key in weights)


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "lenet", "vit_tiny", "mlp"])
def test_channels_last_gives_the_same_logits(name: str) -> None:
    network = model(name, 3, 28).eval()
    images = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = network(images)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found = network(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet8", "wrn_28_10", "lenet", "vit_tiny", "mlp"])
def test_compiles_into_one_graph(name: str) -> None:
    changes = {"wrn_28_10": {"depth": 10, "widen_factor": 1}, "vit_tiny": {"depth": 1}}
    network = model(name, 1, 28, **changes.get(name, {}))
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert compiled(torch.randn(2, 1, 28, 28)).shape == (2, 10)


def test_smallest_image_of_lenet() -> None:
    assert model("lenet", 1, 12)(torch.randn(2, 1, 12, 12)).shape == (2, 10)
    with pytest.raises(ValueError, match=r"^image_size=11 is too small for LeNet"):
        model("lenet", 1, 11)
    layers = (6 * 26, 16 * 151, 120 * 401, 84 * 121, 10 * 85)  # units × (inputs + bias)
    assert count(model("lenet", 1, 28)) == sum(layers) == 61_706


def test_mlp_without_hidden_layers_is_softmax_regression() -> None:
    network = model("mlp", 1, 8, hidden=[])
    assert [tuple(p.shape) for p in network.parameters()] == [(10, 64), (10,)]


def test_he_initialization() -> None:
    for name, key, std in (
        ("resnet18", "blocks.6.conv1.weight", (2 / (9 * 512)) ** 0.5),  # from 256 channels to 512
        ("mlp", "3.weight", (2 / 256) ** 0.5),
        ("vit_tiny", "blocks.0.hidden.weight", 0.02),
    ):
        weights = model(name).state_dict()[key]
        assert weights.std().item() == pytest.approx(std, rel=0.02)
        assert abs(weights.mean().item()) < 0.02 * std


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("resnet8", {"depth": 21}, r"model\.depth=21 must be 6n \+ 2: 8, 14, 20, .*"),
        ("resnet8", {"depth": 2}, r"model\.depth=2 must be 6n \+ 2.*"),
        ("resnet8", {"width": 0}, r"model\.width=0 must be at least 1 channel"),
        ("resnet8", {"widht": 16}, r"model\.widht=16 is not a key .* did you mean width\?"),
        ("resnet8", {"depth": "deep"}, r"model\.depth=deep must be of type int"),
        ("resnet18", {"blocks": []}, r"model\.blocks=\[\] must be a list of numbers .*"),
        ("resnet18", {"blocks": [2, 0]}, r"model\.blocks=\[2, 0\] must be a list of numbers .*"),
        ("wrn_28_10", {"depth": 27}, r"model\.depth=27 must be 6n \+ 4: 10, 16, .*"),
        ("wrn_28_10", {"widen_factor": 0}, r"model\.widen_factor=0 must be at least 1"),
        ("mlp", {"hidden": [0]}, r"model\.hidden=\[0\] must be a list of numbers .*"),
        ("vit_tiny", {"heads": 5}, r"model\.heads=5 must divide dim=192"),
        ("vit_tiny", {"heads": 0}, r"model\.heads=0 must be at least 1"),
        (
            "vit_tiny",
            {"patch_size": 16},
            r"model\.patch_size=16 must divide the image size of 8 pixels: "
            r"write model\.patch_size=8",
        ),
    ],
)
def test_mistakes_are_told_in_one_line(name: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"^{message}$"):
        model(name, **changes)


def test_specs_are_checked_without_torch() -> None:
    code = """
import sys
from pathlib import Path
from omegaconf import OmegaConf
from lrbench.config import build
for group in ("model", "optimizer"):
    for path in sorted((Path(sys.argv[1]) / group).glob("*.yaml")):
        if path.stem != "torchvision_resnet18":
            build(OmegaConf.load(path), group)
print("torch" in sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(CONF)], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")
