"""lrbench: which learning-rate schedule should I use, and how much does it matter?

What people import stands here. Each name is loaded when it is first used, so that importing lrbench
imports neither torch nor Hydra. `compare` is the name of its room too, which can be called.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrbench.compare import compare as compare
    from lrbench.config import load as load
    from lrbench.find_lr import range_test as range_test
    from lrbench.run.notebook import load_model as load_model
    from lrbench.run.notebook import train as train
    from lrbench.run.start import start as start
    from lrbench.scheduler import as_torch as as_torch
    from lrbench.task import Measure as Measure

__version__ = "0.1.0"

_HOMES = {
    "Measure": "task",
    "as_torch": "scheduler",
    "load": "config",
    "load_model": "run.notebook",
    "range_test": "find_lr",
    "start": "run.start",
    "train": "run.notebook",
}
__all__ = ["Measure", "as_torch", "compare", "load", "load_model", "range_test", "start", "train"]


def __getattr__(name: str) -> Any:
    if name == "compare":
        return importlib.import_module("lrbench.compare")
    if name not in _HOMES:
        raise AttributeError(f"module 'lrbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"lrbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
