"""The state of a run between two updates, apart from its tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lrbench.task import Measure


@dataclass
class State:
    """The state of a run apart from its tensors; a checkpoint holds all of it."""

    step: int = 0  # updates taken
    recorded_step: int = 0  # the last one in the history
    val_steps: list[int] = field(default_factory=list)
    validations: dict[str, list[float]] = field(default_factory=dict)  # by measure, of each step
    pending: list[dict[str, Any]] = field(default_factory=list)  # sums of each since recorded_step
    pending_grad_norm: float | None = None  # the largest since recorded_step; inf: not finite
    largest_grad_norm: float | None = None  # of the run so far; None: not recorded
    largest_grad_norm_step: int | None = None  # the (first) update that had it
    loss_scale: dict[str, Any] = field(default_factory=dict)  # fp16's, else empty
    train_seconds: float = 0.0  # in updates alone
    seconds: float = 0.0  # evaluations, records and checkpoints included
    resumes: list[dict[str, Any]] = field(default_factory=list)  # under a policy: step, what, how

    def note_grad_norm(self, step: int, norm: float) -> None:
        """Keep the largest since the last record, and of the run; one not finite counts as inf."""
        norm = norm if math.isfinite(norm) else math.inf
        if self.pending_grad_norm is None or norm > self.pending_grad_norm:
            self.pending_grad_norm = norm
        if self.largest_grad_norm is None or norm > self.largest_grad_norm:
            self.largest_grad_norm, self.largest_grad_norm_step = norm, step

    def best_evaluation(self, measures: Sequence[Measure]) -> int | None:
        """Which evaluation had the best primary measure, among equals the lowest loss."""
        primary, found = measures[0], self.validations
        return max(
            range(len(self.val_steps)),
            key=lambda i: (primary.sign * found[primary.name][i], -found["loss"][i]),
            default=None,
        )

    def mark_recorded(self) -> None:
        """Reset what is collected between two records."""
        self.recorded_step = self.step
        self.pending, self.pending_grad_norm = [], None
