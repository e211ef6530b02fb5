"""The callback for Lightning's Trainer, be it imported as lightning or as pytorch_lightning."""

from __future__ import annotations

import math
import sys
from typing import Any

from lrbench.run.started_run import StartedRun

if "pytorch_lightning" in sys.modules:
    from pytorch_lightning import Callback
else:
    from lightning.pytorch import Callback  # type: ignore[import-not-found, no-redef]


class LrbenchCallback(Callback):  # type: ignore[misc]
    """Trains a LightningModule under the schedule of `run`, and records into its folder.

    ``Trainer(..., callbacks=[LrbenchCallback(run)])``; the module's ``configure_optimizers`` gives
    one optimizer and no schedule. The measure ``loss`` is what the module logs as ``val_loss`` and
    ``test_loss``, and so on; the training loss is what ``training_step`` returns.
    """

    def __init__(self, run: StartedRun) -> None:
        self.run = run

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Lay the schedule out on the module's optimizer; a resumed training goes on within it.

        Raises:
            ValueError: there is more than one optimizer, or the module has a schedule of its own.
        """
        del pl_module
        if len(trainer.optimizers) != 1 or trainer.lr_scheduler_configs:
            raise ValueError(
                f"configure_optimizers gives {len(trainer.optimizers)} optimizers and "
                f"{len(trainer.lr_scheduler_configs)} schedules: return one optimizer alone"
            )
        self._step = trainer.global_step
        if self._step:
            self.run.resume_from(self._step)
        total, batches = trainer.estimated_stepping_batches, trainer.num_training_batches
        per_epoch = None
        if math.isfinite(batches):
            per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
        steps = int(total) if math.isfinite(total) else None
        epochs = trainer.check_val_every_n_epoch or 1
        self._scheduler = self.run.scheduler(
            trainer.optimizers[0],
            steps,
            per_epoch,
            evaluate_every=None if per_epoch is None else epochs * per_epoch,
        )

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the update, if one was taken, and record its loss as often as Lightning logs."""
        del pl_module, batch, batch_idx
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._scheduler.step()
        if self._step % trainer.log_every_n_steps == 0 and outputs is not None:
            loss = outputs["loss"] if isinstance(outputs, dict) else outputs
            self.run.log(self._step, train_loss=float(loss))

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Record a validation's measures."""
        del pl_module
        values = self._measured(trainer, "val")
        if values and not trainer.sanity_checking and trainer.global_step:
            self.run.evaluate(trainer.global_step, **values)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the result."""
        del trainer, pl_module
        if self.run.evaluated:
            self.run.finish()

    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        """Add the test's measures to the result."""
        del pl_module
        self.run.finish(**self._measured(trainer, "test"))

    def _measured(self, trainer: Any, split: str) -> dict[str, float]:
        names = [f"{split}_{measure.name}" for measure in self.run.measures]
        metrics = trainer.callback_metrics
        return {name: float(metrics[name]) for name in names if name in metrics}
