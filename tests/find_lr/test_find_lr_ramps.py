"""Ramps that train: against torch-lr-finder, and in a loop of one's own without a trace."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrbench.config import load
from lrbench.find_lr import range_test, rules, settings
from lrbench.find_lr.configured import Parts, run_ramp
from lrbench.model import build_model
from lrbench.optimizer.schedule_free import start_training
from lrbench.task import Shapes

mpl.use("Agg")

SEED = 3


class Unread:
    """A split that has a size, and whose examples cannot be read."""

    def __len__(self) -> int:
        return 1


@pytest.fixture(scope="module")
def parts() -> Parts:
    """The default run on digits with a small model; validation and test cannot be read."""
    device = torch.device("cpu")
    trainer = load("trainer", "default")
    data = load("dataset", "digits").load(device, channels_last=trainer.channels_last)
    return Parts(
        model=load("model", "mlp"),
        task=load("task", "classification"),
        data=replace(data, val=Unread(), test=Unread()),  # type: ignore[arg-type]
        optimizer=load("optimizer", "sgd"),
        trainer=trainer,
        device=device,
    )


def new_model(parts: Parts) -> nn.Module:
    return build_model(parts.model, Shapes(inputs=(1, 8, 8), outputs=(10,)), seed=SEED)


def test_lrs_losses_and_steepest_are_those_of_torch_lr_finder(parts: Parts, tmp_path: Path) -> None:
    from torch_lr_finder import (  # type: ignore[import-untyped]
        LRFinder,
        TrainDataLoaderIter,
    )

    # Below instability: chaos would make the last bit of an lr a digit of the loss.
    test = settings(lr_min=1e-4, lr_max=0.5, num_steps=60, smoothing=0)
    curve = run_ramp(parts, test, seed=SEED, folder=tmp_path)

    class Batches(TrainDataLoaderIter):  # type: ignore[misc]
        def __init__(self) -> None:
            size = parts.trainer.batch_size
            self.batches = parts.data.train.batches(
                seed=SEED, batch_size=size, start_step=0, stop_step=test.num_steps
            )

        def __next__(self) -> tuple[Tensor, Tensor]:
            return next(self.batches)

    model = new_model(parts)
    optimizer = parts.optimizer.build(model)
    for group in optimizer.param_groups:
        del group["initial_lr"]  # it would take this for a scheduler
    finder = LRFinder(model, optimizer, nn.CrossEntropyLoss(), device="cpu")
    finder.range_test(Batches(), start_lr=1e-4, end_lr=0.5, num_iter=60, smooth_f=0, diverge_th=4)
    np.testing.assert_allclose(curve.lr, finder.history["lr"], rtol=1e-12)
    np.testing.assert_allclose(curve.loss, finder.history["loss"], rtol=1e-4)
    assert (curve.loss[0], curve.lr[-1]) == pytest.approx((finder.history["loss"][0], 0.5))
    _, theirs = finder.plot(skip_start=10, skip_end=5)
    lrs, losses = (np.array(finder.history[key][10:-5]) for key in ("lr", "loss"))
    assert rules.steepest(lrs, losses) == pytest.approx(theirs)


def test_a_configured_ramp_diverges_and_says_where(parts: Parts, tmp_path: Path) -> None:
    test = settings(lr_min=1e-2, lr_max=1e4, num_steps=60)
    curve = run_ramp(parts, test, seed=0, folder=tmp_path)
    assert curve.diverged
    assert len(curve.lr) < 60
    np.testing.assert_allclose(curve.lr, test.lrs[: len(curve.lr)])


def test_accumulation_and_clipping_are_the_runs(parts: Parts, tmp_path: Path) -> None:
    test = settings(lr_min=0.1, lr_max=10, num_steps=20)
    plain = run_ramp(parts, test, seed=0, folder=tmp_path)

    def changed(**changes: Any) -> np.ndarray:
        other = replace(parts, trainer=replace(parts.trainer, **changes))
        return run_ramp(other, test, seed=0, folder=tmp_path).loss

    np.testing.assert_allclose(changed(gradient_accumulation_steps=4)[:5], plain.loss[:5], 1e-3)
    clipped = changed(max_grad_norm=1e-9)  # nothing moves
    assert clipped[19] > plain.loss.min()
    assert clipped[0] == plain.loss[0]


class Net(nn.Module):
    """With all that a test could leave changed."""

    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.ReLU())
        self.head = nn.Linear(8, 3)
        self.register_buffer("counts", torch.zeros(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.counts = self.counts + 1  # replaced, not filled
        return self.head(self.layers(x))


class Training:
    """A loop of one's own, whose batches have addresses."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        self.model = Net()
        self.optimizer: Any = load("optimizer", name).build(self.model)
        start_training(self.optimizer)
        self.fails_at = -1
        self.taken = 0

    def update(self) -> Tensor:
        if self.taken == self.fails_at:
            raise RuntimeError("on purpose")
        self.taken += 1
        shift = random.random() + np.random.rand()  # noqa: NPY002
        x = torch.randn(16, 4) + shift
        loss = F.cross_entropy(self.model(x), (x[:, 0] > shift).long())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def everything(self) -> dict[str, Any]:
        """All that must be untouched, copied."""
        modules = list(self.model.modules())
        return copy.deepcopy(
            {
                "weights": [p.detach() for p in self.model.parameters()],
                "grads": [p.grad for p in self.model.parameters()],
                "buffers": [b for m in modules for b in m._buffers.values()],
                "modes": [m.training for m in modules],
                "optimizer": self.optimizer.state_dict(),
                "torch": torch.get_rng_state(),
                "python": random.getstate(),
                "numpy": np.random.get_state(),  # noqa: NPY002
            }
        )


