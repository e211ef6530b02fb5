"""as_torch in loops of one's own."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from schedule_oracles import factors, make

from lrbench.scheduler import as_torch


def sgd(lr: float = 0.5, momentum: float = 0.9) -> torch.optim.SGD:
    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    return torch.optim.SGD([weight], lr=lr, momentum=momentum)


def test_a_plain_loop_trains_with_every_lr_of_the_schedule() -> None:
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(
        [{"params": [model.weight], "lr": 0.5}, {"params": [model.bias], "lr": 0.05}], lr=1.0
    )
    scheduler = as_torch(optimizer, make("onecycle", cycle_momentum=False), 30, 10)
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    used = []
    for _ in range(30):
        loss = model(torch.ones(4, 3)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    expected = factors(make("onecycle"), 30)
    assert [lr for lr, _ in used] == pytest.approx([0.5 * factor for factor in expected])
    assert [lr for _, lr in used] == pytest.approx([0.05 * factor for factor in expected])
    scheduler.step()  # past the end: no error, no rebound
    assert scheduler.get_last_lr() == pytest.approx([0.5 * expected[-1], 0.05 * expected[-1]])


@pytest.mark.filterwarnings("error")
def test_warns_of_nothing_in_the_right_order() -> None:
    optimizer = sgd()
    scheduler = as_torch(optimizer, make("cosine"), 10, 10)
    for _ in range(3):
        optimizer.step()
        scheduler.step()


def test_sets_momentum_or_the_first_beta() -> None:
    schedule = make("onecycle")
    plain = sgd()
    as_torch(plain, schedule, 20, 10)
    assert plain.param_groups[0]["momentum"] == pytest.approx(0.95)
    adam = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0, betas=(0.9, 0.99))
    scheduler = as_torch(adam, schedule, 20, 10)
    for _ in range(5):
        adam.step()
        scheduler.step()
    assert adam.param_groups[0]["betas"] == (pytest.approx(0.85), 0.99)


def test_gives_the_momentum_back_after_a_part_that_moved_it() -> None:
    parts = dict(make("chain").parts)
    part = parts["plateau"]
    from dataclasses import replace

    chain = make(
        "chain",
        parts={
            "a": replace(part, duration="5 steps", scheduler=make("onecycle")),
            "b": replace(part, duration="rest", scheduler=make("constant")),
        },
    )
    optimizer = sgd(momentum=0.7)
    scheduler = as_torch(optimizer, chain, 10, 10)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["momentum"] == 0.7


def test_a_plateau_is_told_its_losses_and_the_clock_stands_still_meanwhile() -> None:
    optimizer = sgd(lr=1.0)
    scheduler = as_torch(optimizer, make("plateau", patience=1), 40, 10)
    lrs = []
    for loss in (1.0, 2.0, torch.tensor(3.0), 4.0):
        for _ in range(10):
            optimizer.step()
            scheduler.step()
        scheduler.step(loss)
        lrs.append(optimizer.param_groups[0]["lr"])
    assert lrs == pytest.approx([1.0, 1.0, 0.1, 0.1])
    assert scheduler.last_epoch == 40
    assert scheduler.val_steps == (10, 20, 30, 40)


def run(optimizer: torch.optim.SGD, scheduler: Any, first: int, stop: int) -> list[float]:
    """Updates `first` to `stop`, each fifth one evaluated; the lrs that they took."""
    lrs = []
    for step in range(first, stop):
        lrs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
        if (step + 1) % 5 == 0:
            scheduler.step(1.0)
    return lrs


@pytest.mark.parametrize("name", ["onecycle", "plateau", "chain", "cosine_restarts"])
@pytest.mark.parametrize("cut", [0, 7, 20, 35])
def test_goes_on_from_a_saved_state_as_if_never_stopped(name: str, cut: int) -> None:
    schedule = make(name, patience=2) if name == "plateau" else make(name)
    whole = sgd()
    expected = run(whole, as_torch(whole, schedule, 60, 10), 0, 60)
    first = sgd()
    scheduler = as_torch(first, schedule, 60, 10)
    lrs = run(first, scheduler, 0, cut)
    buffer = io.BytesIO()
    torch.save({"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()}, buffer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    second = sgd()
    second.load_state_dict(saved["optimizer"])
    resumed = as_torch(second, schedule, 60, 10)  # after the optimizer: its lr is a lowered one
    resumed.load_state_dict(saved["scheduler"])
    lrs += run(second, resumed, cut, 60)
    assert lrs == expected
    assert second.param_groups[0]["momentum"] == whole.param_groups[0]["momentum"]


def test_the_base_lrs_are_part_of_the_state() -> None:
    state = as_torch(sgd(lr=0.5), make("constant"), 10, 10).state_dict()
    optimizer = sgd(lr=0.001)
    as_torch(optimizer, make("constant"), 10, 10).load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_refuses_the_state_of_another_schedule() -> None:
    state = as_torch(sgd(), make("plateau", cut_factor=0.5), 60, 10).state_dict()
    with pytest.raises(ValueError, match=r"the state is of Plateau\(.*cut_factor=0.5"):
        as_torch(sgd(), make("plateau"), 60, 10).load_state_dict(state)
    with pytest.raises(ValueError, match=r"over 60 steps.*this schedule is .* over 50 steps"):
        as_torch(sgd(), make("plateau", cut_factor=0.5), 50, 10).load_state_dict(state)


def test_refuses_a_schedule_that_does_not_fit_at_once() -> None:
    with pytest.raises(ValueError, match="warmup=9 epochs must be shorter than the run"):
        as_torch(sgd(), make("cosine", warmup="9 epochs"), 50, 10)


def test_a_second_scheduler_starts_from_the_lr_of_now() -> None:
    optimizer = sgd(lr=0.1)
    as_torch(optimizer, make("cosine"), 10, 5)
    optimizer.param_groups[0]["lr"] = 0.01
    second = as_torch(optimizer, make("constant"), 10, 5)
    assert second.base_lrs == [0.01]
    assert optimizer.param_groups[0]["lr"] == 0.01
    state = second.state_dict()
    third = as_torch(optimizer, make("constant"), 10, 5)
    optimizer.param_groups[0]["initial_lr"] = 7.0
    third.load_state_dict(state)
    assert optimizer.param_groups[0]["initial_lr"] == 0.01


@pytest.mark.parametrize("evaluate_every", [None, 7])
def test_a_plateau_that_is_never_told_a_loss_raises(evaluate_every: int | None) -> None:
    optimizer = sgd()
    scheduler = as_torch(optimizer, make("chain"), 20, 5, evaluate_every)
    for _ in range(evaluate_every or 5):
        optimizer.step()
        scheduler.step()
    with pytest.raises(ValueError, match=r"told of none in the .* step\(metrics=val_loss\) after"):
        scheduler.step()
    scheduler.step(metrics=1)
    for _ in range(13):
        scheduler.step()


@pytest.mark.parametrize("value", [1, np.int64(1), torch.tensor(1)])
def test_a_whole_number_is_neither_a_loss_nor_an_epoch(value: Any) -> None:
    scheduler = as_torch(sgd(), make("plateau"), 20, 5)
    with pytest.raises(ValueError, match=r"^step\(.*1\)? may mean an epoch or a loss: .*"):
        scheduler.step(value)
    with pytest.raises(ValueError, match=r"has two losses: give one of them$"):
        scheduler.step(1.0, metrics=2.0)
    assert (scheduler.last_epoch, scheduler.val_losses) == (0, ())
    for told, heard in ((1.0, 1.0), (np.float32(0.5), 0.5), (torch.tensor(2.0), 2.0)):
        scheduler = as_torch(sgd(), make("plateau"), 20, 5)
        scheduler.step(told)
        assert scheduler.val_losses == (heard,)
    scheduler = as_torch(sgd(), make("plateau"), 20, 5)
    scheduler.step(metrics=value)
    assert scheduler.val_losses == (1.0,)


def test_fills_an_lr_that_is_a_tensor() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([weight], lr=torch.tensor(1.0))
    scheduler = as_torch(optimizer, make("plateau", patience=0), 10, 10)
    lr = optimizer.param_groups[0]["lr"]
    optimizer.step()
    scheduler.step()
    for loss in (1.0, 2.0):
        scheduler.step(loss)
    assert optimizer.param_groups[0]["lr"] is lr
    assert float(lr) == pytest.approx(0.1)


def fit(name: str, **options: Any) -> tuple[list[float], Any]:
    """Three epochs of five updates under Lightning: the lrs they took, and the schedule."""
    lightning: Any = pytest.importorskip("pytorch_lightning")
    used: list[float] = []

    class Model(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
            used.append(self.trainer.optimizers[0].param_groups[0]["lr"])
            return self.layer(batch[0]).square().mean()

        def validation_step(self, batch: list[torch.Tensor]) -> None:
            self.log("val_loss", self.layer(batch[0]).square().mean())

        def configure_optimizers(self) -> dict[str, Any]:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            total = int(self.trainer.estimated_stepping_batches)
            scheduler = as_torch(optimizer, make(name), total, total // 3)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **options}}

    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.randn(20, 2)), batch_size=4
    )
    trainer = lightning.Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Model(), batches, batches)
    return used, trainer.lr_scheduler_configs[0].scheduler


def test_drives_a_lightning_trainer() -> None:
    used, _ = fit("onecycle", interval="step")
    assert used == pytest.approx([0.1 * factor for factor in factors(make("onecycle"), 15)])


def test_a_plateau_under_a_trainer_that_tells_it_too_little_raises() -> None:
    with pytest.raises(ValueError, match="was told of none in the first 5 updates"):
        fit("plateau", interval="step")
    with pytest.raises(ValueError, match="told of 2 evaluations and of no update"):
        fit("plateau", reduce_on_plateau=True, monitor="val_loss")
