"""What the person who compares decides; checked before anything is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from lrbench.config.checks import require_choice
from lrbench.config.duration import COUNTED
from lrbench.files.result import split_metric
from lrbench.task.measure import POINTS, Measure

SPLIT_NAMES = {"test": "test", "val": "validation", "best_val": "best validation"}
SHARE_MARGIN, RELATIVE_MARGIN = 0.2, "1%"  # of a share, in points; of any other measure


# The columns of history.csv that curves can be drawn over, by what they count.
X = {"updates": "step", "epochs": "epoch", "seconds": "seconds"}
X |= dict.fromkeys(COUNTED, "units")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the person who compares decides.

    Attributes:
        metric: such as ``test_loss`` or ``best_val_accuracy``, which strategies are compared by;
            None: the first measure of the runs, on the test split where they have one.
        margin: how close strategies count as equivalent: a number in the measure's unit (0.2:
            0.2 points, or nats), or a share of the best strategy's mean (``1%``); None: 0.2 points
            for shares such as accuracies, 1 % for all else.
        targets: ``90%`` is 90 % of the way from guessing to the best strategy's median final
            validation value; ``0.93`` is that value.
        x: what curves are drawn over, and targets and phases counted in, a key of `X`; None:
            updates, or epochs where runs' updates differ.
        planned_seeds: seeds that each strategy will have in the end, where runs are compared before
            all are there; None: those that are there when they are first compared.
        draws: which tuning of the strategies each seed belongs to, where they were tuned several
            times (see `lrbench.compare.inference.over_draws`); empty: they were not.
        chance: what guessing scores; None takes it from the runs.
        vary: config keys that are part of the strategy.
        ignore: config keys that may differ between runs that are compared.
    """

    metric: str | None = None
    margin: float | str | None = None
    targets: tuple[str, ...] = ("50%", "90%", "99%")
    x: str | None = None
    planned_seeds: int | None = None
    draws: Mapping[int, int] = field(default_factory=dict)
    chance: float | None = None
    vary: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.metric is not None:
            split, _ = split_metric(self.metric)
            if split not in SPLIT_NAMES:
                raise ValueError(f"metric={self.metric} must be of {', '.join(SPLIT_NAMES)}")
        if self.x is not None:
            require_choice("x", self.x, X)
        if self.margin is not None:
            _parse_margin(self.margin)
        if self.chance is not None and not math.isfinite(self.chance):
            raise ValueError(f"chance={self.chance} must be a finite number")
        planned = self.planned_seeds
        if planned is not None and (not isinstance(planned, int) or planned < 2):
            raise ValueError(f"planned_seeds={planned} must be a whole number from 2")
        if not self.targets:
            raise ValueError("targets is empty: name at least one, such as 90%")
        for target in self.targets:
            parse_target(target)


@dataclass(frozen=True)
class Margin:
    """How close strategies count as equivalent.

    Attributes:
        size: as a difference of the measure's values (0.002: 0.2 points).
        text: the same as it is told: ``0.2 points``, ``1 % (0.0183 nats)``.
    """

    size: float
    text: str

    @classmethod
    def of(cls, setting: float | str | None, measure: Measure, best: float) -> Margin:
        """The margin that `setting` means for `measure`, `best` being the best strategy's mean.

        The one place where a margin is converted.
        """
        if setting is None:
            setting = SHARE_MARGIN if measure.unit == POINTS else RELATIVE_MARGIN
        value, relative = _parse_margin(setting)
        if relative:
            size = value * abs(best)
            return cls(size, f"{100 * value:g} % ({measure.difference(size)})")
        return cls(value / measure.scale, f"{value:g} {measure.unit}".rstrip())


def _parse_margin(margin: float | str) -> tuple[float, bool]:
    """The number that `margin` is, and whether it is a share of the best mean."""
    text = str(margin).strip()
    relative = text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / (100 if relative else 1)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(
            f"margin={margin} must be above 0: a number in the measure's unit such as 0.2, or a "
            "share of the best mean such as 1%"
        )
    return value, relative


def parse_target(target: str) -> tuple[str, float]:
    """``("way", 0.9)`` of ``"90%"``, ``("value", 0.93)`` of ``"0.93"``."""
    text = target.strip()
    kind = "way" if text.endswith("%") else "value"
    try:
        value = float(text.removesuffix("%")) / (100 if kind == "way" else 1)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or (kind == "way" and not 0 < value <= 1):
        raise ValueError(
            f"target {target} must be a share of the way such as 90% or a value such as 0.93"
        )
    return kind, value


def metric_name(metric: str) -> str:
    """``test accuracy`` of ``test_accuracy``: how a metric is named in sentences."""
    split, name = split_metric(metric)
    return f"{SPLIT_NAMES.get(split, split)} {name.replace('_', ' ')}"
