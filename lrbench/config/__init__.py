"""From YAML to checked objects: composing, building, durations, and what a config may name.

Importing this package imports neither Hydra nor OmegaConf; the functions that need them do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lrbench.config.checks import ConfigError, nearest, require, require_choice

# The parts of a run, each a folder of conf/ with a file for each choice, and sets of them by name.
PARTS = ("model", "task", "dataset", "optimizer", "scheduler", "trainer")
GROUPS = (*PARTS, "loop", "tracker", "experiment")

if TYPE_CHECKING:
    from lrbench.config.builder import CONF, Call, build, flatten, locate
    from lrbench.config.compose import load, search

__all__ = [
    "CONF",
    "GROUPS",
    "PARTS",
    "Call",
    "ConfigError",
    "build",
    "flatten",
    "load",
    "locate",
    "nearest",
    "require",
    "require_choice",
    "search",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "compose" if name in ("load", "search") else "builder"
    return getattr(importlib.import_module(f"{__name__}.{room}"), name)
