"""What the person who compares decides; checked before anything is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

METRICS = {
    "test_accuracy": "test accuracy",
    "val_accuracy": "validation accuracy",
    "best_val_accuracy": "best validation accuracy",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the person who compares decides.

    Attributes:
        metric: a key of `METRICS`; the accuracy that pairs of strategies are compared by.
        margin: accuracy within which strategies are equivalent (0.002: 0.2 points).
        targets: ``90%`` is 90 % of the way from chance to the best strategy's median final
            validation accuracy; ``0.93`` is that validation accuracy.
        seed: of the bootstrap's and the permutations' random numbers.
        chance: accuracy of guessing; None finds it in the runs.
        vary: config keys that are part of the strategy.
    """

    metric: str = "test_accuracy"
    margin: float = 0.002
    targets: tuple[str, ...] = ("50%", "90%", "99%")
    seed: int = 0
    chance: float | None = None
    vary: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.metric not in METRICS:
            raise ValueError(f"metric={self.metric} is not one of {', '.join(METRICS)}")
        if not 0 < self.margin < 1:
            raise ValueError(f"margin={100 * self.margin:g} must lie between 0 and 100 points")
        if self.chance is not None and not 0 <= self.chance < 1:
            raise ValueError(f"chance={self.chance} must lie from 0 to below 1")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed={self.seed} must be a whole number from 0")
        if not self.targets:
            raise ValueError("targets is empty: name at least one, such as 90%")
        for target in self.targets:
            parse_target(target)


def parse_target(target: str) -> tuple[str, float]:
    """``("way", 0.9)`` of ``"90%"``, ``("accuracy", 0.93)`` of ``"0.93"``."""
    text = target.strip()
    kind = "way" if text.endswith("%") else "accuracy"
    try:
        value = float(text.removesuffix("%")) / (100 if kind == "way" else 1)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise ValueError(
            f"target {target} must be a share of the way such as 90% or an accuracy such as 0.93"
        )
    return kind, value
