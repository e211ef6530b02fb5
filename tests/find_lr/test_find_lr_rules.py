"""The rules on curves worked by hand, and what several seeds say together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lrbench.config import ConfigError
from lrbench.find_lr import Ramp, conclude, rules, settings
from lrbench.find_lr.advice import advise, caution
from lrbench.find_lr.tape import Tape


def decades(losses: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """The losses, one a decade from 1e-4."""
    return 10.0 ** np.arange(-4, len(losses) - 4), np.array(losses)


def test_steepest_is_the_largest_fall_between_neighbours_in_log_lr() -> None:
    # Central differences: 0, -.25, -1, -.8, -.1, .55, 1.2 per decade.
    assert rules.steepest(*decades([3, 3, 2.5, 1, 0.9, 0.8, 2])) == pytest.approx(1e-2)


def test_slopes_are_against_log_lr_and_not_against_lr() -> None:
    lr, loss = decades([3.0, 2.9, 2.8, 1.0, 0.5])
    assert np.gradient(loss, lr).argmin() == 0  # against lr: where next to nothing happens
    assert rules.steepest(lr, loss) == pytest.approx(1e-1)  # -.1, -.1, -.95, -1.15, -.5


def test_the_far_side_of_a_spike_is_no_suggestion() -> None:
    # Slopes -.5, -.75, -.3, 9, ... and after the lowest loss (1.9) one of -8.5.
    assert rules.steepest(*decades([3, 2.5, 1.5, 1.4, 20, 4, 3])) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("losses", "index"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 5, 9], 3),  # 9 long, from -1 to 8: -1 + 3 + 1
        ([5, 6, 4, 4.5, 3, 3.5, 2, 2.5, 1, 7], 4),  # 5 long (6 4.5 3.5 2.5 1), 3 to 8: 3 + 1 + 0
        ([1, 2, 3, 4], 0),  # falls nowhere
        ([2, 1, 3], 0),  # 2 long, from -1 to 1: -1 + 0 + 0 would be the last
        ([7, 7, 7, 6, 5, 5, 4, 3, 2, 1, 8], 5),  # equal losses do not fall: 7 long, 2 to 9: 2+2+1
    ],
)
def test_valley_is_half_way_down_the_longest_fall(losses: list[float], index: int) -> None:
    lr, loss = decades(losses)
    assert rules.valley(lr, loss) == lr[index]


def test_a_tenth_of_the_lr_of_the_lowest_loss() -> None:
    curve = decades([3, 2, 0.5, 0.6, 4])
    assert rules.lowest(*curve) == pytest.approx(1e-2)
    assert rules.tenth(*curve) == pytest.approx(1e-3)


TEST = settings(lr_min=1e-4, lr_max=1e4, num_steps=9, skip_start=1, skip_end=1, smoothing=0)


def ramp(losses: list[float], seed: int = 0) -> Ramp:
    tape = Tape(TEST)
    for lr, loss in zip(TEST.lrs, losses, strict=False):
        tape.add(float(lr), loss)
        if tape.done:
            break
    return tape.curve(seed)


def test_the_smoothed_loss_is_the_average_corrected_for_its_start() -> None:
    tape = Tape(settings(smoothing=0.9))
    smoothed = [tape.add(1.0, loss) for loss in (2.0, 4.0, 1.0)]
    # 0.2 / 0.1; (0.18 + 0.4) / 0.19; (0.522 + 0.1) / 0.271
    assert smoothed == pytest.approx([2.0, 0.58 / 0.19, 0.622 / 0.271])


def test_a_ramp_stops_where_the_loss_exceeds_its_lowest_by_the_factor() -> None:
    curve = ramp([3, 2, 1, 2, 4, 4.1, 3, 2, 1])
    assert curve.diverged
    assert curve.loss.tolist() == [3, 2, 1, 2, 4, 4.1]  # 4 times the lowest is still allowed
    assert not ramp([3, 2, 1, 2, 4, 3.9, 3, 2, 1]).diverged
    assert not ramp([-1, -2, -3, -4, 0, 7.9, 1, 1, 1]).diverged  # -4 + 3 x 4
    assert ramp([-1, -2, -3, -4, 0, 8.1, 1, 1, 1]).diverged


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_ramp_stops_at_a_loss_that_is_not_finite(loss: float) -> None:
    curve = ramp([3, 2, 1, loss, 1, 1, 1, 1, 1])
    assert curve.diverged
    assert len(curve.lr) == 4
    assert conclude([curve], settings(**{**vars(TEST), "skip_start": 0})).lowest.lrs == (1e-2,)


def test_the_spread_is_over_seeds_and_the_median_on_the_log_axis() -> None:
    falls = [3, 2.9, 2.8, 1.1, 0.9, 0.8, 2, 3, 3]  # steepest 0.1, valley 0.001, lowest 10
    later = [3, 2.9, 2.9, 2.8, 1.1, 0.9, 0.8, 2, 3]  # each a decade later
    two = conclude([ramp(falls), ramp(later, 1)], TEST)
    assert two.lowest.lrs == pytest.approx((1e1, 1e2))
    assert two.lowest.median == pytest.approx(math.sqrt(1e3))
    tenth = two.suggestions["minimum / 10"]
    assert (tenth.low, tenth.high) == pytest.approx((1e0, 1e1))
    three = conclude([ramp(falls), ramp(later, 1), ramp(later, 2)], TEST)
    medians = {name: spread.median for name, spread in three.suggestions.items()}
    assert medians == pytest.approx({"steepest": 1e0, "valley": 1e-2, "minimum / 10": 1e1})
    assert (three.low, three.high) == pytest.approx((1e0, 1e2))  # the middle rule, the lowest loss
    (warning,) = three.warnings
    assert warning.startswith("valley and minimum / 10 differ by a factor of 1e+03: look at")


@pytest.mark.parametrize(
    ("losses", "warning"),
    [
        ([3, 2.8, 2.6, 2.4, 2.2, 2, 1.8, 1.6, 1.4], "still falling at lr_max=10000 on 1 of 1"),
        ([3, 2.99, 2.98, 2.97, 2.96, 2.9, 2.95, 3, 3], "the loss fell by 3.0% only"),
        ([2, 2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7], "only rose from lr_min=0.0001 on 1 of 1"),
    ],
)
def test_doubtful_ramps_are_told_with_the_remedy(losses: list[float], warning: str) -> None:
    assert warning in " ".join(conclude([ramp(losses)], TEST).warnings)


def test_a_ramp_that_diverges_at_once_concludes_nothing() -> None:
    with pytest.raises(ValueError, match=r"lr_min=0.0001: the loss diverged at lr 0.01, after 3"):
        conclude([ramp([1, 3, 5])], TEST)


def test_each_schedule_gets_its_lr_from_the_lowest_loss() -> None:
    findings = conclude([ramp([3, 2.9, 2.8, 1.0, 0.9, 0.8, 2, 3, 3])], TEST)  # lowest at 10
    found = {a.strategy: a for a in advise(findings, "torch.optim.SGD")}
    assert {name: a.lr for name, a in found.items()} == {
        "onecycle": 3.2,  # 10 / sqrt(10)
        "warmup_decay": 3.2,
        "cosine": 1.0,  # 10 / 10
        "plateau": 1.0,
        "schedulefree_sgd": 22.0,  # 10 / 10 x sqrt(10 x 50)
    }
    assert (found["onecycle"].low, found["onecycle"].high) == pytest.approx((1, 10))
    assert (found["cosine"].low, found["cosine"].high) == pytest.approx((10**-0.5, 10))
    assert found["onecycle"].grid == [1, 3.2, 10]
    assert found["cosine"].grid == [0.32, 1, 3.2, 10]
    assert found["schedulefree_sgd"].grid == [10, 50]
    assert (found["schedulefree_sgd"].low, found["schedulefree_sgd"].high) == pytest.approx(
        (10, 50)
    )
    assert found["cosine"].override == "scheduler=cosine optimizer.lr=1"
    adam = {a.strategy: a.lr for a in advise(findings, "torch.optim.AdamW")}
    assert adam["schedulefree_adamw"] == 3.2  # 10 / 10 x sqrt(1 x 10)
    itself = list(advise(findings, "schedulefree.SGDScheduleFree"))
    assert [a.strategy for a in itself] == ["constant"]
    assert "schedulefree_sgd" not in {a.strategy for a in advise(findings, "torch.optim.RMSprop")}


def test_the_delay_of_the_smoothing_is_told_as_a_factor() -> None:
    # 9 updates behind, at ratios of 10^(1/9).
    test = settings(lr_min=1, lr_max=1e2, num_steps=19, smoothing=0.9)
    assert "a factor of up to 10 in lr" in caution(test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_min": 0}, "lr_min=0.0 must be above 0"),
        ({"lr_max": 1e-5}, "lr_max=1e-05 must be above lr_min=1e-05"),
        ({"num_steps": 17}, "num_steps=17 must be at least 18"),
        ({"smoothing": 1}, "smoothing=1.0 must be at least 0 and below 1"),
        ({"diverge_factor": 1}, "diverge_factor=1.0 must be above 1"),
        ({"num_seeds": 0}, "num_seeds=0 must be at least 1"),
        ({"skip_end": -1}, "skip_end=-1 must be 0 or more"),
        ({"num_step": 100}, "num_step=100 is not a key of RangeTest"),
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        settings(**changes)
    assert str(error.value).startswith(message)
