"""Phases and targets of curves that can be worked by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from lrbench.compare.evaluations import Evaluations
from lrbench.task.classification import measures
from lrbench.task.measure import WELL_KNOWN

ACCURACY, _ = measures(10)


def curve(
    steps: Sequence[float], losses: Sequence[float], accuracies: Sequence[float] | None = None
) -> Evaluations:
    values = [0.0] * len(steps) if accuracies is None else accuracies
    at, lost, found = (np.array(x, dtype=float) for x in (steps, losses, values))
    return Evaluations(at, lost, found, ACCURACY)


def test_a_curve_is_the_rows_with_a_validation_result() -> None:
    history = pd.DataFrame(
        {
            "step": [1, 2, 3, 4],
            "val_loss": [np.nan, 2, np.nan, 1],
            "val_accuracy": [np.nan, 0.5, np.nan, 0.8],
        }
    )
    found = Evaluations.of(history, ACCURACY)
    assert found is not None
    assert found.at.tolist() == [2, 4]
    assert found.losses.tolist() == [2, 1]
    assert found.values.tolist() == [0.5, 0.8]
    assert Evaluations.of(history, WELL_KNOWN["rmse"]) is None


def test_phases_by_hand() -> None:
    steps = [10.0, 20, 30, 40, 50, 60, 70, 80, 90]
    losses = [3.0, 2, 1, 1.5, 1, 1.5, 1, 1, 0.4]
    accuracies = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.85]
    found = curve(steps, losses, accuracies).phases(90)
    # first third ends at 30: (2.5 + 1.5) * 10 over a width of 20
    assert found["early_loss"] == pytest.approx(2.0)
    # evaluations from 30 to 72: changes 0.5, -0.5, 0.5, -0.5; variance 4 * 0.25 / 3
    assert found["middle_spread"] == pytest.approx(math.sqrt(1 / 3))
    # four fifths is 72: loss 1, accuracy 0.71; mid-run is 45: accuracy 0.45
    assert found["late_loss_gain"] == pytest.approx(0.6)
    assert found["late_gain"] == pytest.approx(0.14)
    assert found["half_gain"] == pytest.approx(0.40)


def test_the_early_area_ends_between_evaluations() -> None:
    # a third of 120 is 40, half-way from 30 (loss 3) to 50 (loss 1): loss 2 there
    found = curve([10, 30, 50, 120], [3, 3, 1, 1]).phases(120)
    assert found["early_loss"] == pytest.approx((3 * 20 + 2.5 * 10) / 30)


def test_a_steady_descent_has_no_spread() -> None:
    steps = list(range(10, 101, 10))
    found = curve(steps, [2 - s / 100 for s in steps]).phases(100)
    assert found["middle_spread"] == pytest.approx(0, abs=1e-12)


def test_a_run_that_ended_early_has_only_the_phases_it_saw() -> None:
    found = curve([10, 20, 30, 40], [3, 2, 2, 2]).phases(90)
    assert found["early_loss"] == pytest.approx(2.25)
    assert all(math.isnan(v) for k, v in found.items() if k != "early_loss")
    assert all(math.isnan(v) for v in curve([], []).phases(90).values())
    assert math.isnan(curve([50, 90], [1, 1]).phases(90)["early_loss"])  # starts too late


def test_steps_to_a_target() -> None:
    found = curve([10, 20, 30], [1, 1, 1], [0.5, 0.8, 0.7])
    assert found.first_reaching(0.5) == 10
    assert found.first_reaching(0.75) == 20  # the closest monotone curve: 0.5, 0.75, 0.75
    assert found.first_reaching(0.8) == math.inf
    assert curve([], []).first_reaching(0.1) == math.inf
    losses = np.array([0.7, 0.8, 0.5])  # 0.75, 0.75, 0.5
    falling = Evaluations(found.at, losses, losses, WELL_KNOWN["loss"])
    assert falling.first_reaching(0.75) == 10
    assert falling.first_reaching(0.5) == 30
    assert falling.first_reaching(0.4) == math.inf


def test_noise_is_not_faster() -> None:
    generator, steps = np.random.default_rng(0), np.arange(1, 41)
    mean = 0.9 - 0.8 * np.exp(-steps / 8)
    medians = [
        [
            np.median(
                [
                    curve(list(steps), list(steps), list(mean + sd * noise)).first_reaching(0.89)
                    for noise in own
                ]
            )
            for own in generator.normal(size=(60, 8, 40))
        ]
        for sd in (0.01, 0.03)
    ]
    wins = np.mean([(b < a) + 0.5 * (b == a) for a, b in zip(*medians, strict=True)])
    assert 0.3 < wins < 0.7  # of the first values that reach it, 1.0
