"""What test_distributed.py has two processes do: python two_processes.py FOLDER

Each leaves what it found in FOLDER/<rank>.pt, and process 0 its records below FOLDER.
"""

from __future__ import annotations

import contextlib
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from runs import CONF, SHORT, Saved, new_loop, run
from torch import nn

from lrbench.config import build
from lrbench.dataset.data import EvalSplit
from lrbench.model import build_model
from lrbench.record.recorder import SilentRecorder
from lrbench.task import Shapes
from lrbench.trainer import distributed
from lrbench.trainer.evaluate import evaluate
from lrbench.trainer.loop import Diverged, Interrupted, Loop

EVERY = ["model=mlp", "trainer.log_interval=1 step", "trainer.eval_interval=3 steps"]
AUGMENTED = ["dataset.augment.crop_padding=1", "dataset.augment.flip=true"]
CASES = {  # all that a batch's parts can have to do with each other
    "plain": [*EVERY, "trainer.length=4 steps", *AUGMENTED],
    "rich": [
        *EVERY, "trainer.length=7 steps", "trainer.gradient_accumulation_steps=2",
        "trainer.max_grad_norm=0.5", "trainer.record_grad_norm=true", "scheduler=plateau",
        "task.label_smoothing=0.1", "scheduler.patience=0", "scheduler.threshold=0.5",
        "trainer.eval_batch_size=50",
    ],
    "schedule-free": [
        *EVERY, "trainer.length=4 steps", "optimizer=schedulefree_sgd", "scheduler=constant",
        "trainer.batch_size=256",
    ],
}  # fmt: skip
STOPPED = [*EVERY, "trainer.length=8 steps"]
CPU = torch.device("cpu")


def double_loop(*overrides: str) -> Loop:
    """A loop in double precision, where the order of sums does not show."""
    with initialize_config_dir(CONF, version_base="1.3"):
        cfg = compose("config", [*SHORT, *overrides])
    model = build_model(
        build(cfg.model, "model"), Shapes(inputs=(1, 8, 8), outputs=(10,)), seed=cfg.seed
    ).double()
    model.register_forward_pre_hook(lambda _, images: (images[0].double(),))
    return new_loop(*overrides, model=model)


def train(loop: Loop, folder: Path, saved: Saved, position: Any = None) -> Any:
    """Run `loop`; process 0 records in `folder`."""
    if distributed.rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        return run(loop, folder, saved, position)
    return loop.run(recorder=SilentRecorder(), save=saved.save, stop=saved.stop)


def stopped(loop: Loop, folder: Path, process: int, polls: int) -> dict[str, Any]:
    """Run `loop`, which `process` alone is asked to stop, to its checkpoint."""
    saved = Saved(polls if distributed.rank() == process else None)
    saved.stop = distributed.agreed(saved.stop)  # type: ignore[method-assign]
    with contextlib.suppress(Interrupted):
        train(loop, folder, saved)
    return saved.checkpoints[-1]


def refused(act: Callable[[], Any]) -> str:
    """The error of `act`, in words."""
    try:
        with distributed.together():
            act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "went on"


def fault(number: int, error: Exception) -> Callable[[], None]:
    """Raises `error` in process `number` alone."""

    def act() -> None:
        if distributed.rank() == number:
            raise error

    return act


def poisoned() -> int:
    """The update at which a run diverges whose images are not finite in process 1, update 4."""
    loop = new_loop("model=mlp", "trainer.length=9 steps", "scheduler=constant")

    def spoil(_: Any, images: Any) -> Any:
        spoilt = distributed.rank() == 1 and loop.state.step == 3
        return (images[0] * float("nan"),) if spoilt else images

    loop.model.register_forward_pre_hook(spoil)
    try:
        loop.run(recorder=SilentRecorder(), save=lambda _: None, stop=lambda: False)
    except Diverged as error:
        return error.step
    return 0


def dropped() -> torch.Tensor:
    """Which units dropout left out in the first update."""
    masks = []
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
    loop = new_loop("trainer.length=1 step", "scheduler=constant", model=net)
    net[1].register_forward_hook(lambda _m, _i, output: masks.append(output == 0))
    loop.run(recorder=SilentRecorder(), save=lambda _: None, stop=lambda: False)
    return masks[0]


def overflowing() -> tuple[list[bool], list[torch.Tensor]]:
    """Of an fp16 run that begins at too large a loss scale: attempts taken, and the weights."""
    loop = new_loop("trainer.precision=fp16", "model=mlp", "trainer.length=6 steps")
    loop.updater.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    original, taken = loop.updater._step_optimizer, []

    def counted() -> bool:
        taken.append(original())
        return taken[-1]

    loop.updater._step_optimizer = counted  # type: ignore[method-assign]
    loop.run(recorder=SilentRecorder(), save=lambda _: None, stop=lambda: False)
    return taken, [p.detach() for p in loop.model.parameters()]


def main(folder: Path) -> None:
    found: dict[str, Any] = {"share": distributed.positions(12, 2)}
    try:
        distributed.positions(9, 2)
    except ValueError as error:
        found["refused share"] = str(error)
    turns = folder / "turns"

    def load() -> int:
        with turns.open("a") as file:
            file.write(f"{distributed.rank()}\n")
        return distributed.rank()

    found["loaded"] = distributed.in_turn(load)
    found["meetings"] = [
        refused(fault(0, ValueError("no"))),
        refused(fault(1, ValueError("no\nway"))),
        refused(fault(1, KeyError("a bug"))),
        refused(fault(2, ValueError("nobody"))),
    ]
    with distributed.connected(CPU):
        found["largest"] = distributed.largest(distributed.rank() * 7)
        ask = distributed.agreed(iter([False, distributed.rank() == 1, False, False]).__next__)
        found["agreed"] = [ask() for _ in range(4)]
        try:
            new_loop("model=resnet8")
        except ValueError as error:
            found["batch norm"] = str(error)
        found["diverged at"] = poisoned()
        found["dropped"] = dropped()
        found["overflow"] = overflowing()
        found["cases"] = {}
        for name, overrides in CASES.items():
            loop = double_loop(*overrides)
            test = train(loop, folder / name, Saved())
            found["cases"][name] = (test, loop.state.validations["loss"], loop.model.state_dict())
        some = loop.data.val
        one = EvalSplit(some._store, some._index[:1].numpy(), some._prepare)
        found["one image"] = evaluate(
            loop.forward,
            one.batches(50, share=distributed.rank(), shares=2),
            loop.task,
            autocast=contextlib.nullcontext,
            gather=distributed.gathered,
        )
    with distributed.connected(CPU):  # a second run in the same processes
        checkpoint = stopped(double_loop(*STOPPED), folder / "stopped", process=1, polls=7)
        found["stopped"] = copy.deepcopy(checkpoint)
        loop = double_loop(*STOPPED)
        loop.restore(checkpoint)
        found["resumed"] = train(loop, folder / "resumed", Saved()), loop.model.state_dict()
    torch.save(found, folder / f"{distributed.rank()}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
