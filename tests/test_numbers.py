"""Numbers that are not finite, too few or too many: refused or told in one line, or they work."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lrbench import __main__ as program
from lrbench.config import CONF, ConfigError, trust
from lrbench.dataset import DatasetError, ImageDataset, Images
from lrbench.dataset.kinds import OFF
from lrbench.model import Model
from lrbench.run.run import run
from lrbench.task import Shapes

Command = Callable[..., str]


class BadNet(nn.Module):
    """A linear layer that fails as asked."""

    def __init__(self, inputs: int, num_classes: int, how: str) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, num_classes)
        self.norm = nn.BatchNorm1d(num_classes)
        self.how = how

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.linear(images.flatten(1))
        if self.how == "loss" or (self.how == "evaluation" and not self.training):
            return logits * torch.nan
        if self.how == "norm":
            return self.norm(logits)  # type: ignore[no-any-return]
        if self.how == "gradient":  # finite, but with the derivative of sqrt at 0
            return logits + 0 * torch.sqrt(logits * 0)
        return logits


@dataclass(frozen=True, kw_only=True)
class Bad(Model):
    how: str

    def build(self, shapes: Shapes) -> nn.Module:
        return BadNet(math.prod(shapes.inputs), shapes.outputs[0], self.how)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command in-process on a small network; gives what it refused, or ``""``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(trust.VARIABLE, __name__)

    def call(*arguments: str) -> str:
        quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.run.dir=run"]
        monkeypatch.setattr(sys, "argv", ["lrbench", "model=mlp", *arguments, *quiet])
        try:
            program.main()
        except SystemExit as error:
            return str(error.code).removeprefix("lrbench: ")
        return ""

    return call


def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("run/result.json").read_text())
    return found


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("loss", "training loss is nan at update 1, lr 0.1;"),
        ("gradient", "training loss is nan at update 2, lr 0.07"),  # the weights are, from then on
        ("evaluation", "validation loss is nan at update 3, lr 0.02"),
    ],
)
def test_a_model_whose_numbers_are_not_finite(command: Command, how: str, said: str) -> None:
    words = [f"model._target_={__name__}.Bad", f"+model.how={how}", "~model.hidden"]
    line = command(*words, "trainer.length=3 steps")
    assert line.startswith(f"diverged: {said}")
    assert line.endswith("recorded in run/result.json")
    assert result()["status"] == "diverged"


def test_an_lr_without_measure_diverges(command: Command) -> None:
    line = command("optimizer.lr=1e6", "trainer.length=20 steps")
    assert line.startswith("diverged: training loss is nan at update ")
    assert result()["diverged_at"]["lr"] > 1e5
    assert result()["test_loss"] is None


def test_an_fp16_run_without_a_fitting_loss_scale_diverges(command: Command) -> None:
    line = command("optimizer.lr=1e6", "trainer.length=20 steps", "trainer.precision=fp16")
    assert line.startswith("diverged: fp16 gradients are not finite at any loss scale at update ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["trainer.batch_size=2", "trainer.gradient_accumulation_steps=2"],
            "trainer.batch_size=2 in trainer.gradient_accumulation_steps=2 parts gives the model "
            "one value a channel, and its BatchNorm needs more: raise the first or lower the "
            "second",
        ),
        (
            [
                *("optimizer=adam", "optimizer.algorithm._target_=torch.optim.SparseAdam"),
                "~optimizer.algorithm.fused",
            ],
            "optimizer.algorithm._target_=torch.optim.SparseAdam: SparseAdam does not support "
            "dense gradients, please consider Adam instead",
        ),
    ],
)
def test_what_shows_at_the_first_update_only(command: Command, words: list[str], said: str) -> None:
    network = [f"model._target_={__name__}.Bad", "+model.how=norm", "~model.hidden"]
    assert command(*network, *words) == said


FAMILY = sorted(p.stem for p in (CONF / "scheduler").glob("*.yaml") if p.stem[0] != "_")


@pytest.mark.parametrize("scheduler", [*FAMILY[::5], "onecycle", "plateau", "warmup_decay"])
def test_one_update(command: Command, scheduler: str) -> None:
    assert command(f"scheduler={scheduler}", "trainer.length=1 step") == ""
    assert (result()["steps"], result()["status"]) == (1, "completed")
    with Path("run/history.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert 0 <= float(row["lr"]) <= 0.1
    assert row["val_loss"]


def test_one_epoch(command: Command) -> None:
    assert command("trainer.length=1 epoch") == ""
    assert result()["steps"] == 1294 // 64


@pytest.mark.parametrize(
    "words",
    [
        ["model.hidden=[99999999999999]"],
        ["trainer.eval_batch_size=999999999", "model.hidden=[4,999999999999]"],
    ],
)
def test_a_network_larger_than_the_memory(command: Command, words: list[str]) -> None:
    line = command(*words)
    assert line.startswith("not enough memory for this model and batch: you tried to allocate ")
    assert not list(Path().rglob("*.json"))
    assert not Path("run").exists()


def test_other_runtime_errors_are_bugs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("lrbench.run.run._run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        command()
    monkeypatch.setattr("lrbench.run.run._run", lambda *_: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(ConfigError, match=r"not enough memory .* the machine has no more"):
        run(None, Path(), None)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Given(ImageDataset):
    """The images and labels that it is given."""

    images: Any

    def read(self) -> Images:
        found: Images = self.images
        return found


def dataset(images: object, val_fraction: float = 0.1) -> Given:
    return Given(
        images=images,
        val_fraction=val_fraction,
        split_seed=0,
        mean=None,
        std=None,
        augment=OFF,
    )


LABELS = (np.arange(40) % 4).astype(np.int64)


def images(**changes: Any) -> Images:
    """40 grey images of four classes."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    values: dict[str, Any] = {
        "train_images": pixels,
        "train_labels": LABELS,
        "test_images": pixels[:9],
        "test_labels": LABELS[:9],
        "class_names": ("a", "b", "c", "d"),
    }
    return Images(**{**values, **changes})


