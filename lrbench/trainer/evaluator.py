"""Evaluating a run's model on a split: with every set of weights, and BatchNorm as it must be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from lrbench.dataset import Data, EvalSplit
from lrbench.optimizer.groups import frozen_norms
from lrbench.optimizer.schedule_free import (
    evaluation_mode,
    is_schedule_free,
    recompute_batch_norm,
)
from lrbench.task import Task
from lrbench.trainer import Trainer, distributed
from lrbench.trainer.evaluate import Evaluation, evaluate
from lrbench.trainer.weights import OtherWeights, Weights, given

BATCH_NORM_BATCHES = 50  # for a schedule-free model's statistics, at each evaluation


class Evaluator:
    """Measures the model of a run, and the average of its weights if there is one.

    Args:
        model: the network whose weights are in training.
        forward: what computes it: itself, or compiled, or in several processes.
        seed: of the run, which fixes the batches that BatchNorm's statistics are measured on.
        share: which part of each training batch is this process's.
        batch_size: the only size of batches that `forward` may see; None: any.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Any,
        task: Task,
        data: Data,
        optimizer: torch.optim.Optimizer,
        settings: Trainer,
        others: OtherWeights,
        *,
        seed: int,
        share: Any,
        autocast: Callable[[], AbstractContextManager[Any]],
        batch_size: int | None,
    ) -> None:
        self._model, self._forward, self._task, self._data = model, forward, task, data
        self._optimizer, self._settings, self._others = optimizer, settings, others
        self._seed, self._share = seed, share
        self._autocast, self._batch_size = autocast, batch_size

    def begin_training(self) -> None:
        """Set the model to training; BatchNorm in frozen modules keeps its statistics."""
        self._model.train()
        self._frozen_norms = frozen_norms(self._model)
        self._keep_frozen_norms()

    def __call__(
        self,
        split: EvalSplit,
        stop: Callable[[], bool],
        kept: tuple[int, dict[str, Weights]] | None = None,
    ) -> Evaluation | None:
        """The measures on `split`; None where `stop` said so meanwhile.

        Args:
            kept: what to evaluate in place of the present weights, as `OtherWeights.best`.
        """
        found: Evaluation = {}
        for prefix, weights in (self._others.evaluated() if kept is None else kept[1]).items():
            with given(self._model, weights):
                scores = self._scores(split, stop)
            if scores is None:
                return None
            found |= {f"{prefix}{name}": value for name, value in scores.items()}
        return found

    def _scores(self, split: EvalSplit, stop: Callable[[], bool]) -> Evaluation | None:
        """The measures of the model as it is."""
        size = self._settings.eval_batch_size
        with evaluation_mode(self._optimizer):
            if is_schedule_free(self._optimizer):
                self._refresh_batch_norm()
            result = evaluate(
                self._forward,
                split.batches(size, share=distributed.rank(), shares=distributed.num_processes()),
                self._task,
                autocast=self._autocast,
                batch_size=self._batch_size,
                stop=stop,
                gather=distributed.gathered,
            )
            self._keep_frozen_norms()
        return result

    def _refresh_batch_norm(self) -> None:
        """Measure BatchNorm's statistics at the weights to evaluate, on the first batches."""
        train, batch_size = self._data.train, self._settings.batch_size
        batches = train.batches(
            seed=self._seed,
            batch_size=batch_size,
            start_step=0,
            stop_step=min(BATCH_NORM_BATCHES, train.steps_per_epoch(batch_size)),
            share=self._share,
        )
        with self._autocast():
            recompute_batch_norm(self._model, (inputs for inputs, _ in batches))

    def _keep_frozen_norms(self) -> None:
        """Let BatchNorm in frozen modules normalise by its statistics and keep them."""
        for norm in self._frozen_norms:
            norm.eval()