def same(a: Any, b: Any) -> bool:
    """Equal to the bit, through lists and dicts."""
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor):
        return bool(torch.equal(a, b))
    return bool(np.array_equal(a, b))


TEST = settings(lr_min=1e-3, lr_max=1, num_steps=20)
OPTIMIZERS = ("sgd", "adamw", "schedulefree_sgd")


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_touched_even_by_a_test_that_fails(name: str, fails: bool) -> None:
    training = Training(name)
    for _ in range(3):
        training.update()
    training.model.eval()
    training.model.head.train()  # modes may differ
    before = training.everything()
    parameters = [id(p) for p in training.model.parameters()]
    if fails:
        training.fails_at = 10
        with pytest.raises(RuntimeError, match="on purpose"):
            range_test(training.update, training.model, training.optimizer, TEST)
    else:
        curve = range_test(training.update, training.model, training.optimizer, TEST)
        np.testing.assert_allclose(curve.lr, TEST.lrs)
        assert training.taken == 23
    after = training.everything()
    for key in before:
        assert same(before[key], after[key]), key
    assert parameters == [id(p) for p in training.model.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_as_if_there_had_been_no_test(name: str) -> None:
    results = []
    for tested in (False, True):
        training = Training(name)
        training.update()
        if tested:
            range_test(training.update, training.model, training.optimizer, TEST)
        for _ in range(3):
            training.update()
        results.append(training.everything())
    assert same(*results)


def test_groups_keep_their_ratio_and_zero_cannot_be_raised() -> None:
    training = Training("sgd")
    training.optimizer.param_groups[1]["initial_lr"] /= 4
    seen = []

    def update() -> float:
        seen.append([group["lr"] for group in training.optimizer.param_groups])
        return 1.0

    curve = range_test(update, training.model, training.optimizer, TEST)
    assert seen[-1] == pytest.approx([1.0, 0.25])
    assert curve.lr[-1] == pytest.approx(1.0)
    training.optimizer.param_groups[0]["initial_lr"] = 0.0
    with pytest.raises(ValueError, match="must be above 0"):
        range_test(update, training.model, training.optimizer, TEST)


def test_the_optimizers_own_lr_does_not_matter(parts: Parts, tmp_path: Path) -> None:
    test = settings(lr_min=1e-3, lr_max=1, num_steps=20)
    other = replace(parts, optimizer=replace(parts.optimizer, lr=7.0))
    a = run_ramp(parts, test, seed=0, folder=tmp_path)
    b = run_ramp(other, test, seed=0, folder=tmp_path)
    assert a.loss.tolist() == b.loss.tolist()