ZEROS = np.zeros((40, 8, 8, 1), dtype=np.uint8)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (3, "lrbench.dataset.Images"),
        (images(train_labels=LABELS * 2), "train_labels from 0 to 3, not from 0 to 6"),
        (images(train_labels=LABELS - 1), "train_labels from 0 to 3, not from -1 to 2"),
        (images(train_labels=LABELS.astype(float)), "train_labels as int64, one for each image"),
        (images(train_labels=LABELS[1:]), "train_labels as int64, one for each image"),
        (images(train_labels=LABELS.tolist()), "train_labels as int64, one for each image"),
        (images(train_images=ZEROS / np.nan), "train_images as uint8"),
        (
            images(train_images=ZEROS[:, :, :4]),
            r"square train_images \(N, H, W, C\), not \(40, 8, 4",
        ),
        (
            images(train_images=ZEROS[..., 0]),
            r"square train_images \(N, H, W, C\), not \(40, 8, 8\)",
        ),
        (images(train_images=ZEROS[:0]), r"square train_images \(N, H, W, C\), not \(0, 8, 8, 1\)"),
        (images(train_images=ZEROS.tolist()), r"square train_images \(N, H, W, C\), not \(\)"),
        (images(test_images=ZEROS[:0]), r"square test_images \(N, H, W, C\), not \(0, 8, 8, 1\)"),
        (images(test_images=ZEROS[:9, :4, :4]), "test_images of the training images' shape, not"),
        (images(test_labels=LABELS[:9] + 1), "test_labels from 0 to 3, not from 1 to 4"),
        (images(test_labels=None), "test_images and test_labels, or test_fraction"),
    ],
)
def test_what_a_reader_must_not_give(wrong: object, rule: str) -> None:
    with pytest.raises(DatasetError, match=rf"^Given\.read must give {rule}"):
        dataset(wrong).load(torch.device("cpu"), channels_last=False)


@pytest.mark.parametrize("names", [(), ("a",)])
def test_fewer_than_two_classes(names: tuple[str, ...]) -> None:
    wrong = images(class_names=names, train_labels=LABELS * 0, test_labels=LABELS[:9] * 0)
    with pytest.raises(DatasetError, match=r"^a dataset must have two classes or more, not [01]"):
        dataset(wrong).load(torch.device("cpu"), channels_last=False)


@pytest.mark.parametrize("count", [1, 2])
def test_a_validation_set_of_one_image_or_one_class(count: int) -> None:
    few = images(train_labels=np.sort(LABELS))
    if count == 2:  # 30 of one class: both validation images are of it
        labels = np.repeat([0, 1, 2, 3], [31, 3, 3, 3]).astype(np.int64)
        few = images(train_labels=labels)
    data = dataset(few, val_fraction=count / 40).load(torch.device("cpu"), channels_last=False)
    assert len(data.val) == count
    ((_, labels_seen),) = data.val.batches(512)
    assert len(set(labels_seen.tolist())) == 1
