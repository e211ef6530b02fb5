"""The callback for the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import math
from typing import Any

from transformers import TrainerCallback

from lrbench.run.started_run import StartedRun


class LrbenchCallback(TrainerCallback):
    """Trains a ``transformers.Trainer`` under the schedule of `run`, and records into its folder.

    ``Trainer(..., callbacks=[LrbenchCallback(run)])``. The Trainer's ``lr_scheduler_type`` has no
    effect, and its logs say the lr that is really used. The measure ``loss`` is its ``eval_loss``,
    and so on; `run.finish` is called where there was an evaluation, and may be called again with
    the test's measures.
    """

    def __init__(self, run: StartedRun) -> None:
        self.run = run

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Lay the schedule out on the Trainer's optimizer; a resumed training goes on within it."""
        del control
        optimizer = getattr(kwargs["optimizer"], "optimizer", kwargs["optimizer"])
        for group in optimizer.param_groups:  # the Trainer's own schedule has set its first lr
            group["lr"] = group.get("initial_lr", group["lr"])
        if state.global_step:
            self.run.resume_from(state.global_step)
        batches: Any = kwargs.get("train_dataloader")
        per_epoch = None
        if hasattr(batches, "__len__"):
            per_epoch = math.ceil(len(batches) / args.gradient_accumulation_steps)
        by_steps = str(getattr(args.eval_strategy, "value", args.eval_strategy)) == "steps"
        self.scheduler = self.run.scheduler(
            optimizer,
            state.max_steps,
            per_epoch,
            evaluate_every=int(args.eval_steps) if by_steps else per_epoch,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count the update and set the lr of the next."""
        del args, state, control, kwargs
        groups = self.scheduler.optimizer.param_groups
        for group, used in zip(groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = used  # the Trainer's own schedule has set another since the update
        self.scheduler.step()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Record the training loss, and correct the lr that the Trainer's logs tell."""
        del args, control, kwargs
        if not logs or "loss" not in logs:
            return
        self.run.log(state.global_step, train_loss=float(logs["loss"]))
        for entry in (logs, *state.log_history[-1:]):
            if "learning_rate" in entry:
                entry["learning_rate"] = self.scheduler.used_lrs[0]

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Record an evaluation's measures."""
        del args, control, kwargs
        found = {m.name: (metrics or {}).get(f"eval_{m.name}") for m in self.run.measures}
        values = {f"val_{name}": float(value) for name, value in found.items() if value is not None}
        if values and state.global_step:
            self.run.evaluate(state.global_step, **values)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the result."""
        del args, state, control, kwargs
        if self.run.evaluated:
            self.run.finish()
