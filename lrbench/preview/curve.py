"""A schedule laid out on its run: the numbers that the picture, the table and the CSV show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lrbench.config import Call, ConfigError
from lrbench.config.checks import require
from lrbench.optimizer import Optimizer
from lrbench.preview.arguments import Arguments
from lrbench.preview.compose import Choice
from lrbench.preview.downsample import thin
from lrbench.preview.replay import History, Mark, first_difference
from lrbench.run.parts import build_part
from lrbench.scheduler import Plan, Scheduler, lint
from lrbench.trainer import Trainer

Evaluations = tuple[tuple[float, ...], tuple[int, ...]]
MOST_IN_ONE = 8  # curves in one plot
MOST_IF_LONG = 4  # where a name has more than so many characters:
LONG_LABEL = 24
MOMENTUM_POINTS = 3000  # momenta are smooth between the ends of segments


@dataclass(frozen=True, kw_only=True)
class ScheduleCurve:
    """One schedule on one run.

    Attributes:
        name: of the strategy, which fixes its colour.
        factors: float64 (total_steps,), multipliers of `base_lr`.
        own_momentum: the optimizer's, where the schedule leaves it alone.
        warnings: what looks unintended, in words.
        evaluations: the recorded validation losses that steer it, and the updates taken by then.
        mark: where the replay of a recorded run stops being valid.
        layer_decay: of the optimizer; the curve is then the last layer's.
    """

    label: str
    name: str
    scheduler: Scheduler
    base_lr: float
    total_steps: int
    steps_per_epoch: int
    batch_size: int
    dataset: str
    factors: np.ndarray
    plan: Plan
    own_momentum: float | None
    warnings: tuple[str, ...] = ()
    evaluations: Evaluations = ((), ())
    mark: Mark | None = None
    layer_decay: float | None = None

    @cached_property
    def lr(self) -> np.ndarray:
        """The lr of every update, float64 (total_steps,)."""
        return self.base_lr * self.factors

    @property
    def replayed(self) -> bool:
        """Whether the schedule reacts to losses and is given those of a recorded run."""
        return bool(self.evaluations[0])

    @property
    def cycles_momentum(self) -> bool:
        """Whether the schedule sets the momentum."""
        return any(segment.momentum is not None for segment in self.plan.segments)

    def momentum(self, step: int) -> float | None:
        """The momentum of update `step`; None where the optimizer has none."""
        value = self.plan.momentum(step)
        return self.own_momentum if value is None else value

    @cached_property
    def lr_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Updates and lrs to draw."""
        steps = thin(self.factors, keep=self.plan.starts)
        return steps, self.lr[steps]

    @cached_property
    def momentum_points(self) -> tuple[np.ndarray, np.ndarray]:
        """Updates and momenta to draw; empty where there is none."""
        even = np.linspace(0, self.total_steps - 1, min(self.total_steps, MOMENTUM_POINTS))
        starts = np.array(self.plan.starts)
        steps = np.unique(np.concatenate([even.astype(np.int64), starts, starts - 1]))
        steps = steps[steps >= 0]
        values = [self.momentum(int(step)) for step in steps]
        if None in values:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return steps, np.array(values, dtype=np.float64)


def crowded(curves: Sequence[ScheduleCurve]) -> bool:
    """Whether there are more curves, or longer names, than one plot can show."""
    long = max(len(curve.label) for curve in curves) > LONG_LABEL
    return len(curves) > (MOST_IF_LONG if long else MOST_IN_ONE)


def with_groups(
    choice: Choice, arguments: Arguments, history: History | None
) -> list[ScheduleCurve]:
    """The curve of `choice`, then those of its parameter groups that have lrs of their own.

    Raises:
        ValueError: as `lay_out` says.
    """
    optimizer: Optimizer = build_part(choice.cfg, "optimizer")
    own = [n for n, r in (optimizer.groups or {}).items() if r.scheduler or r.lr_factor != 1]
    return [lay_out(choice, arguments, history, group) for group in (None, *own)]


def lay_out(
    choice: Choice, arguments: Arguments, history: History | None, group: str | None = None
) -> ScheduleCurve:
    """The curve of `choice`, replayed on `history` if its schedule reacts to losses.

    Args:
        group: draw the lr of this parameter group, which is not replayed.

    Raises:
        ValueError: the config is wrong, its durations do not fit the run, or the number of
            updates per epoch is not known.
    """
    cfg = choice.cfg
    settings: Trainer = build_part(cfg, "trainer")
    optimizer: Optimizer = build_part(cfg, "optimizer")
    rule = None if group is None else (optimizer.groups or {})[group]
    own = None if rule is None else rule.scheduler
    scheduler: Scheduler = own or build_part(cfg, "scheduler")
    base_lr = optimizer.lr * (rule.lr_factor if rule else 1.0)
    algorithm = rule.algorithm if rule and rule.algorithm else optimizer.algorithm
    steps_per_epoch = find_steps_per_epoch(choice, settings, arguments, history)
    total_steps = settings.total_steps(steps_per_epoch)
    eval_every, _ = settings.intervals(total_steps, steps_per_epoch)
    evaluations: Evaluations = ((), ())
    replayed = history is not None and scheduler.reads_losses and group is None
    if history is not None and replayed:
        evaluations = (history.losses, history.steps)
    try:
        plan = scheduler.plan(total_steps, steps_per_epoch, *evaluations)
        factors = np.array(plan.factors())
        warnings = lint(scheduler, total_steps, steps_per_epoch, eval_every)
    except ValueError as error:
        place = f"optimizer.groups.{group}.scheduler" if own else "scheduler"
        raise ConfigError(f"{place}.{error}") from error
    mark = None
    if history is not None and replayed:
        mark = first_difference(base_lr * factors, history)
    return ScheduleCurve(
        label=choice.label if group is None else f"{choice.label}: {group}",
        name=choice.name,
        scheduler=scheduler,
        base_lr=base_lr,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
        batch_size=settings.batch_size,
        dataset=choice.dataset,
        factors=factors,
        plan=plan,
        own_momentum=_own_momentum(algorithm),
        layer_decay=optimizer.layer_decay,
        warnings=tuple(warnings),
        evaluations=evaluations,
        mark=mark,
    )


def find_steps_per_epoch(
    choice: Choice, settings: Trainer, arguments: Arguments, history: History | None
) -> int:
    """Optimizer updates per epoch: as told, else from the dataset's size, else from `history`.

    Raises:
        ConfigError: none of them knows.
    """
    if arguments.steps_per_epoch is not None:
        return arguments.steps_per_epoch
    num_train = arguments.num_train
    if num_train is None:
        sizes = build_part(choice.cfg, "dataset").sizes()
        if sizes is None:
            if history is not None:
                return history.steps_per_epoch
            raise ConfigError(
                "the dataset's size is not known before it is read: give num_train=... (training "
                "examples) or steps_per_epoch=... on the command line"
            )
        num_train = sizes.train
    batch_size = settings.batch_size
    rule = f"must be at most the number of training examples ({num_train:,})"
    require(batch_size <= num_train, "trainer.batch_size", batch_size, rule)
    return int(num_train // batch_size)


def _own_momentum(algorithm: Call) -> float | None:
    """The momentum (of Adam's kin: beta1) that the algorithm's config names, if any."""
    arguments = algorithm.arguments
    if "betas" in arguments:
        return float(arguments["betas"][0])
    momentum = arguments.get("momentum")
    return None if momentum is None else float(momentum)
