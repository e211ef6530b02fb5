"""From the test's range to each schedule's base lr: rules of thumb, with where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lrbench.find_lr.findings import Findings
from lrbench.find_lr.settings import RangeTest

THIRD = 10**0.5  # half way, on the logarithmic axis, between the lowest loss and a tenth of it
SGD, ADAM = "SGD", "Adam"
# What a schedule-free lr is to that of the algorithm it comes from: schedulefree's README.
SCHEDULE_FREE = {SGD: ("schedulefree_sgd", 10, 50), ADAM: ("schedulefree_adamw", 1, 10)}
WARMUP = "scheduler=constant scheduler.warmup=5%"  # what conf/optimizer/schedulefree_* ask for

# Strategy, what its base lr is to it, by how much that and the range's lower end lie below the lr
# of the lowest loss, and why.
SCHEDULES = (
    (
        "onecycle", "peak", THIRD, 10,
        "the lr of the lowest loss is the largest that a cycle may reach (Smith 2018), and fastai "
        "peaks at a tenth of it; half way between",
    ),
    (
        "warmup_decay", "peak", THIRD, 10,
        "a warmup bears a larger lr than a cold start (Goyal et al. 2017): as onecycle",
    ),
    (
        "cosine", "start", 10, 10 * THIRD,
        "it starts untrained weights at the full lr, which must be smaller than a cycle's (Smith "
        "2018): a tenth of the lowest loss's (Gugger 2018, fastai), which is cautious",
    ),
    (
        "plateau", "start", 10, 10 * THIRD,
        "as cosine; its cuts mend a start that is too high, at the cost of patience",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A base lr for one schedule.

    Attributes:
        strategy: the choice of conf/scheduler, or of conf/optimizer for the schedule-free ones.
        schedule: with what the base lr is to it: "onecycle, peak".
        lr: to try first, to two digits.
        low, high: within which to search.
        choice: the overrides that choose it, without the lr.
        why: the reason and its source, in a sentence.
    """

    strategy: str
    schedule: str
    lr: float
    low: float
    high: float
    choice: str
    why: str

    @property
    def grid(self) -> list[float]:
        """From `low` to `high` in steps of about three, to search."""
        count = 1 + round(math.log(self.high / self.low, THIRD))
        return [nice(lr) for lr in np.geomspace(self.low, self.high, count).tolist()]

    @property
    def override(self) -> str:
        """Ready to paste behind ``python -m lrbench``."""
        return f"{self.choice} optimizer.lr={self.lr:g}"


def advise(findings: Findings, algorithm: str) -> Iterator[Advice]:
    """Base lrs for the schedules that fit the optimizer.

    Args:
        algorithm: the dotted name of the optimizer that was tested.
    """
    lowest = findings.lowest.median
    if algorithm.startswith("schedulefree."):
        yield Advice(
            strategy="constant",
            schedule="schedule-free",
            lr=nice(lowest / THIRD),
            low=lowest / 10,
            high=lowest,
            choice=WARMUP,
            why="no rule is published for schedule-free optimizers; the averaging bears a large lr "
            "(Defazio et al. 2024), so the middle between the lowest loss and a tenth of it",
        )
        return
    for strategy, role, below, widest, why in SCHEDULES:
        yield Advice(
            strategy=strategy,
            schedule=f"{strategy}, {role}",
            lr=nice(lowest / below),
            low=lowest / widest,
            high=lowest,
            choice=f"scheduler={strategy}",
            why=why,
        )
    kind = algorithm.rpartition(".")[2].removesuffix("W")
    if kind in SCHEDULE_FREE:
        name, least, most = SCHEDULE_FREE[kind]
        yield Advice(
            strategy=name,
            schedule=name,
            lr=nice(lowest / 10 * (least * most) ** 0.5),
            low=lowest / 10 * least,
            high=lowest / 10 * most,
            choice=f"optimizer={name} {WARMUP}",
            why=f"{least} to {most} times cosine's, its authors say (Defazio et al. 2024); "
            f"better: python -m lrbench.find_lr optimizer={name}",
        )


def caution(settings: RangeTest) -> str:
    """How rough all of this is."""
    per_step = (settings.lr_max / settings.lr_min) ** (1 / (settings.num_steps - 1))
    lag = per_step ** (settings.smoothing / (1 - settings.smoothing))
    return (
        "All of it is rough: the test sees the first updates alone, while the best lr depends on "
        f"the whole run, and smoothing delays the curve by a factor of up to {lag:.2g} in lr. "
        "Trust it to a factor of 3, and let a sweep decide."
    )


def nice(lr: float) -> float:
    """`lr` to two significant digits."""
    return float(f"{lr:.2g}")
