"""What a study is made of: run folders to be, and what was found out so far.

The words, from the ground up: a *point* is one run to be made; a *setting* is a strategy's peak lr
with its knobs; a *trial* is a setting tried on the tuning seeds; a *stage* is one budget with its
trials and its runs on fresh seeds; a study's *outcome* is all of its stages. Everything here can be
made again from the command and the run folders, so nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lrbench.study.allocation import Allocation
from lrbench.study.settings import Guide, Study
from lrbench.task import Measure

GUIDE = "the guide's own"  # the phase of the runs that only the guide needs


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a strategy stands: its peak lr (`optimizer.lr`) and the keys of its own that differ."""

    lr: float
    knobs: Mapping[str, Any] = field(default_factory=dict)  # {"patience": 6}, under `scheduler`

    @property
    def label(self) -> str:
        """``lr=0.1,patience=6``: what the folder of a trial is called."""
        return ",".join(
            [f"lr={self.lr:g}", *(f"{key}={value}" for key, value in self.knobs.items())]
        )


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run to be made.

    Attributes:
        folder: the run folder.
        strategy: choice of conf/scheduler.
        seed: the run's seed.
        overrides: what its config has besides the study's own overrides, in Hydra's grammar:
            ``("scheduler=onecycle", "optimizer.lr=0.1", "seed=3", "trainer.length='5 epochs'")``.
    """

    folder: Path
    strategy: str
    seed: int
    overrides: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A setting tried on the tuning seeds; the numbers are of validation alone.

    Attributes:
        measure: the primary one.
        points: its runs that have a result; fewer than the tuning seeds if it was stopped as
            hopeless, or a run failed.
        score: mean final validation value over them, a diverged run as guessing; the worst value,
            infinite, if one diverged and guessing has no number; NaN where there is no run.
        loss: mean final validation loss of the completed runs; NaN where there is none.
        num_diverged: runs that diverged.
        pruned: whether it was stopped before its last seed.
    """

    setting: Setting
    measure: Measure
    points: tuple[Point, ...]
    score: float
    loss: float
    num_diverged: int
    pruned: bool

    @property
    def goodness(self) -> float:
        """The score with its sign turned where lower values are better: larger is better."""
        return self.measure.sign * self.score

    @property
    def diverged(self) -> bool:
        """Whether every run diverged."""
        return 0 < len(self.points) == self.num_diverged


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """The forecast of one strategy at one peak lr.

    Attributes:
        loss, low, high: its final validation loss and a 95 % interval of it by itself.
        left_out: whether it is forecast behind the best by more than the forecast's error.
    """

    strategy: str
    lr: float
    loss: float
    low: float
    high: float
    left_out: bool


@dataclass(frozen=True, kw_only=True)
class Screened:
    """What short runs foretold of a budget's strategies and peak lrs, before any is trained.

    Attributes:
        num_runs: short runs that it is from.
        updates: of these, in runs of the full length.
        law: that foretold best; empty where none could be fitted.
        behind: relative difference from which on one forecast is behind another.
        risk: chance that the best is left out all the same.
        forecasts: of every strategy and peak lr that could be foretold, lowest loss first.
        unknown: why nothing was foretold, of all or of some, in words.
    """

    num_runs: int
    updates: float
    law: str
    behind: float
    risk: float
    forecasts: tuple[Foretold, ...]
    unknown: tuple[str, ...]

    @property
    def left_out(self) -> frozenset[tuple[str, float]]:
        """Strategies and peak lrs that are not trained."""
        return frozenset((f.strategy, f.lr) for f in self.forecasts if f.left_out)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One budget: its tuning and its runs on fresh seeds.

    Attributes:
        share: of the full length, 1.0 for all of it.
        length: `trainer.length` of its runs.
        grid: the peak lrs that every strategy was tried at, ascending; empty where Optuna tuned.
        extensions: how the grid grew and for whom, and who is best at its edge or diverged
            everywhere at the end, in words, oldest first.
        trials: of each strategy and reference, in the order in which they were made.
        chosen: the setting with the best validation, of each strategy and reference.
        draws: the same for each tuning draw, by its own tuning seeds.
        final: runs on the final seeds at their draw's setting, of each strategy and reference.
        untuned: runs on the final seeds at the shared default lr, of each strategy; those of
            `final` where the default was chosen; empty if not asked for.
        allocation: how many seeds each strategy was given, and why no more.
        screened: what was left out by forecasts, where that was asked for.
    """

    share: float
    length: str
    grid: tuple[float, ...]
    extensions: tuple[str, ...]
    trials: Mapping[str, tuple[Trial, ...]]
    chosen: Mapping[str, Setting]
    draws: tuple[Mapping[str, Setting], ...]
    final: Mapping[str, tuple[Point, ...]]
    untuned: Mapping[str, tuple[Point, ...]]
    allocation: Allocation
    screened: Screened | None = None

    @property
    def percent(self) -> str:
        """The share as it stands in a sentence: ``30 %``."""
        return f"{100 * self.share:g} %"


@dataclass(frozen=True, kw_only=True)
class StudyOutcome:
    """A study after its stages; the guide's own runs come on top.

    Attributes:
        folder: the study's; reports go here, the guide's runs below ``folder / "guide"``.
        overrides: what the command gave for every run (``experiment=...``, ``model=...``).
        default_lr: `optimizer.lr` as composed.
        choices: Hydra's choices by group, such as ``{"model": "resnet8", "dataset": "digits"}``.
        measure: the primary one of the task.
        stages: in the order of `study.budgets`.
    """

    folder: Path
    study: Study
    overrides: tuple[str, ...]
    default_lr: float
    choices: Mapping[str, str]
    measure: Measure
    stages: tuple[Stage, ...]

    @property
    def guide(self) -> Guide:
        """The guide's settings; only asked for where the study has a guide."""
        assert self.study.guide is not None
        return self.study.guide

    @property
    def full(self) -> Stage:
        """The stage of the largest budget, which the recommendation is for."""
        return max(self.stages, key=lambda stage: stage.share)
