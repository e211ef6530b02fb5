"""What a task is: the form in which a config names it, and what a run asks of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from lrbench.task.measure import Measure

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# The sum of a quantity over a batch, a number or a vector, and how many terms it has.
Sum: TypeAlias = "tuple[Tensor, Tensor | int]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """What a data set declares of its examples.

    Attributes:
        inputs: shape of one input, such as (C, H, W) of an image.
        whole_inputs: whether inputs are whole numbers, such as tokens; else they are float32.
        targets: those of the training examples, (N, ...), which tell what guessing scores.
        num_values: whole-number targets are from 0 to one less; None where they are no such.
        unit: what the examples are counted in: ``images``, ``rows``.
        bytes_per_token: of text, on average; None where that is unknown or makes no sense.
        categories: see `Shapes`.
    """

    inputs: tuple[int, ...]
    targets: np.ndarray
    num_values: int | None
    unit: str
    whole_inputs: bool = False
    bytes_per_token: float | None = None
    categories: tuple[int, ...] = ()

    def require_whole(self, task: str, dimensions: int, what: str) -> int:
        """`num_values`, of targets that have as many `dimensions`, the examples' included.

        Raises:
            ValueError: the targets are of another kind than `task` learns.
        """
        if self.num_values is None or self.targets.ndim != dimensions:
            raise ValueError(
                f"task={task} needs {what}, and the data set's targets are {self.targets.dtype} "
                f"of shape {self.targets.shape}: choose a task that fits them"
            )
        return self.num_values


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """What a model must take and give, without the batch's dimension.

    Attributes:
        inputs: of one input, such as (C, H, W) of an image.
        outputs: of the output for one input, such as (classes,).
        whole_inputs: whether inputs are whole numbers (int64), such as tokens; else float32.
        categories: of a table's rows, (width,), which end in a block for each categorical column:
            how many categories it has. A block is 0 but for a 1 at the row's category, if known.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    whole_inputs: bool = False
    categories: tuple[int, ...] = ()

    def of_images(self, model: str) -> tuple[int, int, int]:
        """Channels, side in pixels and number of outputs, where inputs are square images.

        Raises:
            ValueError: `model` cannot take such inputs or give such outputs.
        """
        square = len(self.inputs) == 3 and self.inputs[1] == self.inputs[2]
        if not square or self.whole_inputs or len(self.outputs) != 1:
            raise self._misfit(f"model={model} takes square images (C, H, W) and gives one vector")
        return self.inputs[0], self.inputs[1], self.outputs[0]

    def of_tokens(self, model: str) -> tuple[int, int]:
        """Number of tokens in an input and in the vocabulary, where each token gets logits.

        Raises:
            ValueError: `model` cannot take such inputs or give such outputs.
        """
        fits = self.whole_inputs and len(self.inputs) == 1 and self.outputs[:-1] == self.inputs
        if not fits:
            raise self._misfit(f"model={model} takes tokens (T,) and gives logits (T, vocabulary)")
        return self.inputs[0], self.outputs[-1]

    def _misfit(self, what: str) -> ValueError:
        kind = "whole numbers" if self.whole_inputs else "float32"
        fitting = "gpt_tiny" if self.whole_inputs else "mlp"
        return ValueError(
            f"{what}, and the data set has inputs of shape {self.inputs} ({kind}) for outputs of "
            f"{self.outputs}: choose a model that fits them, such as model={fitting}"
        )


class Task(ABC):
    """What a run learns from its data: the loss, the measures and the unit of a batch.

    Attributes:
        measures: the first is the primary one, and one is named ``loss``.
        outputs: shape of a model's output for one input.
        unit: what a batch is counted in: ``images``, ``tokens``, ``rows``.
        units_per_example: how many of these an example has.
    """

    measures: tuple[Measure, ...]
    outputs: tuple[int, ...]
    unit: str
    units_per_example: int = 1

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, which training minimises; a scalar to differentiate.

        Args:
            outputs: float32 (B, *self.outputs).
            targets: (B, ...), as the data set gives them.
        """

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        """Sums over a batch, by name, from which `finish` makes the measures besides the loss.

        The name of a measure that is a plain mean is the measure's. Costs little: it is asked for
        at every training update, too.
        """

    def evaluation_loss(self, outputs: Tensor, targets: Tensor) -> Sum:
        """The sum over a batch of the loss that evaluations report."""
        return self.loss(outputs, targets) * len(targets), len(targets)

    def finish(self, means: Mapping[str, Any]) -> dict[str, float]:
        """The measures' values from the means, by name, of what `score` sums, and of ``loss``.

        The mean of a vector is a list. A measure without a value is left out.
        """
        return dict(means)


@dataclass(frozen=True, kw_only=True)
class TaskConfig(ABC):
    """What a config says of a task; what the data set declares comes later."""

    @abstractmethod
    def build(self, examples: Examples) -> Task:
        """The task on data that declare `examples`.

        Raises:
            ValueError: their targets are not what the task learns.
        """
