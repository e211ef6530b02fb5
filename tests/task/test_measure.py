"""What a measure says of its numbers."""

import math

import pytest

from lrbench.task import Measure
from lrbench.task.measure import WELL_KNOWN

ACCURACY = Measure(name="accuracy", higher_is_better=True, guess=0.1, unit="points", scale=100.0)
LOSS = Measure(name="loss", higher_is_better=False, unit="nats")


@pytest.mark.parametrize(
    ("measure", "value", "text"),
    [
        (ACCURACY, 0.98412, "98.41 %"),
        (ACCURACY, -0.00001, "0.00 %"),
        (LOSS, 1.83527, "1.8353 nats"),
        (LOSS, -0.5, "−0.5000 nats"),
        (LOSS, 0.00012345, "0.00012 nats"),
        (WELL_KNOWN["rmse"], 54.29123, "54.291"),
        (WELL_KNOWN["rmse"], 123456.7, "123457"),
        (LOSS, math.nan, "–"),
        (LOSS, math.inf, "none"),
    ],
)
def test_a_value_is_said_in_its_unit(measure: Measure, value: float, text: str) -> None:
    assert measure.value(value) == text


def test_a_difference_of_shares_is_in_points() -> None:
    assert ACCURACY.difference(-0.0042) == "−0.42 points"
    assert LOSS.difference(0.0123) == "0.0123 nats"


def test_a_diverged_run_scores_guessing_or_ranks_last() -> None:
    assert ACCURACY.score(0.9, completed=True) == 0.9
    assert ACCURACY.score(0.9, completed=False) == 0.1
    assert LOSS.score(None, completed=False) == math.inf
    assert WELL_KNOWN["r2"].score(None, completed=False) == -math.inf
    assert math.isnan(LOSS.score(None, completed=True))


def test_better_knows_the_direction() -> None:
    assert ACCURACY.better(0.9, 0.8)
    assert LOSS.better(0.8, 0.9)
    assert not LOSS.better(math.inf, 0.9)
    assert not LOSS.better(math.nan, 0.9)


def test_shares_tie_where_only_float32_differs() -> None:
    assert ACCURACY.exact(0.9833333492279053) == ACCURACY.exact(0.98333333)
    assert LOSS.exact(1.00000001) != LOSS.exact(1.0)


def test_json_gives_the_measure_back() -> None:
    for measure in (ACCURACY, LOSS):
        assert Measure.from_json(measure.name, measure.as_json()) == measure


@pytest.mark.parametrize(
    "content", [3, {}, {"higher_is_better": 1}, {"higher_is_better": True, "colour": "red"}]
)
def test_what_is_no_description_is_refused(content: object) -> None:
    with pytest.raises(ValueError, match=r"measures\.loss"):
        Measure.from_json("loss", content)
