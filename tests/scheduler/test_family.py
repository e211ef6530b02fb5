"""What holds for every schedule that conf/scheduler offers."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_oracles import factors, loaded, make, momenta, schedule_names

from lrbench.config.duration import whole_steps
from lrbench.scheduler import Progress

NAMES = schedule_names()
TOTALS = st.one_of(st.integers(1, 12), st.integers(13, 400))


def test_the_family_is_complete() -> None:
    assert set(NAMES) >= {
        *("constant", "linear", "polynomial", "cosine", "cosine_restarts", "warmup_decay"),
        *("onecycle", "plateau", "step", "multistep", "exponential", "inverse_sqrt", "noam"),
        *("cyclic", "trapezoid", "wsd", "rex", "tanh", "linear_to_zero", "piecewise", "chain"),
    }


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(total=TOTALS, epoch=st.integers(1, 50))
def test_is_defined_and_within_floor_and_peak(name: str, total: int, epoch: int) -> None:
    schedule = loaded(name)
    values = factors(schedule, total, epoch, extra=3)
    warmup = whole_steps(schedule.warmup, total_steps=total, steps_per_epoch=epoch)
    assert all(math.isfinite(value) for value in values)
    assert all(0 <= value <= 1 for value in values)
    assert all(value >= schedule.floor - 1e-12 for value in values[warmup:])
    assert values[0] > 0


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(total=TOTALS, epoch=st.integers(1, 50))
def test_stays_at_its_last_value_past_the_end(name: str, total: int, epoch: int) -> None:
    schedule = loaded(name)
    end = schedule.factor(Progress(total, total, epoch))
    for step in (total + 1, total + 7, 2 * total, 10**9):
        assert schedule.factor(Progress(step, total, epoch)) == end
        assert schedule.momentum(Progress(step, total, epoch)) == schedule.momentum(
            Progress(total, total, epoch)
        )
    if name != "cyclic":  # a short run may end while it rises
        assert end <= schedule.factor(Progress(total - 1, total, epoch)) + 1e-12


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noam"])  # it has its own
@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential", "constant"])
def test_a_warmup_is_one_override_away_and_reaches_what_it_leads_to(name: str, shape: str) -> None:
    schedule = make(name, warmup="2 epochs", warmup_shape=shape, warmup_start_factor=0.1)
    values = factors(schedule, 100)
    assert schedule.phases(100, 10)[0].stop == 20
    assert values[0] == pytest.approx(0.1 * values[20])
    assert values[:21] == sorted(values[:21])
    leads_to = {"onecycle": 0.04, "cyclic": 0.25, "chain": 0.01}
    assert values[20] == pytest.approx(leads_to.get(name, 1.0), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_reaches_its_peak(name: str) -> None:
    assert max(factors(loaded(name), 1000)) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("total", [1, 2, 10, 285])
def test_phases_cover_the_run_and_curves_agree(name: str, total: int) -> None:
    schedule = loaded(name)
    phases = schedule.phases(total, 7)
    assert [phase.start for phase in phases] == [0, *(phase.stop for phase in phases[:-1])]
    assert phases[-1].stop == total
    assert all(phase.name for phase in phases)
    assert schedule.factors(total, 7) == factors(schedule, total, 7)
    each = [schedule.momentum(Progress(step, total, 7)) for step in range(total)]
    assert momenta(schedule, total, 7) == each
    assert len(schedule.changes(Progress(total, total, 7))) == len(phases) - 1


@pytest.mark.parametrize("name", NAMES)
def test_refuses_an_empty_run(name: str) -> None:
    with pytest.raises(ValueError, match="total_steps=0 must be at least 1"):
        loaded(name).factor(Progress(0, 0, 1))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cyclic", {"rise": "1 steps", "fall": "1 steps"}),
        ("cosine_restarts", {"first_cycle": "1 steps", "cycle_multiplier": 1.0}),
        ("step", {"every": "1 steps", "cut_factor": 0.9999999}),
    ],
)
def test_refuses_cycles_without_end(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrbench.scheduler.base.MOST_SEGMENTS", 1000)
    with pytest.raises(ValueError, match=r"more than 1,000 segments .* 1000000000000 updates"):
        make(name, **options).plan(10**12, 1000)


def counted(work: Callable[[], object]) -> int:
    """How many functions `work` calls, Python's own among them."""
    events: list[str] = []
    sys.setprofile(lambda _frame, event, _: events.append(event))
    try:
        work()
    finally:
        sys.setprofile(None)
    return sum(event in ("call", "c_call") for event in events)


@pytest.mark.parametrize("name", ["onecycle", "plateau", "chain"])
def test_is_fast(name: str) -> None:
    """An update costs a few calls of functions, however long the run is."""
    schedule = loaded(name)

    def num_calls(total: int) -> int:
        steps = range(100, total + 100, 100)
        plan = schedule.plan(total, 100, [1 / step for step in steps], steps)
        return counted(lambda: plan.factor(total // 2))

    assert num_calls(10_000) <= 20
    assert num_calls(100_000) <= 20
    assert counted(lambda: schedule.factors(100_000, 1000)) <= 5 * 100_000


def test_needs_no_torch_until_as_torch_is_asked_for() -> None:
    code = (
        "import sys, lrbench.scheduler as s; assert 'torch' not in sys.modules;"
        "assert 'omegaconf' not in sys.modules and 'hydra' not in sys.modules;"
        "s.as_torch; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ}, timeout=120)
