"""Durations that carry their unit: ``5 epochs``, ``200 steps``, ``10%``, ``50000 images``."""

from __future__ import annotations

import math
import re
from functools import lru_cache

COUNTED = ("images", "tokens", "rows")  # what batches hold, of which a run's length can be so many
SECONDS = {"s": 1, "min": 60, "h": 3600}  # of wall-clock time, which a run's length can be, too
_PATTERN = re.compile(
    r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*"
    r"(epochs?|steps?|%|images?|tokens?|rows?|s|min|h)\s*"
)


@lru_cache(maxsize=1024)
def parse(text: str, length: bool = False) -> tuple[float, str]:
    """Split a duration into its amount and its unit: ``"epochs"``, ``"steps"`` or ``"%"``.

    Args:
        length: it is a run's, which is no share of one but may have a unit of `COUNTED`, or be a
            time, which is given in ``"seconds"``.

    Raises:
        ValueError: `text` is no duration, or is a fraction of a step.
    """
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    amount = float(match[1]) if match else math.nan
    word = match[2] if match else ""
    unit = "seconds" if word in SECONDS else word if word == "%" else word.rstrip("s") + "s"
    amount *= SECONDS.get(word, 1)
    wrong = ("%",) if length else (*COUNTED, "seconds")
    if match is None or not math.isfinite(amount) or unit in wrong:
        kinds = "'5 epochs', '200 steps' or " + ("'10 min'" if length else "'10%'")
        raise ValueError(f"{text!r} is not a duration{' here' if length else ''}: write {kinds}")
    if unit in ("steps", *COUNTED) and amount != int(amount):
        raise ValueError(f"{text!r} is not a whole number of {unit}")
    return amount, unit


@lru_cache(maxsize=4096)
def exact_steps(text: str, *, total_steps: int, steps_per_epoch: int) -> float:
    """The duration in optimizer updates, not rounded: ``"30%"`` of 285 is 85.5."""
    amount, unit = parse(text)
    if unit == "%":
        return amount / 100 * total_steps
    return amount * steps_per_epoch if unit == "epochs" else amount


@lru_cache(maxsize=4096)
def whole_steps(text: str, *, total_steps: int, steps_per_epoch: int) -> int:
    """The duration in optimizer updates, rounded half up to a whole number."""
    exact = exact_steps(text, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    return math.floor(exact + 0.5)


def scaled(length: str, share: float) -> str:
    """`share` of a `trainer.length`, in its own unit: ``"4.5 epochs"`` is 0.3 of 15.

    Raises:
        ValueError: it is less than one optimizer update.
    """
    if share == 1:
        return length
    amount, unit = parse(length, length=True)
    if unit != "epochs":
        part = round(share * amount)
        rule = f"is too short for {100 * share:g} % of it: that is less than one update"
        if part < 1:
            raise ValueError(f"trainer.length={length} {rule}")
        return f"{part} {unit}"
    return f"{share * amount:.6g} {unit}"
