"""Tuning by Optuna: the same number of trials for every strategy, over log lr and its knobs.

Nothing is stored but the runs: the sampler's seed is fixed and trials are told in the order in
which they were asked for, so that a repeated command asks for the same ones again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lrbench.cli.mistakes import load_optuna
from lrbench.study.records import Setting, Trial
from lrbench.study.settings import GRID_RATIO, Study
from lrbench.study.tune import Attempt, Tuned, best, first_grid

BATCH = 4  # trials of each strategy that are asked for before any of them is told
HOPELESS = 0.2  # a trial is stopped if it is worse than the best on the same seeds by this share
AS_CONFIGURED = "as configured"  # a knob left alone


def tune(study: Study, default_lr: float, attempt: Attempt) -> Tuned:
    """Tune every strategy and reference by itself, with one budget of trials for all.

    The range of lrs is that of the grid. The first trial is the default; half of the trials are
    drawn at random, the others by TPE (Bergstra et al. 2011). A trial is made seed by seed, and is
    stopped once it is far worse than the best of its strategy on the same seeds. Optuna is told
    the trials' goodness, which is larger for the better ones whichever way the measure goes.

    Raises:
        ConfigError: Optuna is not installed.
    """
    lrs = first_grid(study, default_lr)
    num_trials = study.num_trials + study.knob_trials
    num_random = math.ceil(num_trials / 2)
    names = (*study.strategies, *study.references)
    searches = {
        name: _Search(study.knobs.get(name, {}), lrs, default_lr, num_random) for name in names
    }
    made = 0
    while made < num_trials:
        size = min(BATCH if made else num_random, num_trials - made)
        asked = [(name, searches[name].ask()) for name in names for _ in range(size)]
        made += size
        scores, trials = _made(study, searches, asked, attempt)
        for (name, _), of_trial, trial in zip(asked, scores, trials, strict=True):
            searches[name].tell(of_trial, trial)
    return Tuned(
        grid=(),
        extensions=tuple(_near_the_end(searches, lrs)),
        trials={name: tuple(search.trials) for name, search in searches.items()},
        chosen={name: best(search.trials).setting for name, search in searches.items()},
    )


class _Search:
    """One strategy's search.

    Attributes:
        trials: those told, in order.
        best: the highest goodness so far on the first tuning seed, the first two, …
    """

    def __init__(
        self, knobs: dict[str, Any], lrs: Sequence[float], default_lr: float, num_random: int
    ) -> None:
        optuna = load_optuna("tuner=optuna")
        sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=num_random)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._state = optuna.trial.TrialState
        self._lrs = (lrs[0], lrs[-1])
        self._knobs = {key: [AS_CONFIGURED, *map(repr, values)] for key, values in knobs.items()}
        self._values = {key: dict(zip(map(repr, vs), vs, strict=True)) for key, vs in knobs.items()}
        self._asked: list[Any] = []
        self.trials: list[Trial] = []
        self.best: dict[int, float] = {}
        if lrs[0] <= default_lr <= lrs[-1]:
            self._study.enqueue_trial({"lr": default_lr, **dict.fromkeys(knobs, AS_CONFIGURED)})

    def ask(self) -> Setting:
        trial = self._study.ask()
        self._asked.append(trial)
        lr = trial.suggest_float("lr", *self._lrs, log=True)
        chosen = {k: trial.suggest_categorical(k, options) for k, options in self._knobs.items()}
        knobs = {k: self._values[k][v] for k, v in chosen.items() if v != AS_CONFIGURED}
        return Setting(lr=float(f"{lr:.4g}"), knobs=knobs)

    def tell(self, scores: Sequence[float], trial: Trial) -> None:
        """Tell Optuna of the trial that was asked for longest ago.

        Args:
            scores: its goodness on the first seed, the first two, …
        """
        asked = self._asked.pop(0)
        for num_seeds, score in enumerate(scores, start=1):
            asked.report(score, num_seeds)
        if math.isnan(trial.score):
            self._study.tell(asked, state=self._state.FAIL)
        elif trial.pruned:
            self._study.tell(asked, state=self._state.PRUNED)
        else:
            self._study.tell(asked, trial.goodness)
        self.trials.append(trial)

    def is_hopeless(self, trial: Trial, num_seeds: int) -> bool:
        """Whether `trial` is too far below the best on as many seeds."""
        best = self.best[num_seeds]
        return math.isfinite(best) and trial.goodness < best - HOPELESS * abs(best)

    def note(self, trial: Trial, num_seeds: int) -> None:
        """Remember the best goodness on as many seeds."""
        if not math.isnan(trial.score):
            self.best[num_seeds] = max(self.best.get(num_seeds, -math.inf), trial.goodness)


def _made(
    study: Study,
    searches: dict[str, _Search],
    asked: Sequence[tuple[str, Setting]],
    attempt: Attempt,
) -> tuple[list[list[float]], list[Trial]]:
    """Make what was asked for, seed by seed: each trial's goodness on the way, and the trial."""
    scores: list[list[float]] = [[] for _ in asked]
    trials: list[Trial | None] = [None] * len(asked)
    alive = list(range(len(asked)))
    for num_seeds in range(1, len(study.tuning_seeds) + 1):
        made = attempt([asked[i] for i in alive], num_seeds)
        for i, trial in zip(alive, made, strict=True):
            searches[asked[i][0]].note(trial, num_seeds)
            scores[i] += [] if math.isnan(trial.score) else [trial.goodness]
            trials[i] = trial
        if num_seeds == len(study.tuning_seeds):
            break
        for i, trial in zip(list(alive), made, strict=True):
            if searches[asked[i][0]].is_hopeless(trial, num_seeds):
                trials[i] = replace(trial, pruned=True)
                alive.remove(i)
    return scores, [trial for trial in trials if trial is not None]


def _near_the_end(searches: dict[str, _Search], lrs: Sequence[float]) -> Iterator[str]:
    near = math.sqrt(GRID_RATIO)
    for name, search in searches.items():
        lr = best(search.trials).setting.lr
        if lr < lrs[0] * near or lr > lrs[-1] / near:
            yield (
                f"{name} is best at lr {lr:g}, near the end of the range from {lrs[0]:g} to "
                f"{lrs[-1]:g}: a wider one (study.num_trials, study.lrs) may hold a better one"
            )
