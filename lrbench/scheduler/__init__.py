"""Learning-rate schedules: pure functions from progress to a multiplier of the base lr."""

from typing import TYPE_CHECKING, Any

from lrbench.scheduler.base import Change, Plan, Progress, Run, Scheduler, Segment
from lrbench.scheduler.chain import Chain, Part
from lrbench.scheduler.cyclic import Cyclic
from lrbench.scheduler.decay import Constant, Cosine, Exponential, Linear, Polynomial, Rex, Tanh
from lrbench.scheduler.inverse_sqrt import InverseSqrt, Noam
from lrbench.scheduler.lint import lint
from lrbench.scheduler.onecycle import OneCycle
from lrbench.scheduler.piecewise import Piecewise
from lrbench.scheduler.plateau import Plateau
from lrbench.scheduler.replanned import Continued
from lrbench.scheduler.restarts import CosineRestarts
from lrbench.scheduler.step import MultiStep, Step
from lrbench.scheduler.warmup_decay import WarmupDecay
from lrbench.scheduler.wsd import WSD

if TYPE_CHECKING:
    from lrbench.scheduler.torch_adapter import as_torch

__all__ = [
    "WSD",
    "Chain",
    "Change",
    "Constant",
    "Continued",
    "Cosine",
    "CosineRestarts",
    "Cyclic",
    "Exponential",
    "InverseSqrt",
    "Linear",
    "MultiStep",
    "Noam",
    "OneCycle",
    "Part",
    "Piecewise",
    "Plan",
    "Plateau",
    "Polynomial",
    "Progress",
    "Rex",
    "Run",
    "Scheduler",
    "Segment",
    "Step",
    "Tanh",
    "WarmupDecay",
    "as_torch",
    "lint",
]


def __getattr__(name: str) -> Any:
    if name == "as_torch":  # the only one that needs torch, which takes seconds to import
        from lrbench.scheduler.torch_adapter import as_torch

        return as_torch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
