"""Durations with units, against values worked by hand."""

import pytest

from lrbench.config.duration import exact_steps, parse, whole_steps


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5 epochs", 5.0, "epochs"),
        ("1 epoch", 1.0, "epochs"),
        ("0.5 epochs", 0.5, "epochs"),
        ("200 steps", 200.0, "steps"),
        ("1 step", 1.0, "steps"),
        ("10%", 10.0, "%"),
        (" 2.5 % ", 2.5, "%"),
        ("0 steps", 0.0, "steps"),
        ("1e3 steps", 1000.0, "steps"),
    ],
)
def test_parse(text: str, amount: float, unit: str) -> None:
    assert parse(text) == (amount, unit)


def test_a_length_may_be_what_batches_hold_but_no_share() -> None:
    for text, unit in (("9e3 images", "images"), ("1 row", "rows"), ("512 tokens", "tokens")):
        assert parse(text, length=True)[1] == unit
        with pytest.raises(ValueError, match="is not a duration: write"):
            parse(text)
    assert parse("1.5 min", length=True) == (90.0, "seconds")
    with pytest.raises(ValueError, match=r"is not a duration here: write .* or '10 min'"):
        parse("10%", length=True)
    with pytest.raises(ValueError, match=r"is not a whole number of tokens"):
        parse("0.5 tokens", length=True)


@pytest.mark.parametrize("text", ["", "5", "5 epoch s", "-1 epochs", "epochs", "5 minutes", "nan%"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration: write '5 epochs', '200 steps' or"):
        parse(text)


def test_half_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'1\.5 steps' is not a whole number of steps"):
        parse("1.5 steps")


@pytest.mark.parametrize(
    ("text", "exact", "whole"),
    [
        ("30%", 85.5, 86),  # rounded half up
        ("10%", 28.5, 29),
        ("2 epochs", 40.0, 40),
        ("0.33 epochs", 6.6, 7),
        ("7 steps", 7.0, 7),
        ("100%", 285.0, 285),
    ],
)
def test_resolution_to_updates(text: str, exact: float, whole: int) -> None:
    run = {"total_steps": 285, "steps_per_epoch": 20}
    assert exact_steps(text, **run) == pytest.approx(exact, rel=1e-12)
    assert whole_steps(text, **run) == whole
