"""What a result.json must hold, and what it may."""

from typing import Any

import pytest

from lrbench.files.result import history_columns, parse_result, split_metric
from lrbench.task import Measure

LEAST: dict[str, Any] = {
    "strategy": "cosine",
    "seed": 0,
    "status": "completed",
    "steps": 100,
    "val_loss": 2.5,
}


def test_the_least_that_a_result_can_be() -> None:
    result = parse_result(LEAST)
    assert (result.strategy, result.seed, result.steps, result.completed) == (
        "cosine",
        0,
        100,
        True,
    )
    assert dict(result.values) == {"val_loss": 2.5}
    (loss,) = result.measures
    assert (loss.name, loss.higher_is_better, loss.guess) == ("loss", False, None)
    assert (result.paired, result.seconds, result.fingerprint) == (None, None, None)


def test_measures_are_as_declared_the_first_one_primary() -> None:
    declared = {"f2": {"higher_is_better": True, "unit": "points", "scale": 100}, "loss": {}}
    declared["loss"] = {"higher_is_better": False}
    result = parse_result({**LEAST, "measures": declared, "test_f2": 0.5, "best_val_step": 90})
    assert [m.name for m in result.measures] == ["f2", "loss"]
    assert result.value("test_f2") == 0.5
    assert result.value("test_loss") is None
    assert result.best_val_step == 90


def test_a_diverged_run_needs_no_value() -> None:
    least = {key: value for key, value in LEAST.items() if key != "val_loss"}
    declared = {"loss": {"higher_is_better": False}}
    result = parse_result({**least, "status": "diverged", "val_loss": None, "measures": declared})
    assert not result.completed
    assert dict(result.values) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "0"}, "seed=0 must be a number"),
        ({"seed": True}, "seed=True must be a number"),
        ({"strategy": None}, "strategy=None must be a text"),
        ({"steps": -1}, "steps=-1"),
        ({"format": 1}, "format=1"),
        ({"val_loss": float("nan")}, "val_loss=nan must be finite"),
        ({"val_loss": None}, "a completed run must have a measure"),
        ({"val_loss": None, "train_loss": 1.0}, "a completed run must have a measure"),
        ({"val_loss": None, "val_wer2": 0.2}, "wer2 is no well-known measure"),
        ({"measures": []}, "measures="),
        ({"measures": {"loss": {"guess": "x"}}}, r"measures\.loss\.guess=x"),
        ({"seconds": "9"}, "seconds=9 has the wrong type"),
        ({"environment": []}, "environment="),
    ],
)
def test_what_cannot_be_a_result_is_refused_with_its_key(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse_result({**LEAST, **change})


@pytest.mark.parametrize("content", [None, [], 3, "text"])
def test_only_an_object_is_a_result(content: object) -> None:
    with pytest.raises(ValueError, match="object"):
        parse_result(content)


def test_metrics_are_a_split_and_a_measure() -> None:
    assert split_metric("best_val_bits_per_byte") == ("best_val", "bits_per_byte")
    assert split_metric("test_loss") == ("test", "loss")
    with pytest.raises(ValueError, match="perplexity is no measure of a split"):
        split_metric("perplexity")


def test_history_has_a_column_for_each_measure_and_split() -> None:
    loss = Measure(name="loss", higher_is_better=False)
    assert history_columns([loss]) == (
        *("step", "epoch", "lr", "momentum", "seconds", "train_loss", "val_loss"),
    )
