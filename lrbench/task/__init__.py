"""What is learnt: the loss, the measures of success, and the unit that a batch is counted in.

A config names one of the tasks below, or a `TaskConfig` of the user's own; once the data are read,
its `build` gives the `Task` that the training loop asks. Importing this package imports neither
torch nor Hydra.
"""

from __future__ import annotations

from dataclasses import dataclass

from lrbench.config.checks import require
from lrbench.task.base import Examples, Shapes, Sum, Task, TaskConfig
from lrbench.task.measure import Measure

__all__ = [
    "ByTargets",
    "Classification",
    "Examples",
    "LanguageModelling",
    "Measure",
    "MultiLabel",
    "Regression",
    "Segmentation",
    "Shapes",
    "Sum",
    "Task",
    "TaskConfig",
]


@dataclass(frozen=True, kw_only=True)
class Classification(TaskConfig):
    """One of several classes for each example."""

    label_smoothing: float  # of the training loss alone

    def __post_init__(self) -> None:
        smoothing = self.label_smoothing
        require(0 <= smoothing < 1, "label_smoothing", smoothing, "must be at least 0 and below 1")

    def build(self, examples: Examples) -> Task:
        from lrbench.task.classification import ClassificationTask

        return ClassificationTask(self.label_smoothing, examples)


@dataclass(frozen=True, kw_only=True)
class Regression(TaskConfig):
    """One or several real numbers for each example."""

    standardise: bool  # outputs and loss are in standard deviations of the training targets

    def build(self, examples: Examples) -> Task:
        from lrbench.task.regression import RegressionTask

        return RegressionTask(examples, standardise=self.standardise)


@dataclass(frozen=True, kw_only=True)
class ByTargets(TaskConfig):
    """Classification where the targets are whole numbers, regression where they are not."""

    classification: Classification
    regression: Regression

    def build(self, examples: Examples) -> Task:
        classes = examples.num_values is not None
        return (self.classification if classes else self.regression).build(examples)


@dataclass(frozen=True, kw_only=True)
class MultiLabel(TaskConfig):
    """Several labels for each example, each of which holds or does not."""

    def build(self, examples: Examples) -> Task:
        from lrbench.task.multilabel import MultiLabelTask

        return MultiLabelTask(examples)


@dataclass(frozen=True, kw_only=True)
class LanguageModelling(TaskConfig):
    """The next token at every place of a text."""

    def build(self, examples: Examples) -> Task:
        from lrbench.task.language_modelling import LanguageModellingTask

        return LanguageModellingTask(examples)


@dataclass(frozen=True, kw_only=True)
class Segmentation(TaskConfig):
    """One of several classes for each pixel of an image."""

    def build(self, examples: Examples) -> Task:
        from lrbench.task.segmentation import SegmentationTask

        return SegmentationTask(examples)
