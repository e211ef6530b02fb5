"""The presets under scheduler/keras against the real Keras, in absolute learning rates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from schedule_oracles import CONF, FLOAT32, assert_equal, keras

from lrbench.config import build
from lrbench.scheduler import Progress, Scheduler

# Keras's own, from reading an lr off torch
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def preset(name: str, *overrides: str) -> tuple[float, Scheduler]:
    """The base lr and the schedule that ``scheduler=keras/name`` leads to."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", overrides=[f"scheduler=keras/{name}", *overrides])
    return config.optimizer.lr, build(config.scheduler, "scheduler")


def absolute_lrs(name: str, total: int, epoch: int = 10) -> list[float]:
    lr, schedule = preset(name)
    return [lr * factor for factor in schedule.factors(total, epoch)]


def driven(callback: Any, lr: float, losses: list[float]) -> list[float]:
    """The lr that Keras trains each epoch with, and a last one, under a callback."""
    optimizer = keras().optimizers.SGD(lr)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    lrs = []
    for epoch, loss in enumerate(losses):
        callback.on_epoch_begin(epoch)
        lrs.append(float(optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_loss": loss})
    return lrs


@pytest.mark.parametrize("total", [1200, 300])
def test_cosine_decay(total: int) -> None:
    theirs = keras().optimizers.schedules.CosineDecay(0.01, 1000, alpha=0.0)
    lrs = [float(theirs(step)) for step in range(total)]
    oracle = "preset keras/cosine_decay"
    assert_equal(absolute_lrs("cosine_decay", total), lrs, oracle, **FLOAT32)


@pytest.mark.parametrize("total", [1200, 300])
def test_polynomial_decay(total: int) -> None:
    theirs = keras().optimizers.schedules.PolynomialDecay(0.01, 1000, 0.0001, power=1.0)
    lrs = [float(theirs(step)) for step in range(total)]
    oracle = "preset keras/polynomial_decay"
    assert_equal(absolute_lrs("polynomial_decay", total), lrs, oracle, **FLOAT32)


def test_warmup_decay() -> None:
    def original(epoch: int, lr: float) -> float:
        return lr + 0.0002 if epoch < 5 else lr * 0.95

    callback = keras().callbacks.LearningRateScheduler(original)
    theirs = driven(callback, 0.01, [1.0] * 60)
    ours = absolute_lrs("warmup_decay", 60 * 7, epoch=7)
    each_update = [lr for lr in theirs for _ in range(7)]
    assert max(theirs) == theirs[4] == pytest.approx(0.011)
    # Keras takes each lr from the last one in float32: 60 roundings add up.
    oracle = "preset keras/warmup_decay"
    assert_equal(ours, each_update, oracle, **FLOAT32)


@pytest.mark.parametrize("seed", range(12))
def test_reduce_lr_on_plateau(seed: int) -> None:
    import random

    chance = random.Random(seed)
    if seed == 0:  # falls for 20 epochs, then stays
        losses = [1 - 0.04 * min(i, 19) for i in range(70)]
    else:
        losses = [1 / (1 + 0.1 * i) + chance.uniform(0, 0.05 * seed) for i in range(120)]
    callback = keras().callbacks.ReduceLROnPlateau(
        monitor="val_loss", factor=0.1, patience=10, min_lr=1e-5, mode="min"
    )
    theirs = driven(callback, 0.01, losses)
    lr, schedule = preset("reduce_lr_on_plateau")
    epoch, total = 7, 7 * len(losses)
    steps = tuple(epoch * (i + 1) for i in range(len(losses)))
    curve = schedule.factors(total, epoch, tuple(losses), steps)
    ours = [lr * factor for factor in curve]
    each_update = [lr for lr in theirs for _ in range(epoch)]
    oracle = "preset keras/reduce_lr_on_plateau"
    assert_equal(ours, each_update, oracle, rel=1e-6, absolute=1e-12)
    assert schedule.factor(Progress(0, total, epoch)) == 1.0
    if seed == 0:
        assert [i for i in range(1, 70) if theirs[i] < theirs[i - 1]] == [30, 40, 50]


@pytest.mark.parametrize("cooldown", [0, 1, 2, 3])
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_counts_like_keras(patience: int, cooldown: int) -> None:
    import random

    chance = random.Random(10 * patience + cooldown)
    losses = [chance.choice([0.1, 0.5, 0.50005, 1.0, 2.0]) - 0.01 * i for i in range(100)]
    callback = keras().callbacks.ReduceLROnPlateau(
        factor=0.5, patience=patience, cooldown=cooldown, mode="min", min_lr=1e-4
    )
    theirs = driven(callback, 0.01, losses)
    overrides = [f"scheduler.patience={patience}", f"scheduler.cooldown={cooldown}"]
    changes = ["scheduler.cut_factor=0.5", "scheduler.min_factor=0.01"]
    lr, schedule = preset("reduce_lr_on_plateau", *overrides, *changes)
    curve = schedule.factors(100, 1, tuple(losses), tuple(range(1, 101)))
    oracle = "keras ReduceLROnPlateau"
    ours = [lr * factor for factor in curve]
    assert_equal(ours, theirs, oracle, rel=1e-6, absolute=1e-12)


def test_the_command_line_still_has_the_last_word() -> None:
    lr, schedule = preset("cosine_decay", "optimizer.lr=0.5", "scheduler.warmup=2 epochs")
    assert lr == 0.5
    assert schedule.warmup == "2 epochs"
