"""The bundled digits: equal to scikit-learn's own reading of them, and split as documented."""

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.datasets import load_digits

from lrbench.config import ConfigError, build
from lrbench.config.compose import read_choice
from lrbench.dataset import DatasetError, Digits, Sizes
from lrbench.dataset import digits as digits_module

CPU = torch.device("cpu")
DIGITS = digits_module._digits_file().read_bytes()


def digits(**changes: object) -> Digits:
    node = read_choice("dataset", "digits").dataset
    return build(OmegaConf.merge(node, changes), "dataset")


def test_read_equals_scikit_learn() -> None:
    images = digits().read()
    oracle = load_digits()
    assert isinstance(images.train_images, np.ndarray)
    assert np.array_equal(images.train_images[..., 0], oracle.images * 15)
    assert np.array_equal(images.train_labels, oracle.target)


def test_sizes_agree_with_the_loaded_splits() -> None:
    config = digits()
    assert config.sizes() == Sizes(train=1294, val=144, test=359)
    data = config.load(CPU, channels_last=False)
    assert (len(data.train), len(data.val), len(data.test)) == (1294, 144, 359)
    assert (data.examples.inputs, data.examples.num_values) == ((1, 8, 8), 10)
    assert data.class_names == tuple("0123456789")
    assert data.placement == "device"


def test_configured_moments_are_those_of_the_training_images() -> None:
    given = digits()
    measured = digits(mean=None, std=None).load(CPU, channels_last=False)
    assert given.mean == pytest.approx(measured.mean, abs=1e-3)
    assert given.std == pytest.approx(measured.std, abs=1e-3)


@pytest.mark.parametrize(
    "content",
    [
        DIGITS[:9000],
        DIGITS[:9000] + b"x" * 90 + DIGITS[9090:],
        b"no gzip",
        gzip.compress(b"1,2,3\n4,5,6\n", mtime=0),
    ],
)
def test_a_damaged_file_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    monkeypatch.setattr(digits_module, "_digits_file", lambda: path)
    with pytest.raises(DatasetError) as error:
        digits().read()
    assert str(error.value).startswith(str(path))
    assert str(error.value).endswith(": reinstall scikit-learn")
    assert "\n" not in str(error.value)


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = (
        "import sys, lrbench.dataset; "
        "print(*sorted({'torch', 'torchvision', 'sklearn', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"val_fraction": 0}, "dataset.val_fraction=0.0 must be in (0, 1)"),
        ({"test_fraction": 1.5}, "dataset.test_fraction=1.5 must be in (0, 1)"),
        ({"split_seed": -1}, "dataset.split_seed=-1 must be 0 or more"),
        ({"std": [0]}, "dataset.std=[0.0] must be finite numbers above 0"),
        ({"mean": None}, "dataset.mean=None must be given where the other of mean and std is"),
        (
            {"augment": {"crop_padding": -1}},
            "dataset.augment.crop_padding=-1 must be 0 or more",
        ),
        ({"augment": {"cutout": -2}}, "dataset.augment.cutout=-2 must be 0 or more"),
    ],
)
def test_mistakes_name_key_value_and_rule(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        digits(**changes)
    assert str(error.value) == message
