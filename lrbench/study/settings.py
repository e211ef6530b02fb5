"""What a study does: strategies, how they are tuned, how they are compared; conf/study names it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from lrbench.compare.inference import ALPHA
from lrbench.compare.settings import Settings
from lrbench.config import duration
from lrbench.config.checks import require

GRID_RATIO = 2.0  # between neighbouring peak lrs
GUIDE_ALPHA = 0.005  # of the report's 5 %, the guide's share


@dataclass(frozen=True, kw_only=True)
class Guide:
    """How the common claims are measured.

    Attributes:
        references: schedulers that late gains are held against; tuned as the strategies are.
        models: choices of conf/model to try warmup on; None: the study's own model and the next
            larger one of its kind, if there is one.
        warmup: duration of the warmup that is compared with none.
        warmup_budget: length of those runs, as a share of the largest budget's.
        warmup_lr_factors: multiples of the tuned peak lr at which it is.
        warmup_seeds: seeds of those runs.
        short_budget: a budget counts as short up to this share of the full length.
        cut_seeds: final runs of plateau that are trained again without a cut.
        max_cuts: cuts of each such run that are tried, the first ones.
    """

    references: tuple[str, ...]
    models: tuple[str, ...] | None
    warmup: str
    warmup_budget: str
    warmup_lr_factors: tuple[float, ...]
    warmup_seeds: tuple[int, ...]
    short_budget: str
    cut_seeds: int
    max_cuts: int

    def __post_init__(self) -> None:
        _require_distinct("references", self.references)
        if self.models is not None:
            require(len(self.models) > 0, "models", [], "must name a model, or be null")
            _require_distinct("models", self.models)
        amount, _ = _duration("warmup", self.warmup)
        require(amount > 0, "warmup", self.warmup, "must be above 0")
        share("warmup_budget", self.warmup_budget)
        for factor in self.warmup_lr_factors:
            rule = "must be above 0 and finite"
            require(0 < factor < math.inf, "warmup_lr_factors", factor, rule)
        _require_seeds("warmup_seeds", self.warmup_seeds)
        share("short_budget", self.short_budget)
        require(self.cut_seeds >= 0, "cut_seeds", self.cut_seeds, "must be 0 or more")
        require(self.max_cuts >= 1, "max_cuts", self.max_cuts, "must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The protocol: tune every strategy alike, then compare on fresh seeds.

    Attributes:
        strategies: choices of conf/scheduler.
        num_trials: peak lrs tried for each strategy.
        lrs: the peak lrs themselves, or None for a grid around `optimizer.lr`.
        max_extensions: how often the grid may grow by one lr at an end.
        knob_trials: trials for each strategy beyond the grid; see `knobs`.
        knobs: strategy to its own keys to values; a strategy without any spends its knob trials on
            lrs between those of the grid, so that all have the same number of trials.
        tuning_seeds, final_seeds: disjoint.
        tuning_draws: independent tunings. The seeds are dealt to them in turn, and the final runs
            of a draw are made at the setting that its own tuning seeds chose.
        looks: numbers of final seeds after which the results are read, the last number besides.
        futility: no further seeds where they would settle anything with less than this chance.
        splits: values of `dataset.split_seed`, dealt to the final seeds; None: the config's.
        workloads: overrides such as ``dataset=digits model=mlp``; each is studied by itself, with
            all seeds for all strategies, and all of them are then pooled. None: the command's own.
        noise_seeds: runs of the first strategy that measure the noise first.
        stop_at_noise: whether the study ends there if the margin cannot be resolved.
        screen: whether short runs come first, and forecasts say what need not be trained.
        screen_lengths: shares of a budget's length that the short runs take, ascending.
        screen_risk: chance that the best strategy and peak lr is left out by them.
        untuned: whether every strategy is also run at the shared `optimizer.lr`.
        budgets: shares of `trainer.length`, such as ``30%``.
        margin: how close strategies count as equivalent, as in `lrbench.compare.settings.Settings`.
        guide: how the common claims are measured, or None.
    """

    strategies: tuple[str, ...]
    num_trials: int
    lrs: tuple[float, ...] | None
    max_extensions: int
    knob_trials: int
    knobs: dict[str, Any]
    tuning_seeds: tuple[int, ...]
    tuning_draws: int
    final_seeds: tuple[int, ...]
    looks: tuple[int, ...]
    futility: str
    splits: tuple[int, ...] | None
    workloads: tuple[str, ...] | None
    noise_seeds: tuple[int, ...]
    stop_at_noise: bool
    screen: bool
    screen_lengths: tuple[str, ...]
    screen_risk: str
    untuned: bool
    budgets: tuple[str, ...]
    margin: int | float | str | None
    guide: Guide | None

    def __post_init__(self) -> None:
        require(len(self.strategies) > 0, "strategies", [], "must name at least one scheduler")
        _require_distinct("strategies", self.strategies)
        require(self.num_trials >= 1, "num_trials", self.num_trials, "must be at least 1")
        if self.lrs is not None:
            require(len(self.lrs) > 0, "lrs", [], "must hold an lr, or be null")
            _require_distinct("lrs", self.lrs)
            for lr in self.lrs:
                require(0 < lr < math.inf, "lrs", lr, "must be above 0 and finite")
        require(
            self.max_extensions >= 0, "max_extensions", self.max_extensions, "must be 0 or more"
        )
        require(self.knob_trials >= 0, "knob_trials", self.knob_trials, "must be 0 or more")
        for strategy, keys in self.knobs.items():
            well_formed = isinstance(keys, dict) and all(
                isinstance(values, list | tuple) and values for values in keys.values()
            )
            rule = "must map keys of the scheduler to lists of values: {warmup: [5%, 10%]}"
            require(well_formed, f"knobs.{strategy}", keys, rule)
        _require_seeds("tuning_seeds", self.tuning_seeds)
        _require_seeds("final_seeds", self.final_seeds)
        for key, seeds in (("final", self.final_seeds), ("noise", self.noise_seeds)):
            common = sorted(set(self.tuning_seeds) & set(seeds))
            rule = (
                f"must not hold the tuning seeds {common}: what was tuned on them is no fair test"
            )
            require(not common, f"{key}_seeds", list(seeds), rule)
        if self.noise_seeds:
            _require_seeds("noise_seeds", self.noise_seeds)
            rule = "must be empty or at least 3: fewer say nothing of how much runs vary"
            require(len(self.noise_seeds) > 2, "noise_seeds", list(self.noise_seeds), rule)
        most = min(len(self.tuning_seeds), len(self.final_seeds))
        rule = f"must be from 1 to {most}: each draw needs tuning and final seeds of its own"
        require(1 <= self.tuning_draws <= most, "tuning_draws", self.tuning_draws, rule)
        rule = "must rise, from 2 seeds on"
        rising = all(a < b for a, b in pairwise((1, *self.looks)))
        require(rising, "looks", list(self.looks), rule)
        share("futility", self.futility)
        lengths = [share("screen_lengths", text) for text in self.screen_lengths]
        rule = "must hold at least two shares that rise, below 100%: [12.5%, 25%, 50%]"
        rising = len(lengths) > 1 and all(a < b for a, b in pairwise([*lengths, 1.0]))
        require(rising, "screen_lengths", list(self.screen_lengths), rule)
        risk = share("screen_risk", self.screen_risk)
        require(risk <= 0.5, "screen_risk", self.screen_risk, "must be at most 50%")
        if self.workloads is not None:
            rule = "must name at least two workloads, such as dataset=digits, or be null"
            named = len(self.workloads) > 1 and all(words.strip() for words in self.workloads)
            require(named, "workloads", list(self.workloads), rule)
            _require_distinct("workloads", self.workloads)
        if self.splits is not None:
            _require_seeds("splits", self.splits)
        require(len(self.budgets) > 0, "budgets", [], "must hold at least one share, such as 100%")
        _require_distinct("budgets", tuple(share("budgets", text) for text in self.budgets))
        Settings(margin=self.margin)  # refuses what is no margin

    @property
    def alpha(self) -> float:
        """How often the comparison at the largest budget may claim anything false, at any look."""
        return ALPHA if self.guide is None else ALPHA - GUIDE_ALPHA

    @property
    def planned_looks(self) -> tuple[int, ...]:
        """Numbers of final seeds after which the results are read; the last one is all of them."""
        most = len(self.final_seeds)
        return (*(look for look in self.looks if look < most), most)

    def draw(self, seed: int) -> int:
        """Which tuning draw a final seed belongs to; they are dealt in turn."""
        return self.final_seeds.index(seed) % self.tuning_draws

    def split(self, seed: int) -> int:
        """The `dataset.split_seed` of a final seed, where there are `splits`."""
        if self.splits is None:
            return 0
        return self.splits[self.final_seeds.index(seed) // self.tuning_draws % len(self.splits)]

    @property
    def references(self) -> tuple[str, ...]:
        """The guide's references that are not strategies of the study anyway."""
        found = () if self.guide is None else self.guide.references
        return tuple(name for name in found if name not in self.strategies)


def share(key: str, text: str) -> float:
    """``"30%"`` as 0.3.

    Raises:
        ValueError: not a percentage above 0 and up to 100.
    """
    amount, unit = _duration(key, text)
    require(unit == "%" and 0 < amount <= 100, key, text, "must be a share from above 0% to 100%")
    return amount / 100


def _duration(key: str, text: str) -> tuple[float, str]:
    try:
        return duration.parse(text)
    except ValueError as error:
        raise ValueError(f"{key}={text}: {error}") from None


def _require_distinct(key: str, values: tuple[Any, ...]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    require(not repeated, key, list(values), f"must not repeat {repeated}")


def _require_seeds(key: str, seeds: tuple[int, ...]) -> None:
    require(len(seeds) > 0, key, [], "must hold a seed")
    _require_distinct(key, seeds)
    require(min(seeds) >= 0, key, min(seeds), "must be 0 or more")
