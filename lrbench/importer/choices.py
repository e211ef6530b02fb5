"""What the person who imports says of the logs, in Python or as words of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

KEYS = {
    "pattern": "'{strategy}/seed={seed}': what a run's path says; {lr} too, and any other name "
    "{size} sets runs apart in groups",
    "measure": "COLUMN: what to compare by, as logged (guessed from well-known names)",
    "better": "lower or higher: which way the measure is better",
    "unit": "nats, points, ...: of the measure",
    "strategy": "KEY of the recorded configs that says it",
    "seed": "KEY of the recorded configs that says it",
    "lr": "KEY of the recorded configs that says the peak lr",
    "step": "COLUMN that says at which update a row was logged",
    "steps_per_epoch": "N, where logs count epochs alone",
    "paired": "true: equal seeds mean equal initial weights and batches (default: unknown)",
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the person who imports says; None and empty leave it to the names.

    Attributes:
        pattern: over a run's path, such as ``{strategy}/seed={seed}``; its other names set runs
            apart in groups.
        measure: the column to compare by, as logged.
        better: ``lower`` or ``higher``, of `measure`.
        unit: of `measure`: ``points``, ``nats``, ….
        strategy, seed, lr: keys of the recorded configs.
        step: the column that says when.
        steps_per_epoch: updates in an epoch.
        paired: whether equal seeds mean equal initial weights and batches.
        ignore: keys of the recorded configs that do not matter.
    """

    pattern: str | None = None
    measure: str | None = None
    better: str | None = None
    unit: str | None = None
    strategy: str | None = None
    seed: str | None = None
    lr: str | None = None
    step: str | None = None
    steps_per_epoch: int | None = None
    paired: bool | None = None
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.better not in (None, "lower", "higher"):
            raise ValueError(f"better={self.better} must be lower or higher")
        for name in ("better", "unit"):
            if getattr(self, name) is not None and self.measure is None:
                raise ValueError(
                    f"{name}={getattr(self, name)} is of a measure: add measure=COLUMN"
                )
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise ValueError(f"steps_per_epoch={self.steps_per_epoch} must be at least 1")

    @classmethod
    def take(cls, given: dict[str, Any]) -> Choices:
        """The choices among `given`, which are removed from it; those in words are converted.

        Raises:
            ValueError: a word is none that there can be.
        """
        own: dict[str, Any] = {f.name: given.pop(f.name) for f in fields(cls) if f.name in given}
        steps, paired = own.get("steps_per_epoch"), own.get("paired")
        if isinstance(steps, str):
            if not steps.isdecimal():
                raise ValueError(f"steps_per_epoch={steps} must be a whole number")
            own["steps_per_epoch"] = int(steps)
        if isinstance(paired, str):
            if paired not in ("true", "false"):
                raise ValueError(f"paired={paired} must be true or false")
            own["paired"] = paired == "true"
        return cls(**own)

    def words(self) -> Mapping[str, str]:
        """What was said, as words of a command line: key to value; `ignore` is left out."""
        said = {key: getattr(self, key) for key in KEYS}
        return {k: str(v).lower() if isinstance(v, bool) else str(v)
                for k, v in said.items() if v is not None}  # fmt: skip
