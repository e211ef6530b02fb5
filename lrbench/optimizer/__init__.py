"""The optimizer that a config names, and what the trainer asks of it; imports no torch."""

from lrbench.optimizer.optimizer import Optimizer, current, set_lr, set_momentum

__all__ = ["Optimizer", "current", "set_lr", "set_momentum"]
