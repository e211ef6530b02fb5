"""Learning-rate schedules: pure functions from progress to a multiplier of the base lr."""

from lrbench.scheduler.base import Change, Phase, Progress, Scheduler
from lrbench.scheduler.decay import Constant, Cosine
from lrbench.scheduler.onecycle import OneCycle
from lrbench.scheduler.plateau import Plateau
from lrbench.scheduler.restarts import CosineRestarts
from lrbench.scheduler.warmup_decay import WarmupDecay

__all__ = [
    "Change",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "OneCycle",
    "Phase",
    "Plateau",
    "Progress",
    "Scheduler",
    "WarmupDecay",
]
