"""The callback for Keras 3, on any of its backends."""

from __future__ import annotations

from typing import Any

import keras

from lrbench.run.started_run import StartedRun


class LrbenchCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Trains a Keras model under the schedule of `run`, and records into its folder.

    ``model.fit(..., callbacks=[LrbenchCallback(run)])``; the optimizer has the peak lr as a plain
    number. The measures are recorded after each epoch: ``loss`` is ``val_loss``, and so on.
    """

    def __init__(self, run: StartedRun) -> None:
        super().__init__()
        self.run = run

    def on_train_begin(self, logs: Any = None) -> None:
        """Lay the schedule out on the model's optimizer.

        Raises:
            ValueError: the optimizer has another lr or a schedule of its own, or the schedule
                cycles momentum, which is not supported here.
        """
        del logs
        self._base = float(self.model.optimizer.learning_rate)
        self.run.check_lr([self._base])
        per_epoch = self.params.get("steps")
        total = per_epoch and per_epoch * self.params["epochs"]
        self.run.factor(0, total, per_epoch)
        if self.run.momentum(0) is not None:
            raise ValueError(
                f"strategy={self.run.strategy} cycles momentum, which is not done in Keras: give "
                "lrbench.start(..., scheduler={'cycle_momentum': False})"
            )
        self._step = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Take up a training that goes on at ``initial_epoch``."""
        del logs
        if epoch and not self._step:
            self._step = epoch * self.params["steps"]
            self.run.resume_from(self._step)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the lr of the update."""
        del batch, logs
        self.model.optimizer.learning_rate = self._base * self.run.factor(self._step)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the update."""
        del batch, logs
        self._step += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch's measures."""
        del epoch
        numbers = {name: float(value) for name, value in (logs or {}).items()}
        names = [measure.name for measure in self.run.measures]
        trained = {f"train_{name}": numbers[name] for name in names if name in numbers}
        validated = {key: numbers[key] for name in names if (key := f"val_{name}") in numbers}
        self.run.log(self._step, lr=self._base * self.run.factor(self._step - 1), **trained)
        if validated:
            self.run.evaluate(self._step, **validated)

    def on_train_end(self, logs: Any = None) -> None:
        """Write the result."""
        del logs
        if self.run.evaluated:
            self.run.finish()
