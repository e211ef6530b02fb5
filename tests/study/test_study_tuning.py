"""Tuning on made-up results: which lrs are tried, when the grid grows, what is chosen."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pytest
from study_runs import MEASURES, study

from lrbench.config import ConfigError
from lrbench.study import Study, tune
from lrbench.study.records import Point, Setting, Trial
from lrbench.task import Measure

RMSE = Measure(name="rmse", higher_is_better=False)

Truth = Callable[[str, Setting], float | None]
"""The validation accuracy of a strategy at a setting; None: it diverges."""


def peak_at(**lrs: float) -> Truth:
    """Accuracy 0.9 at each strategy's own lr, 0.02 less for each factor of 2 away from it."""
    return lambda name, s: 0.9 - 0.02 * abs(math.log2(s.lr / lrs.get(name, 0.1)))


class Maker:
    """Makes trials that come to the truth; keeps what was asked for, batch by batch."""

    def __init__(
        self,
        truth: Truth,
        loss: Callable[[Setting], float] = lambda _: 0.5,
        measure: Measure = MEASURES[0],
    ) -> None:
        self.truth, self.loss, self.measure = truth, loss, measure
        self.batches: list[list[tuple[str, Setting]]] = []
        self.num_seeds: list[int] = []

    def __call__(self, asked: Sequence[tuple[str, Setting]], num_seeds: int) -> list[Trial]:
        self.batches.append(list(asked))
        self.num_seeds.append(num_seeds)
        return [self.trial(name, setting, num_seeds) for name, setting in asked]

    def trial(self, name: str, setting: Setting, num_seeds: int) -> Trial:
        score = self.truth(name, setting)
        return Trial(
            setting=setting,
            measure=self.measure,
            points=tuple(
                Point(folder=Path(name, str(seed)), strategy=name, seed=seed, overrides=())
                for seed in range(num_seeds)
            ),
            score=self.measure.score(score, completed=score is not None),
            loss=math.nan if score is None else self.loss(setting),
            num_diverged=num_seeds if score is None else 0,
            pruned=False,
        )


def two(**changes: object) -> Study:
    return study(**{"strategies": ["cosine", "onecycle"], "guide": None, **changes})


def lrs_of(trials: Sequence[Trial]) -> list[float]:
    return [trial.setting.lr for trial in trials]


@pytest.mark.parametrize(
    ("num_lrs", "lrs"),
    [
        (1, [0.1]),
        (2, [0.05, 0.1]),
        (4, [0.025, 0.05, 0.1, 0.2]),
        (5, [0.025, 0.05, 0.1, 0.2, 0.4]),
    ],
)
def test_the_grid_lies_around_the_default(num_lrs: int, lrs: list[float]) -> None:
    assert tune.grid(0.1, num_lrs) == lrs


def test_an_optimum_inside_the_grid_is_chosen_and_one_batch_is_enough() -> None:
    maker = Maker(peak_at(cosine=0.1, onecycle=0.2))
    tuned = tune.tune(two(), 0.1, maker)
    assert tuned.chosen == {"cosine": Setting(lr=0.1), "onecycle": Setting(lr=0.2)}
    assert tuned.grid == (0.025, 0.05, 0.1, 0.2, 0.4)
    assert tuned.extensions == ()
    assert [len(batch) for batch in maker.batches] == [10]
    assert maker.num_seeds == [2]


