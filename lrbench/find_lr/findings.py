"""What the ramps of several seeds say together: each rule's lrs and their spread, and a range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lrbench.find_lr import rules
from lrbench.find_lr.settings import FEWEST, RangeTest
from lrbench.find_lr.tape import Ramp

RULES = {
    "steepest": rules.steepest,
    "valley": rules.valley,
    "minimum / 10": rules.tenth,
}
APART = 30.0  # a factor by which rules that agree do not differ
HARDLY = 0.1  # a fall of the loss by less than this share tells little


@dataclass(frozen=True, kw_only=True)
class Spread:
    """One lr per seed; the spread is from the lowest to the highest of them."""

    lrs: tuple[float, ...]

    @property
    def median(self) -> float:
        """On the logarithmic axis: of an even number of lrs, the middle two's geometric mean."""
        return float(np.exp(np.median(np.log(self.lrs))))

    @property
    def low(self) -> float:
        """The lowest of the seeds' lrs."""
        return min(self.lrs)

    @property
    def high(self) -> float:
        """The highest of the seeds' lrs."""
        return max(self.lrs)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the ramps say.

    Attributes:
        suggestions: of each rule.
        lowest: where the loss is lowest.
        warnings: what makes them doubtful, in words.
    """

    suggestions: dict[str, Spread]
    lowest: Spread
    warnings: tuple[str, ...]

    @property
    def low(self) -> float:
        """The lower end of the range: the middle of the rules' medians, so that one may err."""
        return float(np.median([spread.median for spread in self.suggestions.values()]))

    @property
    def high(self) -> float:
        """The upper end of the range: the median lr of the lowest loss, the edge of stability."""
        return self.lowest.median


def conclude(curves: Sequence[Ramp], settings: RangeTest) -> Findings:
    """Apply every rule to every curve.

    Raises:
        ValueError: a loss diverged before there was anything to see.
    """
    parts = [kept(curve, settings) for curve in curves]
    spreads = {name: Spread(lrs=tuple(rule(*p) for p in parts)) for name, rule in RULES.items()}
    lowest = Spread(lrs=tuple(rules.lowest(*part) for part in parts))
    warnings = _warnings(curves, parts, settings)
    medians = sorted((spread.median, name) for name, spread in spreads.items())
    (least, cautious), (most, bold) = medians[0], medians[-1]
    if most > APART * least:
        warnings.append(
            f"{cautious} and {bold} differ by a factor of {most / least:.3g}: look at the plot "
            "(a loss that falls as soon as the ramp begins misleads the steepest)"
        )
    return Findings(suggestions=spreads, lowest=lowest, warnings=tuple(warnings))


def kept(curve: Ramp, settings: RangeTest) -> tuple[np.ndarray, np.ndarray]:
    """The lrs and smoothed losses that the rules see: less `skip_start` and `skip_end` updates.

    Raises:
        ValueError: fewer than `FEWEST` are left, as the loss diverged.
    """
    stop = len(curve.lr) - settings.skip_end
    part = slice(settings.skip_start, max(stop, 0))
    lr, loss = curve.lr[part], curve.smoothed[part]
    if len(lr) < FEWEST:
        raise ValueError(
            f"lr_min={settings.lr_min:g}: the loss diverged at lr {curve.lr[-1]:.3g}, after "
            f"{len(curve.lr)} updates, before it could fall: start lower, or take more num_steps"
        )
    return lr, loss


def _warnings(
    curves: Sequence[Ramp], parts: Sequence[tuple[np.ndarray, np.ndarray]], settings: RangeTest
) -> list[str]:
    """What makes the suggestions doubtful; each with what to change."""
    falls = [1 - loss.min() / loss[0] for _, loss in parts if loss[0] > 0]
    warnings = []
    if falls and np.median(falls) < HARDLY:
        warnings.append(
            f"the loss fell by {max(float(np.median(falls)), 0.0):.1%} only (median): this model "
            "hardly learns in so short a ramp; take more num_steps, or other bounds"
        )
    still = sum(
        not curve.diverged and loss.argmin() == len(loss) - 1
        for curve, (_, loss) in zip(curves, parts, strict=True)
    )
    if still:
        warnings.append(
            f"the loss was still falling at lr_max={settings.lr_max:g} on {still} of "
            f"{len(curves)} seeds: raise lr_max"
        )
    early = sum(int(loss.argmin()) == 0 for _, loss in parts)
    if early:
        warnings.append(
            f"the loss only rose from lr_min={settings.lr_min:g} on {early} of {len(curves)} "
            "seeds: lower lr_min"
        )
    return warnings
