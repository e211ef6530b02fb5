"""Several algorithms, each for its own parameter groups, as one optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Combined(torch.optim.Optimizer):
    """Looks like one optimizer; each update is one of each of `parts`, in order.

    The parameter groups are those of the parts, one part after the other, and the state of all
    parameters is one: saved, loaded and copied as any optimizer's.
    """

    def __init__(self, parts: Sequence[torch.optim.Optimizer], lr: float) -> None:
        self.parts = list(parts)
        self._sizes = [len(part.param_groups) for part in parts]
        super().__init__([g for part in parts for g in part.param_groups], {"lr": lr})
        self._share()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one update with each part.

        Raises:
            ValueError: there is a closure, which each part would call anew.
        """
        if closure is not None:
            raise ValueError("several algorithms in one optimizer take no closure")
        for part in self.parts:
            part.step()

    def _share(self) -> None:
        """Let the parts use this optimizer's groups and state, which loading replaces."""
        groups = iter(self.param_groups)
        for part, size in zip(self.parts, self._sizes, strict=True):
            part.param_groups = [next(groups) for _ in range(size)]
            part.state = self.state

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "parts": self.parts, "_sizes": self._sizes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._share()
