"""Planted truths: the numbers and the words that they must lead to."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_runs import write_run, write_sweep

from lrbench.compare import tables
from lrbench.compare.analysis import Analysis, analyse
from lrbench.compare.family import EXPLORATORY, Family
from lrbench.compare.find import find
from lrbench.compare.groups import split
from lrbench.compare.read import read
from lrbench.compare.settings import Settings
from lrbench.compare.verdict import Verdict, verdict
from lrbench.task.classification import measures


def analysed(folder: Path, **settings: Any) -> Analysis:
    checked = Settings(**settings)
    (group,), _ = split(read(find([folder])).runs, checked.vary, metric=checked.metric)
    return analyse(group, checked, Family())


def points(difference: float) -> str:
    return measures(10)[0].number(difference)


def marks(analysis: Analysis) -> list[str]:
    return [standing.mark for standing in analysis.standings]


def told(folder: Path, **settings: Any) -> Verdict:
    return verdict(analysed(folder, **settings))


def noise(count: int, seed: int, sd: float = 0.002) -> np.ndarray:
    """Exactly mean 0 and standard deviation `sd`."""
    values = np.random.default_rng(seed).normal(size=count)
    return sd * (values - values.mean()) / values.std(ddof=1)


def test_a_real_difference_is_found(tmp_path: Path) -> None:
    base = 0.9 + noise(10, 1)
    better = base + 0.0042 + noise(10, 2, sd=0.003)
    write_sweep(tmp_path, {"cosine": base.tolist(), "onecycle": better.tolist()})
    analysis = analysed(tmp_path)
    (pair,) = analysis.pairs
    assert (pair.a, pair.b, pair.test.num) == ("onecycle", "cosine", 10)
    assert pair.test.mean == pytest.approx(0.0042, abs=1e-6)  # scores have six decimals
    assert pair.test.sd == pytest.approx(0.003, rel=1e-3)
    words = verdict(analysis)
    # 0.42 ± t(0.975, 9) 2.262 * 0.3 / sqrt(10) = 0.215
    assert words.pairs == (
        "onecycle beats cosine at these peak lrs by 0.42 points (0.21 to 0.63, 10 paired seeds)",
    )
    assert words.headline == (
        "onecycle beats cosine at these peak lrs. onecycle has the highest mean test accuracy: "
        "90.42 %."
    )
    assert marks(analysis) == ["best", "worse"]
    first, second = words.losses
    assert (first.strategy, first.may_be_best, first.may_lose) == ("onecycle", True, 0.0)
    assert (second.may_be_best, second.may_lose) == (False, pytest.approx(0.00635, abs=5e-5))


def test_no_difference_is_said_first_with_what_a_wrong_pick_costs(tmp_path: Path) -> None:
    base = 0.9 + noise(10, 1)
    other = base + 0.0005 + noise(10, 2, sd=0.003)
    write_sweep(tmp_path, {"cosine": base.tolist(), "onecycle": other.tolist()})
    words = told(tmp_path)
    # sd 0.3 points, effect 0.2 points: power 80 % at n = 20 (noncentral t); 0.05 ± 0.215
    assert words.pairs == (
        "onecycle and cosine are not distinguishable: −0.16 to 0.26 points (10 paired seeds), so "
        "neither is ahead by more than 0.26 points; about 20 seeds, planned beforehand, would "
        "resolve 0.2 points",
    )
    assert words.headline == (
        "No difference found: whichever of onecycle and cosine you pick at these peak lrs, you "
        "lose at most 0.26 points against the best. onecycle has the highest mean test accuracy: "
        "90.05 %."
    )
    # of two equal ones with standard errors 0.3 / sqrt(2) / sqrt(10): 0.564 of that
    assert (
        "Picked as the leader of 2 that may be equal, onecycle would look 0.04 points better than "
        "it is."
    ) in words.remarks


def test_equivalence_is_found(tmp_path: Path) -> None:
    base = 0.9 + noise(10, 1)
    other = base + 0.0002 + noise(10, 2, sd=0.001)
    write_sweep(tmp_path, {"cosine": base.tolist(), "onecycle": other.tolist()})
    # 0.02 ± 2.262 * 0.1 / sqrt(10) = -0.05 to 0.09
    words = told(tmp_path)
    assert words.pairs == (
        "onecycle and cosine are equivalent within ± 0.2 points at these peak lrs (difference "
        "0.02, −0.05 to 0.09, 10 paired seeds)",
    )
    assert words.headline.startswith("All are equivalent: whichever of onecycle and cosine")
    assert marks(analysed(tmp_path)) == ["best", "equivalent"]
    assert marks(analysed(tmp_path, margin=0.05))[1] == "not distinguishable"


def test_a_sure_but_negligible_difference_is_called_both(tmp_path: Path) -> None:
    base = 0.9 + noise(10, 1)
    other = base + 0.001 + noise(10, 2, sd=0.0003)
    write_sweep(tmp_path, {"cosine": base.tolist(), "onecycle": other.tolist()})
    (sentence,) = told(tmp_path).pairs
    assert sentence.startswith("onecycle beats cosine at these peak lrs by 0.10 points (0.0")
    assert sentence.endswith(", yet the two are equivalent within ± 0.2 points")
    assert marks(analysed(tmp_path)) == ["best", "equivalent"]


def test_exploratory_comparisons_claim_nothing(tmp_path: Path) -> None:
    base = 0.9 + noise(8, 1)
    write_sweep(
        tmp_path, {"cosine": base.tolist(), "onecycle": (base + 0.05 + noise(8, 2)).tolist()}
    )
    analysis = analysed(tmp_path)
    open_ended = analyse(analysis.group, analysis.settings, EXPLORATORY)
    words = verdict(open_ended)
    assert words.pairs[0].startswith("exploratory: onecycle is ahead of cosine by 5.00 points (4.")
    assert words.pairs[0].endswith(", 8 paired seeds), which is not sure")
    assert words.headline.startswith("Exploratory: No difference found: whichever of onecycle and")
    assert EXPLORATORY.covers in words.remarks
    assert marks(open_ended) == ["best", "behind, not for sure"]


def test_three_seeds_show_what_is_far_apart_and_two_nothing(tmp_path: Path) -> None:
    cosine, onecycle = [0.80, 0.81, 0.82], [0.90, 0.91, 0.93]
    write_sweep(tmp_path / "three", {"cosine": cosine, "onecycle": onecycle})
    words = told(tmp_path / "three")
    assert words.headline.startswith("onecycle beats cosine at these peak lrs. ")
    # differences 10, 10, 11: mean 10.33, t(0.9875, 2) 6.205 * 0.577 / sqrt(3) = 2.07
    assert "10.33 points" in words.pairs[0]
    assert "(8.26 to 12.40, 3 paired seeds)" in words.pairs[0]
    write_sweep(tmp_path / "two", {"cosine": cosine[:2], "onecycle": onecycle[:2]})
    words = told(tmp_path / "two")
    assert words.headline.startswith("Exploratory: No difference found: whichever of onecycle and")
    assert words.headline.endswith("90.50 %. 2 paired seeds are too few for a conclusion.")


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.8], "onecycle": [0.9]})
    analysis = analysed(tmp_path)
    words = verdict(analysis)
    assert words.pairs == ("onecycle − cosine: 10.00 points on one seed, which shows nothing",)
    assert words.headline == (
        "No verdict: one seed shows no difference between strategies. onecycle has the highest "
        "mean test accuracy: 90.00 %."
    )
    for standing in analysis.standings:
        for value in (
            standing.completed_score.low,
            standing.sd_score,
            standing.means["test_loss"].low,
        ):
            assert math.isnan(value)
    (pair,) = analysis.pairs
    for value in (pair.test.low, pair.test.sd, pair.correlation, words.losses[0].may_lose):
        assert math.isnan(value)
    assert all("±" not in cell for row in tables.results(analysis).rows for cell in row)


def test_one_strategy_is_compared_with_nothing(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.9, 0.8, None]})
    words = told(tmp_path)
    # the diverged run as chance: (0.9 + 0.8 + 0.1) / 3
    assert words.headline == (
        "cosine alone was run: mean test accuracy 60.00 % (3 runs, 1 diverged). There is nothing "
        "to compare it with."
    )
    assert words.pairs == ()


def test_no_common_seed(tmp_path: Path) -> None:
    write_run(tmp_path / "a", seed=0)
    write_run(tmp_path / "b", seed=1, scheduler="plateau")
    assert told(tmp_path).pairs == ("cosine and plateau share no seed: not compared",)


def test_identical_accuracies(tmp_path: Path) -> None:
    accuracies = [0.9, 0.8, 0.85, 0.86, 0.87]
    write_sweep(tmp_path, {"cosine": accuracies, "plateau": accuracies})
    analysis = analysed(tmp_path)
    assert verdict(analysis).pairs == (
        "cosine and plateau have the same accuracy on all 5 paired seeds",
    )
    assert marks(analysis) == ["best", "identical"]
    (pair,) = analysis.pairs
    assert (pair.test.mean, pair.probability) == (0.0, 0.5)
    assert pair.correlation == pytest.approx(1)


def test_two_lucky_extra_seeds_do_not_lead(tmp_path: Path) -> None:
    base = 0.9 + noise(8, 1)
    better = (base + 0.01 + noise(8, 2)).tolist()
    write_sweep(tmp_path, {"cosine": [*base.tolist(), 0.99, 0.99], "onecycle": better})
    analysis = analysed(tmp_path)
    means = {s.strategy: s.mean_score for s in analysis.standings}
    assert means["cosine"] > means["onecycle"]
    assert verdict(analysis).headline == (
        "onecycle beats cosine at these peak lrs. onecycle has the highest mean test accuracy, on "
        "the runs that can be compared: 91.00 %."
    )
    (pair,) = analysis.pairs
    assert (pair.test.num, pair.test.mean) == (8, pytest.approx(0.01, abs=1e-6))


def test_divergences_are_compared_as_rates(tmp_path: Path) -> None:
    base = 0.9 + noise(8, 1)
    good = (base - 0.0001).tolist()
    write_sweep(tmp_path, {"cosine": good, "onecycle": [*base.tolist()[:6], None, None]})
    analysis = analysed(tmp_path)
    first, second = analysis.standings
    assert (first.strategy, first.num_diverged) == ("cosine", 0)
    assert (second.num_runs, second.num_completed, second.num_diverged) == (8, 6, 2)
    assert second.completed_score.value == pytest.approx(np.mean(base[:6]))
    assert second.mean_score == pytest.approx((base[:6].sum() + 0.2) / 8)
    assert second.worst_score == pytest.approx(0.1)
    (pair,) = analysis.pairs
    # cosine loses on six seeds and wins on the two on which onecycle diverged
    assert (pair.a, pair.probability) == ("onecycle", 6 / 8)
    assert pair.test.mean == pytest.approx(0.0001)
    assert pair.test.negligible  # and yet the two are not equivalent: one diverges
    words = verdict(analysis)
    assert words.pairs == (
        "onecycle is ahead of cosine where both trained by 0.01 points (−0.03 to 0.05, 6 "
        "paired seeds), which is not sure; onecycle diverged on 2 of 8, left out of the difference",
    )
    assert any(
        r.startswith("Diverged: cosine 0 of 8 (up to 31 %), onecycle 2 of 8 (up to 60 %).")
        for r in words.remarks
    )
    assert marks(analysis) == ["best", "some diverged"]
    assert "6 + 2 diverged" in tables.results(analysis).rows[1]


def test_a_strategy_that_diverges_for_sure_more_often_is_worse(tmp_path: Path) -> None:
    write_sweep(
        tmp_path, {"cosine": [0.9] * 10, "onecycle": [0.95] * 2 + [None] * 8}
    )  # Fisher's exact p is 0.0007
    analysis = analysed(tmp_path)
    words = verdict(analysis)
    assert words.pairs == (
        "onecycle diverges more often than cosine at these peak lrs; onecycle diverged on 8 of 10, "
        "left out of the difference",
    )
    assert [loss.may_be_best for loss in words.losses] == [True, False]
    assert marks(analysis) == ["best", "diverges more often"]


def test_a_completed_run_at_chance_still_beats_a_diverged_one(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.1, 0.05, None], "onecycle": [None, None, None]})
    (pair,) = analysed(tmp_path).pairs
    wins = {"cosine": pair.probability, "onecycle": 1 - pair.probability}[pair.a]
    assert wins == pytest.approx(2.5 / 3)


def test_all_diverged(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [None] * 5, "onecycle": [None] * 5})
    analysis = analysed(tmp_path)
    words = verdict(analysis)
    assert words.headline == "No strategy completed a run: all diverged."
    assert words.pairs == ("cosine and onecycle diverged on all 5 paired seeds",)
    assert [row[3] for row in tables.results(analysis).rows] == ["all diverged"] * 2


def test_targets_and_censoring(tmp_path: Path) -> None:
    # validation climbs from 0.1 in a straight line; best median 0.9, so 50 % of the way is 0.5
    write_sweep(tmp_path, {"cosine": [0.9, 0.9, 0.9], "onecycle": [0.9, 0.5, 0.5]})
    analysis = analysed(tmp_path, targets=("50%", "0.7"))
    assert analysis.targets == {"50%": pytest.approx(0.5), "0.7": 0.7}
    of = {standing.strategy: standing.targets for standing in analysis.standings}
    assert of["cosine"]["50%"].at == 50  # 0.1 + 0.8 * 50 / 100
    assert of["cosine"]["0.7"].at == 80
    assert of["onecycle"]["0.7"].at == math.inf  # reached by one of three
    assert of["onecycle"]["0.7"].reached == 1
    row = dict(zip(tables.results(analysis).headers, tables.results(analysis).rows[1], strict=True))
    assert row["updates to 0.7"] == "not reached (1 of 3)"
    assert row["updates to 50%"] == "100"


def test_a_target_reached_before_diverging_is_reached(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [None, 0.9]})
    runs = analysed(tmp_path, targets=("0.4", "0.6")).runs
    assert runs["to_0.4"].tolist() == [40, 40]
    assert runs["to_0.6"].tolist() == [math.inf, 70]


def test_phases_and_the_reference(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.9, 0.8], "constant": [0.5, 0.6]})
    analysis = analysed(tmp_path)
    of = {standing.strategy: standing for standing in analysis.standings}
    # a straight line from 0.1: a fifth of the way
    assert of["cosine"].phases["late_gain"].value == pytest.approx(0.2 * 0.75, abs=1e-6)
    over = [0.2 * (0.9 - 0.5), 0.2 * (0.8 - 0.6)]
    gain = of["cosine"].late_gain_over_constant
    assert gain.value == pytest.approx(np.mean(over), abs=1e-6)
    assert of["constant"].late_gain_over_constant.value == 0
    table = tables.phases(analysis)
    assert table is not None
    assert table.headers[-1] == "late gain over constant"
    # loss 2.3 - 2 s on the line: from 10 to 33.3 its mean is 2.3 - 2 * 0.21667
    assert of["cosine"].phases["early_loss"].value == pytest.approx(2.3 - 2 * 0.65 / 3, abs=1e-6)


def lr_sweep(folder: Path) -> None:
    """cosine best at 0.2 on validation though not on test, onecycle at the grid's end."""
    plan = {
        ("cosine", 0.1): (0.95, 0.80),
        ("cosine", 0.2): (0.90, 0.90),
        ("cosine", 0.4): (0.85, 0.85),
        ("onecycle", 0.1): (0.80, 0.80),
        ("onecycle", 0.2): (0.85, 0.85),
        ("onecycle", 0.4): (0.88, 0.88),
    }
    for (scheduler, lr), (test, val) in plan.items():
        for seed in range(2):
            write_run(
                folder / f"{scheduler}-{lr}-{seed}",
                scheduler=scheduler,
                seed=seed,
                accuracy=test + 0.001 * seed,
                val_accuracy=val,
                diverged_at=50 if (scheduler, lr, seed) == ("cosine", 0.4, 1) else None,
                changes={"optimizer.lr": lr},
            )


