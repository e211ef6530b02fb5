"""All that a run hands over to whoever goes on from it, and how that one takes it up."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lrbench.trainer import hardware
from lrbench.trainer.journal import Journal
from lrbench.trainer.restore import check_model, check_optimizer

if TYPE_CHECKING:
    from lrbench.trainer.loop import Loop

log = logging.getLogger(__name__)


def present(loop: Loop) -> dict[str, Any]:
    """All of the run's state, for whoever goes on from it."""
    loop.collect()
    loop.lap(training=True)
    if loop.updater.scaler is not None:
        loop.state.loss_scale = loop.updater.scaler.state_dict()
    return {
        "state": asdict(loop.state),
        "arithmetic": loop.arithmetic,
        "model": loop.model.state_dict(),
        "optimizer": loop.optimizer.state_dict(),
        "other_weights": loop.others.state(),
        "counted_in": (loop.task.unit, loop.task.units_per_example),
        "files": loop.recorder.position(),
        "total_steps": loop.total_steps,
        "steps_per_epoch": loop.steps_per_epoch,
        "data": loop.data.record(loop.settings.batch_size),
        **({} if loop.forks is None else {"journal": loop.forks.journal.state()}),
    }


def load(loop: Loop, checkpoint: dict[str, Any]) -> None:
    """Take the tensors of `checkpoint` over, and what goes with them."""
    check_model(loop.model, checkpoint["model"])
    check_optimizer(loop.model, loop.optimizer, checkpoint["optimizer"])
    if loop.settings.precision == "bf16_if_native":  # what was measured when the run began
        loop.dtype = hardware.DTYPES[checkpoint["arithmetic"][0]]
    before, now = checkpoint["arithmetic"], loop.arithmetic
    if before != now:  # another machine, or a C++ compiler that has come or gone
        log.warning(
            "this run was begun in %s and goes on in %s: it will not be bit-identical to one "
            "that never stopped",
            *(", ".join(arithmetic) for arithmetic in (before, now)),
        )
    loop.model.load_state_dict(checkpoint["model"])
    loop.optimizer.load_state_dict(checkpoint["optimizer"])
    loop.others.restore(checkpoint["other_weights"])
    if loop.updater.scaler is not None:
        loop.state.loss_scale = checkpoint["state"]["loss_scale"]
        loop.updater.scaler.load_state_dict(loop.state.loss_scale)


def take_over(loop: Loop, fork: dict[str, Any]) -> None:
    """Begin with the state that another run left, which is the same run up to there.

    What that one measured is recorded anew, as this one records it: the two may name their
    phases otherwise, or log at other updates.
    """
    state, journal = loop.state, Journal.of(fork["journal"])
    loop.last_save = math.inf  # save no checkpoint while the other run's records are repeated
    for step, entry in enumerate(journal, 1):
        loop.laid_out.set(step - 1)
        state.step, state.seconds = step, entry.seconds
        if entry.grad_norm is not None:
            state.note_grad_norm(step, entry.grad_norm)
        state.pending.append(entry.row)
        if loop.record_due():
            loop.lap_began = time.perf_counter()
            loop.record(entry.validation)
    load(loop, fork)
    state.seconds, state.train_seconds = (
        fork["state"][key] for key in ("seconds", "train_seconds")
    )
    if loop.forks is not None:
        loop.forks.journal = journal
