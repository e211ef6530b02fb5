"""Weights beside those in training: their moving average, and those of the best evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lrbench.trainer.restore import check_tensors

Weights: TypeAlias = Mapping[str, Tensor]  # by name, as in a module's state
AVERAGE = "ema_"  # what stands before the names of the measures of the moving average


class OtherWeights:
    """The exponential moving average of a model's weights, and those that were evaluated best.

    The average begins as the initial weights. BatchNorm's running statistics are averaged like
    weights; its count of batches is left out.

    Attributes:
        average: of the weights; empty if there is none.
        best: the update of the best evaluation and what was evaluated then, `evaluated`; None
            where nothing is kept.

    Args:
        ema_decay: share of the average that an update keeps; None: there is no average.
    """

    def __init__(self, model: nn.Module, ema_decay: float | None) -> None:
        self._model = model
        self._mix = None if ema_decay is None else get_ema_multi_avg_fn(ema_decay)
        state = model.state_dict() if self._mix else {}
        live = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
        self._live = [*live.values()]
        self.average = _copied(live)
        self.best: tuple[int, dict[str, Weights]] | None = None

    def update(self) -> None:
        """Take the model's present weights into the average."""
        if self._mix is not None:
            self._mix([*self.average.values()], self._live, 0)

    def evaluated(self) -> dict[str, Weights]:
        """What is evaluated, by what stands before the names of its measures; empty: the model."""
        return {"": {}, AVERAGE: self.average} if self.average else {"": {}}

    def keep(self, step: int) -> None:
        """Keep what is evaluated after update `step` as the best."""
        present = {**self.evaluated(), "": self._model.state_dict()}
        self.best = step, {prefix: _copied(tensors) for prefix, tensors in present.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        return {"average": self.average, "best": self.best}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave.

        Raises:
            ValueError: it is of another model.
        """
        _fill(self.average, state["average"], "the average")
        if state["best"] is not None:
            step, kept = state["best"]
            self.keep(step)
            assert self.best is not None
            for prefix, tensors in self.best[1].items():
                _fill(tensors, kept[prefix], "the best evaluation")


@contextmanager
def given(model: nn.Module, tensors: Weights) -> Iterator[None]:
    """Let `model` have `tensors` in place of its own within the block; none: it keeps its own."""
    if not tensors:
        yield
        return
    state = model.state_dict()
    before = _copied({name: state[name] for name in tensors})
    model.load_state_dict(tensors, strict=False)
    try:
        yield
    finally:
        model.load_state_dict(before, strict=False)


def _copied(tensors: Weights) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _fill(own: Weights, found: Weights, whose: str) -> None:
    check_tensors(own, found, whose)
    for name, tensor in own.items():
        tensor.copy_(found[name])