def test_the_peak_lr_is_chosen_on_validation(tmp_path: Path) -> None:
    lr_sweep(tmp_path)
    analysis = analysed(tmp_path)
    assert {s.strategy: s.lr for s in analysis.standings} == {"cosine": 0.2, "onecycle": 0.4}
    assert len(analysis.runs) == 12
    assert len(analysis.chosen) == 4
    table = {(row.strategy, row.lr): row for row in analysis.sensitivity}
    assert table["cosine", 0.4].score == pytest.approx((0.85 + 0.1) / 2)
    assert table["cosine", 0.4].num_diverged == 1
    assert sum(row.edge for row in analysis.sensitivity) == 1
    words = verdict(analysis)
    assert any("(cosine 0.2, onecycle 0.4), on the very seeds" in r for r in words.remarks)
    assert any("so maybe better beyond: onecycle (0.4)." in r for r in words.remarks)
    grid = tables.sensitivity(analysis)
    assert grid is not None
    assert grid.headers == ("strategy", "lr=0.1", "lr=0.2", "lr=0.4")
    assert grid.rows[0] == ("cosine", "95.05 %", "90.05 % ◂", "47.50 % ×1")


def test_the_metric_can_be_validation(tmp_path: Path) -> None:
    write_run(tmp_path / "a", accuracy=0.9, val_accuracy=0.7)
    write_run(tmp_path / "b", accuracy=0.8, val_accuracy=0.75, scheduler="plateau")
    words = told(tmp_path, metric="val_accuracy")
    assert words.headline.endswith("plateau has the highest mean validation accuracy: 75.00 %.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metric": "accuracy"}, "accuracy is no measure of a split: write test_loss, val_acc"),
        ({"metric": "train_loss"}, "metric=train_loss must be of test, val, best_val"),
        ({"margin": 0.0}, "margin=0.0 must be above 0: a number in the measure's unit such as"),
        ({"margin": math.nan}, "margin=nan must be above 0"),
        ({"margin": "-1 %"}, "margin=-1 % must be above 0"),
        ({"chance": math.inf}, "chance=inf must be a finite number"),
        ({"planned_seeds": 1}, "planned_seeds=1 must be a whole number from 2"),
        ({"targets": ()}, "targets is empty"),
        ({"targets": ("150%",)}, "target 150% must be a share of the way such as 90% or"),
        ({"targets": ("soon",)}, "target soon must be a share of the way such as 90% or"),
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**settings)
