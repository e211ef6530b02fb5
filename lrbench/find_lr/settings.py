"""What a range test is: bounds, length, smoothing, stopping; conf/find_lr.yaml has the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from lrbench.config import CONF, build
from lrbench.config.checks import require


@dataclass(frozen=True, kw_only=True)
class RangeTest:
    """A learning-rate range test (Smith 2015, arXiv:1506.01186), with an exponential ramp."""

    lr_min: float
    lr_max: float
    num_steps: int  # optimizer updates of a ramp
    num_seeds: int
    smoothing: float  # share of the moving average that an update keeps
    diverge_factor: float  # of the lowest smoothed loss
    skip_start: int  # updates
    skip_end: int  # updates

    def __post_init__(self) -> None:
        require(0 < self.lr_min < math.inf, "lr_min", self.lr_min, "must be above 0")
        rule = f"must be above lr_min={self.lr_min:g}, and finite"
        require(self.lr_min < self.lr_max < math.inf, "lr_max", self.lr_max, rule)
        for name in ("skip_start", "skip_end"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "must be 0 or more")
        least = self.skip_start + self.skip_end + FEWEST
        rule = f"must be at least {least}: {FEWEST} more than skip_start and skip_end leave out"
        require(self.num_steps >= least, "num_steps", self.num_steps, rule)
        require(self.num_seeds >= 1, "num_seeds", self.num_seeds, "must be at least 1")
        rule = "must be at least 0 and below 1"
        require(0 <= self.smoothing < 1, "smoothing", self.smoothing, rule)
        factor = self.diverge_factor
        require(1 < factor < math.inf, "diverge_factor", factor, "must be above 1, and finite")

    @property
    def lrs(self) -> np.ndarray:
        """The lr of each update, float64 (num_steps,): even ratios, both bounds included."""
        return np.geomspace(self.lr_min, self.lr_max, self.num_steps)


FEWEST = 3  # points that have a slope, and a lowest one that is neither first nor last


def settings(**changes: Any) -> RangeTest:
    """conf/find_lr.yaml's settings, with `changes`, for a loop of one's own.

    Raises:
        ConfigError: a change does not fit.
    """
    node: Any = OmegaConf.load(CONF / "find_lr.yaml")
    return from_config({**{field.name: node[field.name] for field in fields(RangeTest)}, **changes})


def from_config(values: dict[str, Any]) -> RangeTest:
    """The settings that a config's top-level keys give.

    Raises:
        ConfigError: a value does not fit.
    """
    built: RangeTest = build({"_target_": f"{__name__}.RangeTest", **values}, "")
    return built
