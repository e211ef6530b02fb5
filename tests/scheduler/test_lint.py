"""What the lint warns of, with the numbers, and what it lets pass."""

from __future__ import annotations

from typing import Any

import pytest
from schedule_oracles import loaded, make, patient_chain, schedule_names

from lrbench.scheduler import lint


@pytest.mark.parametrize("name", schedule_names())
def test_lets_the_defaults_pass(name: str) -> None:
    assert lint(loaded(name), 1000, 50) == []


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "cosine",
            {"warmup": "5 steps", "warmup_start_factor": 0.0},
            "the first update has an lr of 0, which changes no weight",
        ),
        (
            "cosine",
            {"warmup": "5 steps", "warmup_start_factor": 0.0, "warmup_shape": "constant"},
            "the first 5 updates have an lr of 0, which changes no weight",
        ),
        (
            "cosine",
            {"warmup": "400 steps"},
            "warmup=400 steps takes 400 of 1000 updates (40%), more than a third of the run",
        ),
        (
            "linear",
            {"start_factor": 0.5},
            "the peak is never reached: the highest factor is 0.5, at update 0",
        ),
        (
            "inverse_sqrt",
            {"min_factor": 0.1},
            "the floor is never reached: it is 0.1, the lowest factor is 0.316",
        ),
        (
            "cosine",
            {"decay": "2000 steps"},
            "cosine decay is cut off at a factor of 0.5: it would end at update 2000, "
            "the run has 1000",
        ),
        (
            "cosine_restarts",
            {"first_cycle": "400 steps", "cycle_multiplier": 1.0},
            "cosine cycle 3 is cut off at a factor of 0.5: it would end at update 1200, "
            "the run has 1000",
        ),
        (
            "constant",
            {"warmup": "9 steps", "warmup_shape": "constant"},
            "the factor leaps from 0.01 to 1 at update 9",
        ),
        (
            "plateau",
            {"patience": 18},
            "the plateau cannot cut: with patience=18 a cut takes 20 evaluations before the last "
            "update, and there are 19",
        ),
        (
            "plateau",
            {"patience": 10, "counting": "keras", "warmup": "45%", "warmup_start_factor": 0.5},
            None,
        ),
        (
            "cosine",
            {"decay": "300 steps"},
            "72% of the run's 1000 updates are at the floor (0)",
        ),
    ],
)
def test_warns(name: str, changes: dict[str, Any], message: str | None) -> None:
    warnings = lint(make(name, **changes), 1000, 50)
    if message is not None:
        leap_as_well = changes.get("warmup_start_factor") == 0 and "warmup_shape" in changes
        assert warnings[0] == message
        assert len(warnings) == (2 if leap_as_well else 1)
    else:  # of 20 evaluations 11 come after the warmup and before the end: just enough
        assert len(warnings) == 1
        assert "a third" in warnings[0]


def test_counts_the_evaluations_of_the_run() -> None:
    """They are made at the multiples of eval_every, and the run's last one cuts nothing."""
    plateau = make("plateau", patience=5)
    assert lint(plateau, 1000, 50, eval_every=142) == []  # 142, …, 994
    assert lint(plateau, 1000, 50, eval_every=141) == []
    (warning,) = lint(plateau, 1000, 50, eval_every=143)
    assert "a cut takes 7 evaluations before the last update, and there are 6" in warning
    late = make("plateau", patience=0, warmup="96 steps", warmup_start_factor=0.5)
    assert not any("cannot cut" in said for said in lint(late, 285, 20, eval_every=100))
    (warning,) = (said for said in lint(late, 285, 20, eval_every=143) if "cannot" in said)
    assert "there are 1" in warning


def test_looks_into_the_parts_of_a_chain() -> None:
    ours = patient_chain(5)  # the plateau's part is updates 100 to 900
    assert lint(ours, 1000, 50, eval_every=100) == []  # 100, 200, …, 800
    (warning,) = lint(ours, 1000, 50, eval_every=150)
    assert warning.startswith("parts.plateau: the plateau cannot cut: with patience=5")
    assert "there are 5" in warning


def test_calls_designed_leaps_none() -> None:
    for name in ("step", "multistep", "cosine_restarts"):
        assert lint(loaded(name), 300, 10) == []


def test_a_leap_up_between_parts_of_a_chain_is_one() -> None:
    from dataclasses import replace

    parts = dict(make("chain").parts)
    parts["plateau"] = replace(parts["plateau"], scheduler=make("cosine"))
    parts["cooldown"] = replace(parts["cooldown"], scale="base")
    (warning,) = lint(make("chain", parts=parts), 1000, 50)
    assert "leaps from" in warning
    assert "to 1 at update 900" in warning


def test_samples_long_runs() -> None:
    warnings = lint(make("cosine", warmup="10 steps", warmup_start_factor=0.0), 2_000_000, 1000)
    assert warnings == ["the first update has an lr of 0, which changes no weight"]
    (floor,) = lint(make("cosine", decay="30%"), 2_000_000, 1000)
    assert floor == "72% of the run's 2000000 updates are at the floor (0)"
    wait = make("linear", warmup="90%", warmup_start_factor=0.0, warmup_shape="constant")
    first, *_ = lint(wait, 10**11, 100, eval_every=100)
    assert first == f"the first {9 * 10**10} updates have an lr of 0, which changes no weight"
