"""OneCycle against torch's OneCycleLR and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schedule_oracles import assert_equal, factors, make, momenta, torch_groups

from lrbench.scheduler import Progress


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(2, 400),
    percent=st.integers(1, 99),
    div=st.floats(1, 100),
    final=st.floats(1, 1e5),
    three_phase=st.booleans(),
    anneal=st.sampled_from(["cos", "linear"]),
)
def test_equals_torch(
    total: int, percent: int, div: float, final: float, three_phase: bool, anneal: Any
) -> None:
    rise = percent / 100 * total
    assume(rise > 1)  # torch divides by zero at 1 and skips the peak below
    assume(not three_phase or 2 * rise - 2 < total - 1)
    ours = make(
        "onecycle",
        pct_start=f"{percent}%",
        div_factor=div,
        final_div_factor=final,
        three_phase=three_phase,
        anneal=anneal,
    )

    def torch_onecycle(optimizer: torch.optim.Optimizer) -> object:
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=1.0,
            total_steps=total,
            pct_start=percent / 100,
            div_factor=div,
            final_div_factor=final,
            three_phase=three_phase,
            anneal_strategy=anneal,
        )

    assert_equal(factors(ours, total), torch_groups(torch_onecycle, total), "torch OneCycleLR lr")
    momenta = [ours.momentum(Progress(step, total, 10)) for step in range(total)]
    theirs = torch_groups(torch_onecycle, total, key="momentum")
    assert_equal(momenta, theirs, "torch OneCycleLR momentum")


def test_stays_at_the_end_where_torch_rebounds() -> None:
    def torch_onecycle(optimizer: torch.optim.Optimizer) -> object:
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=20)

    theirs = torch_groups(torch_onecycle, 20)
    ours = factors(make("onecycle"), 20, extra=5)
    assert ours[19:] == [pytest.approx(4e-6)] * 6
    assert theirs[19] == pytest.approx(4e-6)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=20)
    for _ in range(20):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] > 10 * theirs[19]
    with pytest.raises(ValueError, match="Tried to step 21 times"):
        scheduler.step()


def test_rise_of_one_update_where_torch_divides_by_zero() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    with pytest.raises(ZeroDivisionError):
        torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=4, pct_start=0.25)
    ours = factors(make("onecycle", pct_start="25%", anneal="linear"), 4)
    assert ours == pytest.approx([1.0, 2 / 3, 1 / 3, 0], abs=1e-5)


def test_tiny_runs_are_defined() -> None:
    assert factors(make("onecycle"), 1, extra=2) == [1.0, 1.0, 1.0]
    assert factors(make("onecycle"), 2) == pytest.approx([1.0, 4e-6])


def test_by_hand_in_updates() -> None:
    ours = make(
        "onecycle", pct_start="3 steps", div_factor=4.0, final_div_factor=10.0, anneal="linear"
    )
    assert factors(ours, 7) == pytest.approx(
        [0.25, 0.625, 1.0, 0.75625, 0.5125, 0.26875, 0.025], rel=1e-12
    )


def test_final_lr_of_fastai_is_relative_to_the_peak() -> None:
    fastai = make("onecycle", final_div_of="peak", final_div_factor=1e5)
    assert factors(fastai, 100)[-1] == pytest.approx(1e-5, rel=1e-9)
    assert factors(make("onecycle"), 100)[-1] == pytest.approx(1 / 25 / 1e4, rel=1e-9)


def test_momentum_goes_the_other_way_unless_switched_off() -> None:
    ours = make("onecycle", anneal="linear", pct_start="30%")
    assert momenta(ours, 21, 10)[0] == pytest.approx(0.95)
    assert min(m for m in momenta(ours, 21, 10) if m is not None) == pytest.approx(0.85, abs=0.005)
    assert ours.momentum(Progress(99, 21, 10)) == pytest.approx(0.95)
    off = make("onecycle", cycle_momentum=False)
    assert momenta(off, 21, 10) == [None] * 21


def test_warmup_leads_to_the_initial_lr_and_holds_the_momentum() -> None:
    ours = make("onecycle", warmup="4 steps", warmup_start_factor=0.0, pct_start="6 steps")
    assert factors(ours, 20)[:5] == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])
    assert factors(ours, 20)[9] == pytest.approx(1.0)
    assert momenta(ours, 20, 10)[:5] == pytest.approx([0.95] * 5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pct_start": "25 steps"}, "pct_start=25 steps must be at most 20 of the run's 20 steps"),
        ({"pct_start": "60%", "three_phase": True}, "pct_start=60% must be at most 10.5"),
    ],
)
def test_refuses_what_does_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factors(make("onecycle", **changes), 20)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"div_factor": 0.5}, "div_factor=0.5 must"),
        ({"final_div_factor": float("nan")}, "final_div_factor=nan must"),
        ({"anneal": "cosine"}, "anneal=cosine is not one of cos, linear"),
        ({"final_div_of": "max"}, "final_div_of=max is not one of"),
        ({"max_momentum": 0.5}, "max_momentum=0.5 must"),
        ({"pct_start": "0.3"}, "pct_start='0.3' is not a duration"),
    ],
)
def test_refuses_bad_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("onecycle", **changes)