def test_the_grid_grows_for_all_where_one_is_best_at_its_edge() -> None:
    maker = Maker(peak_at(cosine=0.1, onecycle=0.8))
    tuned = tune.tune(two(), 0.1, maker)
    assert tuned.grid == (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
    assert tuned.chosen == {"cosine": Setting(lr=0.1), "onecycle": Setting(lr=0.8)}
    assert tuned.extensions == (
        "the grid grew to lr 0.8: onecycle is best at lr 0.4",
        "the grid grew to lr 1.6: onecycle is best at lr 0.8",
    )
    for name in ("cosine", "onecycle"):
        assert lrs_of(tuned.trials[name]) == [0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6]


def test_the_grid_grows_at_both_ends_and_stops_where_it_is_told() -> None:
    tuned = tune.tune(two(max_extensions=3), 0.1, Maker(peak_at(cosine=0.0125, onecycle=100)))
    assert tuned.grid == (0.00625, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
    assert tuned.extensions == (
        "the grid grew to lr 0.0125: cosine is best at lr 0.025",
        "the grid grew to lr 0.00625: cosine is best at lr 0.0125",
        "the grid grew to lr 0.8: onecycle is best at lr 0.4",
        "onecycle is best at the grid's edge, lr 0.8 (max_extensions=3)",
    )


def test_a_reference_does_not_make_the_grid_grow() -> None:
    asked = study(strategies=["cosine"], guide__references=["constant"])
    tuned = tune.tune(asked, 0.1, Maker(peak_at(constant=0.001)))
    assert tuned.grid == (0.025, 0.05, 0.1, 0.2, 0.4)
    assert tuned.chosen["constant"].lr == 0.025
    (words,) = tuned.extensions
    assert words == (
        "constant is best at the grid's edge, lr 0.025 (the grid is not extended for the guide's "
        "references)"
    )


def test_given_lrs_are_tried_and_grow_by_the_ratio_at_their_end() -> None:
    tuned = tune.tune(two(lrs=[0.03, 0.01]), 0.5, Maker(peak_at(cosine=0.09, onecycle=0.03)))
    assert tuned.grid == (0.01, 0.03, 0.09, 0.27)
    assert tuned.chosen["cosine"].lr == 0.09
    tuned = tune.tune(two(lrs=[0.03, 0.01]), 0.5, Maker(peak_at(cosine=0.01, onecycle=0.01)))
    assert tuned.grid == (0.00333333, 0.01, 0.03)


def test_divergence_counts_as_guessing() -> None:
    def truth(name: str, setting: Setting) -> float | None:
        high = setting.lr > (0.05 if name == "cosine" else 1)
        return None if high else 0.3 + setting.lr

    tuned = tune.tune(two(), 0.1, Maker(truth))
    assert tuned.chosen == {"cosine": Setting(lr=0.05), "onecycle": Setting(lr=0.8)}
    assert [t.num_diverged for t in tuned.trials["cosine"]] == [0, 0, 2, 2, 2, 2, 2]


def test_a_strategy_that_always_diverges_is_told_of_and_gets_the_smallest_lr() -> None:
    tuned = tune.tune(two(), 0.1, Maker(lambda name, _: None if name == "cosine" else 0.9))
    assert tuned.grid[0] == 0.1 / 32
    assert tuned.chosen["cosine"].lr == 0.1 / 32
    assert "cosine diverged at every lr from 0.003125 to 0.4" in tuned.extensions


def test_lower_is_better_and_divergence_without_a_number_is_the_worst() -> None:
    """RMSE: best at 0.2 and 0.1, infinite where it diverges, and never averaged into a number."""

    def truth(name: str, setting: Setting) -> float | None:
        if setting.lr > 0.2:
            return None
        return 2 + abs(math.log2(setting.lr / (0.1 if name == "cosine" else 0.2)))

    tuned = tune.tune(two(), 0.1, Maker(truth, measure=RMSE))
    assert tuned.chosen == {"cosine": Setting(lr=0.1), "onecycle": Setting(lr=0.2)}
    assert [t.score for t in tuned.trials["cosine"]] == [4.0, 3.0, 2.0, 3.0, math.inf]
    always = tune.tune(two(max_extensions=0), 0.1, Maker(lambda *_: None, measure=RMSE))
    assert always.extensions[0] == "cosine diverged at every lr from 0.025 to 0.4"


def test_ties_go_to_the_lower_loss_and_then_to_the_smaller_lr() -> None:
    losses = {0.05: 0.3, 0.1: 0.2, 0.2: 0.2}
    maker = Maker(lambda *_: 0.9, loss=lambda s: losses.get(s.lr, 0.4))
    assert tune.tune(two(), 0.1, maker).chosen["cosine"].lr == 0.1


def test_a_trial_that_lost_a_run_is_not_chosen_before_a_whole_one() -> None:
    class Losing(Maker):
        def trial(self, name: str, setting: Setting, num_seeds: int) -> Trial:
            lost = 2 if setting.lr == 0.4 else 1 if setting.lr == 0.1 else 0
            whole = super().trial(name, setting, num_seeds - lost)
            return whole if whole.points else Trial(**{**vars(whole), "score": math.nan})

    tuned = tune.tune(two(), 0.1, Losing(peak_at(cosine=0.1, onecycle=0.4)))
    assert tuned.chosen == {"cosine": Setting(lr=0.05), "onecycle": Setting(lr=0.2)}


def test_knob_trials_are_equally_many_with_and_without_knobs() -> None:
    knobs = {"cosine": {"warmup": ["5%", "10%"]}}
    maker = Maker(peak_at(cosine=0.1, onecycle=0.2))
    tuned = tune.tune(two(knob_trials=4, knobs=knobs), 0.1, maker)
    cosine, onecycle = (tuned.trials[name][5:] for name in ("cosine", "onecycle"))
    assert [t.setting for t in cosine] == [
        Setting(lr=0.1, knobs={"warmup": "5%"}),
        Setting(lr=0.1, knobs={"warmup": "10%"}),
        Setting(lr=0.141421),  # 0.1 √2
        Setting(lr=0.0707107),  # 0.1 / √2
    ]
    # 0.2 √2, 0.2 / √2, 0.2 · 2^¼, 0.2 / 2^¼
    assert lrs_of(onecycle) == [0.282843, 0.141421, 0.237841, 0.168179]
    assert [len(batch) for batch in maker.batches] == [10, 8]
    (fine,) = tune.knob_settings(two(knob_trials=1), "step", 0.1, [0.1, 0.141421])
    assert fine == Setting(lr=0.0707107)  # 0.1 √2 was tried already


def test_of_too_many_knob_values_the_same_few_are_drawn_every_time() -> None:
    knobs = {"cosine": {"warmup": ["1%", "5%", "10%"], "k": [1.0, 2.0, 3.0]}}
    asked = two(knob_trials=4, knobs=knobs)
    settings = tune.knob_settings(asked, "cosine", 0.1, [0.1])
    assert settings == tune.knob_settings(asked, "cosine", 0.1, [0.1])
    assert len({setting.label for setting in settings}) == 4
    assert all(setting.knobs.keys() == {"warmup", "k"} for setting in settings)


def test_a_knob_that_is_better_is_chosen_at_the_best_lr() -> None:
    def truth(name: str, setting: Setting) -> float:
        better = 0.05 if setting.knobs.get("pct_start") == "50%" else 0.0
        return (peak_at(cosine=0.1, onecycle=0.2)(name, setting) or 0) + better

    tuned = tune.tune(two(knob_trials=2), 0.1, Maker(truth))
    assert tuned.chosen["onecycle"] == Setting(lr=0.2, knobs={"pct_start": "50%"})
    assert tuned.chosen["onecycle"].label == "lr=0.2,pct_start=50%"


class TestOptuna:
    """Tuning by Optuna, on the same made-up results."""

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("optuna")

    def tune(self, asked: Study, maker: Maker) -> tune.Tuned:
        from lrbench.study import optuna_tuner

        return optuna_tuner.tune(asked, 0.1, maker)

    def test_it_finds_a_known_optimum_with_equal_trials_for_all(self) -> None:
        asked = two(num_trials=9, knob_trials=7)
        tuned = self.tune(asked, Maker(peak_at(cosine=0.05, onecycle=0.7)))
        assert {len(trials) for trials in tuned.trials.values()} == {16}
        assert 0.05 / 1.5 < tuned.chosen["cosine"].lr < 0.05 * 1.5
        assert 0.7 / 1.5 < tuned.chosen["onecycle"].lr < 0.7 * 1.5
        for name, lr in (("cosine", 0.05), ("onecycle", 0.7)):
            away = [abs(math.log2(tried / lr)) for tried in lrs_of(tuned.trials[name])]
            assert fmean(away[8:]) < fmean(away[:8])  # half are drawn at random, half near the best
        assert tuned.grid == tuned.extensions == ()
        assert tuned.trials["cosine"][0].setting == Setting(lr=0.1)  # the default is one of them

    def test_it_finds_a_knob_that_helps(self) -> None:
        def truth(_: str, setting: Setting) -> float:
            return 0.5 + 0.4 * (setting.knobs.get("warmup") == "10%") - 0.01 * setting.lr

        tuned = self.tune(two(num_trials=5, knob_trials=7), Maker(truth))
        assert tuned.chosen["cosine"].knobs == {"warmup": "10%"}
        assert {str(t.setting.knobs.get("warmup")) for t in tuned.trials["cosine"]} == {
            "None",
            "5%",
            "10%",
        }

    def test_a_repeated_command_asks_for_the_same_runs(self) -> None:
        asked = two(num_trials=9, knob_trials=3)
        makers = [Maker(peak_at(cosine=0.05)) for _ in range(2)]
        for maker in makers:
            self.tune(asked, maker)
        assert makers[0].batches == makers[1].batches
        assert [len(batch) for batch in makers[0].batches[::2]] == [12, 8, 4]

    def test_hopeless_trials_get_no_second_seed(self) -> None:
        def truth(_: str, setting: Setting) -> float | None:
            return None if setting.lr > 0.15 else 0.9 if setting.lr > 0.05 else 0.73

        maker = Maker(truth)
        tuned = self.tune(two(num_trials=8), maker)
        for trial in tuned.trials["cosine"]:
            hopeless = trial.setting.lr > 0.15
            assert trial.pruned == hopeless, trial  # 0.73 is less than 20 % worse than 0.9
            assert len(trial.points) == (1 if hopeless else 2)
        assert any(trial.pruned for trial in tuned.trials["cosine"])
        assert 0.05 < tuned.chosen["cosine"].lr <= 0.15
        first, second = maker.batches[:2]
        assert second == [(name, s) for name, s in first if s.lr <= 0.15]

    def test_it_searches_for_the_lowest_where_lower_is_better(self) -> None:
        def truth(_: str, setting: Setting) -> float | None:
            return None if setting.lr > 0.4 else 0.5 + abs(math.log2(setting.lr / 0.05))

        tuned = self.tune(two(num_trials=9, knob_trials=7), Maker(truth, measure=RMSE))
        assert 0.05 / 1.5 < tuned.chosen["cosine"].lr < 0.05 * 1.5
        assert any(trial.pruned for trial in tuned.trials["cosine"])

    def test_the_best_near_the_end_of_the_range_is_told(self) -> None:
        tuned = self.tune(two(num_trials=8), Maker(peak_at(cosine=100, onecycle=0.1)))
        (words,) = tuned.extensions
        assert words.startswith("cosine is best at lr ")
        assert "near the end of the range from 0.00625 to 0.8" in words

    def test_without_optuna_the_remedy_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "optuna", None)
        with pytest.raises(ConfigError, match=r"pip install optuna$"):
            self.tune(two(), Maker(peak_at()))
