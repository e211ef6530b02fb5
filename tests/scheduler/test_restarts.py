"""CosineRestarts against Keras and torch, and at their weak spots."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import FLOAT32, assert_equal, factors, keras, make, timm_lrs, torch_groups

from lrbench.scheduler import Progress


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.floats(0, 1), st.integers(1, 300))
def test_equals_torch(first: int, multiplier: int, floor: float, total: int) -> None:
    def restarts(optimizer: torch.optim.Optimizer) -> object:
        return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            optimizer, T_0=first, T_mult=multiplier, eta_min=floor
        )

    ours = make(
        "cosine_restarts",
        first_cycle=f"{first} steps",
        cycle_multiplier=float(multiplier),
        min_factor=floor,
    )
    oracle = "torch CosineAnnealingWarmRestarts"
    assert_equal(factors(ours, total), torch_groups(restarts, total), oracle)


@pytest.mark.parametrize(
    ("multiplier", "begins"),
    [
        (1.0, [20, 40, 60, 80, 100, 120, 140]),
        (1.5, [20, 50, 95]),  # 162.5 is past the end
        (2.0, [20, 60, 140, 300, 620, 1260]),
        (3.0, [20, 80, 260, 800, 2420]),  # at 2420 torch and timm, by a logarithm, may miss it
    ],
)
def test_counts_its_cycles(multiplier: float, begins: list[int]) -> None:
    """Where each begins it takes its peak: there a logarithm may round into the one before."""
    ours = make(
        "cosine_restarts", first_cycle="20 steps", cycle_multiplier=multiplier, peak_decay=0.5
    )
    values = factors(ours, begins[-1] + 10)
    assert [values[step] for step in begins] == [0.5 ** (i + 1) for i in range(len(begins))]
    assert all(values[step - 1] < values[step] / 10 for step in begins)


def test_equals_the_recorded_keras_values() -> None:
    ours = make("cosine_restarts", first_cycle="200 steps", peak_decay=0.5)
    recorded = {0: 0.01, 100: 0.005, 199: 6.169e-07, 200: 0.005, 400: 0.0025, 600: 0.0025}
    values = factors(ours, 1200)
    for step, lr in (recorded | {1000: 0.00125}).items():
        assert 0.01 * values[step] == pytest.approx(lr, rel=2e-4)


@pytest.mark.parametrize("multiplier", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize(("decay", "floor"), [(1.0, 0.0), (0.5, 0.1)])
def test_equals_keras(multiplier: float, decay: float, floor: float) -> None:
    theirs = keras().optimizers.schedules.CosineDecayRestarts(
        0.01, 20, t_mul=multiplier, m_mul=decay, alpha=floor
    )
    ours = make(
        "cosine_restarts",
        first_cycle="20 steps",
        cycle_multiplier=multiplier,
        peak_decay=decay,
        min_factor=floor,
    )
    lrs = [0.01 * factor for factor in factors(ours, 150)]
    lrs_of_keras = [float(theirs(step)) for step in range(150)]
    begins = [phase.start for phase in ours.phases(150, 10)]
    oracle = "keras CosineDecayRestarts"
    assert_equal(lrs, lrs_of_keras, oracle, **FLOAT32, apart_from=begins)


@settings(max_examples=30, deadline=None)
@given(
    first=st.integers(2, 40),
    multiplier=st.sampled_from([1.0, 2.0]),
    decay=st.sampled_from([1.0, 0.5]),
    limit=st.integers(1, 3),
    warmup=st.integers(0, 20),
)
def test_equals_timm(first: int, multiplier: float, decay: float, limit: int, warmup: int) -> None:
    from timm.scheduler.cosine_lr import CosineLRScheduler

    length = sum(first * int(multiplier) ** i for i in range(limit))
    theirs = timm_lrs(
        lambda optimizer: CosineLRScheduler(
            optimizer,
            t_initial=first,
            cycle_mul=multiplier,
            cycle_decay=decay,
            cycle_limit=limit,
            warmup_t=warmup,
            warmup_prefix=True,
            t_in_epochs=False,
        ),
        warmup + length + 5,
    )
    ours = make(
        "cosine_restarts",
        first_cycle=f"{first} steps",
        cycle_multiplier=multiplier,
        peak_decay=decay,
        warmup=f"{warmup} steps",
        warmup_start_factor=0.0,
    )
    oracle = "timm CosineLRScheduler with cycles"
    begins = [phase.start for phase in ours.phases(warmup + length, 10)]
    seen = factors(ours, warmup + length, extra=5)
    assert_equal(seen, theirs, oracle, absolute=1e-12, apart_from=begins)


@pytest.mark.parametrize("total", [7, 70, 100, 285, 700, 1234, 7000])
def test_default_cycles_end_with_the_run(total: int) -> None:
    schedule = make("cosine_restarts")
    phases = schedule.phases(total, 10)
    assert [phase.name for phase in phases] == [f"cosine cycle {i}" for i in (1, 2, 3)]
    values = factors(schedule, total, extra=3)
    assert values[-3:] == pytest.approx([0, 0, 0], abs=1e-12)
    assert values[total - 1] < values[total // 2]


def test_a_cycle_lasts_one_update_at_least() -> None:
    ours = make("cosine_restarts", first_cycle="1%", cycle_multiplier=1.0)
    assert factors(ours, 10) == [1.0] * 10


def test_does_not_restart_at_the_end_of_the_run() -> None:
    ours = make("cosine_restarts", first_cycle="5 steps", cycle_multiplier=1.0, min_factor=0.1)
    assert factors(ours, 10, extra=3)[10:] == pytest.approx([0.1] * 3)
    assert factors(ours, 10)[5] == 1.0


def test_says_when_it_restarts() -> None:
    ours = make("cosine_restarts", first_cycle="5 steps", cycle_multiplier=1.0, peak_decay=0.5)
    assert [(c.step, c.reason) for c in ours.changes(Progress(7, 10, 10))] == [
        (5, "cycle 2 begins: restart at 0.5 of the base lr")
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cycle_multiplier": 0.5}, "cycle_multiplier=0.5 must be at least 1"),
        ({"peak_decay": 0.0}, "peak_decay=0.0 must be in"),
        ({"first_cycle": "1"}, "first_cycle='1' is not a duration"),
    ],
)
def test_refuses_bad_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make("cosine_restarts", **changes)


def test_refuses_a_cycle_of_no_updates() -> None:
    with pytest.raises(ValueError, match="first_cycle=0 steps must be longer than 0 steps"):
        factors(make("cosine_restarts", first_cycle="0 steps"), 10)
