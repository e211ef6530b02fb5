"""One optimizer update: forward, backward, clipping and the optimizer's step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lrbench.task import Sum, Task
from lrbench.trainer import Trainer, distributed
from lrbench.trainer.evaluate import of_one_batch

SMALLEST_LOSS_SCALE = 2.0**-14  # fp16: below it no scale can save the gradients


class GradientOverflow(Exception):
    """The gradients in fp16 are not finite, however small the loss scale."""


class Measured(NamedTuple):
    """The sums of losses and scores over a batch, and the gradient norm, on the device."""

    sums: Mapping[str, Sum]  # the batch's loss and what the task's `score` sums up
    grad_norm: Tensor | None  # L2, before clipping; None where nobody asks


class Updater:
    """Takes optimizer updates, one a call, at the lr and momentum that the optimizer has.

    Args:
        model: the network whose weights are in training.
        forward: what computes it: itself, or compiled, or in several processes.
        seed: of the run; with the update's number it fixes the randomness inside the model.
        autocast: the context in which `forward` computes.
        scaler: of fp16's losses; None in other precisions.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Any,
        task: Task,
        optimizer: torch.optim.Optimizer,
        settings: Trainer,
        *,
        seed: int,
        autocast: Callable[[], AbstractContextManager[Any]],
        scaler: torch.amp.GradScaler | None,
        device: torch.device,
    ) -> None:
        self._model, self._forward, self._task = model, forward, task
        self._optimizer, self._settings = optimizer, settings
        self._seed, self._autocast, self._device = seed, autocast, device
        self.scaler = scaler

    def __call__(self, step: int, inputs: Tensor, targets: Tensor) -> Measured:
        """Take one update; `step` updates were taken before it.

        Raises:
            GradientOverflow: in fp16, no loss scale gives finite gradients.
        """
        measured = self._attempt(step, inputs, targets)
        while measured is None:  # fp16 overflowed: the same update again, at the smaller loss scale
            measured = self._attempt(step, inputs, targets)
        return measured

    def _attempt(self, step: int, inputs: Tensor, targets: Tensor) -> Measured | None:
        """Forward, backward, step; None where no step was taken.

        Only fp16 can refuse the step: its gradients overflowed, and the loss scale is now halved.
        """
        parts = self._settings.gradient_accumulation_steps
        self._seed_model(step)
        sums: list[Mapping[str, Sum]] = []
        for part, target in zip(inputs.chunk(parts), targets.chunk(parts), strict=True):
            last = len(sums) == parts - 1
            with distributed.accumulating(self._forward, last=last), self._autocast():
                outputs = self._forward(part)
            outputs = outputs.float()
            loss = self._task.loss(outputs, target)
            loss = loss if parts == 1 else loss / parts
            scored = self._task.score(outputs.detach(), target)
            sums.append({"loss": (loss.detach(), 1), **scored})
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        if self.scaler is not None:
            self.scaler.unscale_(self._optimizer)
        grad_norm = self._clip()
        taken = self._step_optimizer()
        self._optimizer.zero_grad(set_to_none=True)
        if not taken:
            return None
        return Measured(sums[0] if parts == 1 else of_one_batch(sums), grad_norm)

    def _clip(self) -> Tensor | None:
        """Clip the gradients where asked to; their norm before that, where it is to be recorded."""
        limit, record = self._settings.max_grad_norm, self._settings.record_grad_norm
        if limit is not None:
            norm = nn.utils.clip_grad_norm_(self._model.parameters(), limit)
            return norm if record else None
        if not record:
            return None
        grads = [p.grad for p in self._model.parameters() if p.grad is not None]
        return nn.utils.get_total_norm(grads)

    def _step_optimizer(self) -> bool:
        """Apply the gradients; False where fp16's were not finite."""
        scaler = self.scaler
        if scaler is None:
            self._optimizer.step()
            return True
        scale = scaler.get_scale()
        scaler.step(self._optimizer)
        scaler.update()
        if scaler.get_scale() < SMALLEST_LOSS_SCALE:
            raise GradientOverflow("fp16 gradients are not finite at any loss scale")
        return scaler.get_scale() >= scale

    def _seed_model(self, step: int) -> None:
        """Seed torch's global generator, which dropout uses, for one update.

        The seed depends on the process too, in the 32 bits that the CPU's generator reads: each
        process drops other units in its share of the batch.
        """
        place = step + 1 + distributed.rank() * 0x85EBCA6B
        seed = (self._seed * 0x9E3779B97F4A7C15 + place) % 2**63
        if self._device.type == "cpu":
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)
