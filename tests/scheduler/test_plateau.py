"""Plateau against torch's and Keras's ReduceLROnPlateau and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, make

from lrbench.scheduler import Plateau, Progress


def levels(schedule: Plateau, losses: list[float], interval: int = 1) -> list[float]:
    """The factor after each evaluation, one evaluation every `interval` updates."""
    steps = [interval * (i + 1) for i in range(len(losses))]
    return [
        schedule.factor(
            Progress(step, steps[-1] + 1, 10, tuple(losses[: i + 1]), tuple(steps[: i + 1]))
        )
        for i, step in enumerate(steps)
    ]


def torch_levels(losses: list[float], **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, eps=0, **options)
    lrs = []
    for loss in losses:
        scheduler.step(loss)
        lrs.append(optimizer.param_groups[0]["lr"])
    return lrs


loss_curves = st.lists(
    st.one_of(st.sampled_from([0.1, 0.2, 0.3, 1.0, math.nan]), st.floats(0.01, 10)),
    min_size=1,
    max_size=80,
)
options = st.fixed_dictionaries(
    {
        "patience": st.integers(0, 6),
        "cooldown": st.integers(0, 4),
        "threshold": st.sampled_from([0.0, 1e-4, 0.1]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "mode": st.sampled_from(["min", "max"]),
    }
)


@settings(max_examples=200, deadline=None)
@given(loss_curves, options, st.sampled_from([0.1, 0.5]), st.sampled_from([0.0, 0.03]))
def test_equals_torch(
    losses: list[float], options: dict[str, Any], cut: float, floor: float
) -> None:
    ours = make("plateau", cut_factor=cut, min_factor=floor, **options)
    theirs = torch_levels(losses, factor=cut, min_lr=floor, **options)
    assert_equal(levels(ours, losses), theirs, "torch ReduceLROnPlateau")


def test_recorded_cuts() -> None:
    """A loss that falls for 20 evaluations, then stays: patience 10 by each counting."""
    losses = [1 - 0.04 * min(i, 19) for i in range(70)]
    options = {"patience": 10, "min_factor": 1e-3, "threshold_mode": "abs"}
    keras = levels(make("plateau", counting="keras", **options), losses)
    assert [i for i in range(1, 70) if keras[i] < keras[i - 1]] == [29, 39, 49]
    assert keras[-1] == pytest.approx(1e-3, rel=1e-12)
    counted_by_torch = levels(make("plateau", **options), losses)
    assert [i for i in range(1, 70) if counted_by_torch[i] < counted_by_torch[i - 1]] == [
        30,
        41,
        52,
    ]


def test_negative_losses_improve_where_in_torch_they_do_not() -> None:
    losses = [-1 - 1e-5 * i for i in range(20)]
    steady = [-1.0 - 0.1 * i for i in range(20)]
    options = {"patience": 3, "threshold": 0.01}
    assert levels(make("plateau", **options), steady) == [1.0] * 20
    assert levels(make("plateau", **options), losses)[-1] < 1  # below the threshold: no progress
    # torch's target for min is best · 0.99: above a negative best, so worse losses "improve".
    worse = [-1.0 + 0.001 * i for i in range(20)]
    assert torch_levels(worse, **options)[-1] == 1.0
    assert levels(make("plateau", **options), worse)[-1] < 1


def test_nan_is_no_improvement_and_never_the_best() -> None:
    ours = make("plateau", patience=1)
    assert levels(ours, [math.nan, math.nan]) == pytest.approx([1.0, 0.1])
    assert levels(ours, [math.nan, 1.0, 0.9, math.nan, 0.8]) == [1.0] * 5


def test_evaluations_act_from_their_step_on_and_not_before() -> None:
    ours = make("plateau", patience=0)
    history: dict[str, Any] = {"val_losses": (1.0, 2.0, 3.0), "val_steps": (10, 20, 30)}
    seen = [ours.factor(Progress(step, 100, 10, **history)) for step in (0, 19, 20, 29, 30, 99)]
    assert seen == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_evaluations_of_the_warmup_do_not_count() -> None:
    ours = make("plateau", patience=0, warmup="20 steps", warmup_start_factor=0.0)
    history: dict[str, Any] = {"val_losses": (0.1, 1.0, 2.0), "val_steps": (10, 20, 30)}
    seen = [ours.factor(Progress(step, 100, 10, **history)) for step in (0, 10, 20, 29, 30)]
    assert seen == pytest.approx([0, 0.5, 1, 1, 0.1])


def test_says_why() -> None:
    ours = make("plateau", patience=2, warmup="5 steps")
    losses = (0.412, 0.5, 0.5, 0.5)
    progress = Progress(70, 100, 10, losses, (10, 20, 30, 40))
    assert [(change.step, change.reason) for change in ours.changes(progress)] == [
        (5, "linear warmup ends, plateau begins"),
        (40, "cut to 0.1 of the base lr: 3 evaluations without improvement on 0.412"),
    ]
    assert len(ours.changes(Progress(39, 100, 10, losses, (10, 20, 30, 40)))) == 1


def test_phases_do_not_need_losses() -> None:
    assert [phase.name for phase in make("plateau").phases(100, 10)] == ["plateau"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cut_factor": 1.0}, "cut_factor=1.0 must be in"),
        ({"patience": -1}, "patience=-1 must be 0 or more evaluations"),
        ({"mode": "lower"}, "mode=lower is not one of min, max"),
        ({"counting": "kears"}, "counting=kears is not one of torch, keras; did you mean keras"),
        ({"min_factor": 2.0}, "min_factor=2.0 must be between 0 and 1"),
    ],
)
def test_refuses_bad_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("plateau", **changes)


def test_refuses_losses_without_their_steps() -> None:
    with pytest.raises(ValueError, match="2 val_losses need as many val_steps, got 0"):
        make("plateau").factor(Progress(0, 10, 10, (1.0, 2.0)))
