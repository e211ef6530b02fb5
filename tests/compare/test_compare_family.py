"""What the 5 % of a report cover: readings of growing data, against published boundaries."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lrbench.compare.family import LOOKS, level, reading, spent

# Two-sided 0.05, equal steps: Reboussin, DeMets, Kim and Lan 2000, program ld98 (O'Brien-Fleming).
PUBLISHED = {2: (2.9626, 1.9686), 3: (3.7103, 2.5114, 1.9930),
             5: (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)}  # fmt: skip


@pytest.mark.parametrize("num", PUBLISHED)
def test_boundaries_are_the_published_ones(num: int) -> None:
    bounds = [
        stats.norm.isf(level([(i + 1) / num for i in range(look + 1)]) / 2) for look in range(num)
    ]
    assert bounds == pytest.approx(PUBLISHED[num], abs=2e-4)


def test_any_reading_of_a_null_is_false_in_five_percent() -> None:
    shares = np.array([0.3, 0.5, 0.6, 1.0])
    steps = np.diff(shares, prepend=0) ** 0.5
    sums = np.cumsum(np.random.default_rng(0).normal(size=(100_000, 4)) * steps, axis=1)
    bounds = [stats.norm.isf(level(shares[: i + 1].tolist()) / 2) for i in range(4)]
    crossed = (np.abs(sums / np.sqrt(shares)) > bounds).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.003)
    assert spent(1.0) == 0.05


def test_a_sweep_that_is_read_once_loses_nothing_and_again_costs_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        assert reading(tmp_path, "accuracy", 8, None).alpha == 0.05
    added = reading(tmp_path, "accuracy", 12, None)
    assert added.alpha == 0
    assert "the 5 % were spent when 8 seeds were read, as planned then" in added.covers
    assert reading(tmp_path, "accuracy", 8, None).alpha == 0.05
    assert reading(tmp_path, "loss", 12, None).alpha == 0.05


def test_planned_readings_are_paid_for(tmp_path: Path) -> None:
    assert reading(tmp_path, "accuracy", 2, 20).alpha == 0.05  # too few to claim anything
    assert not (tmp_path / LOOKS).exists()
    with pytest.raises(ValueError, match="planned_seeds=8: 10 are there already"):
        reading(tmp_path, "accuracy", 10, 8)
    first = reading(tmp_path, "accuracy", 10, 20)
    assert first.alpha == pytest.approx(level([0.5]))
    assert "10 of 20 planned seeds are read." in first.covers
    with pytest.raises(ValueError, match="planned_seeds=30: 20 were planned when these runs were"):
        reading(tmp_path, "accuracy", 10, 30)
    last = reading(tmp_path, "accuracy", 20, None)
    assert last.alpha == pytest.approx(level([0.5, 1.0]))
    assert 0.048 < last.alpha < 0.05
    assert "20 of 20 planned seeds are read, after readings at 10." in last.covers


def test_a_few_seeds_read_without_a_plan_have_a_part_and_are_no_plan(tmp_path: Path) -> None:
    for _ in range(2):
        assert reading(tmp_path, "accuracy", 3, None).alpha == pytest.approx(0.01)
    found = reading(tmp_path, "accuracy", 4, None)
    assert found.alpha == pytest.approx(0.01)
    assert (
        "Fewer than 5 seeds were read, and it was not planned how many there will be: 1 % are"
        in (found.covers)
    )
    later = reading(tmp_path, "accuracy", 8, None)
    assert later.alpha == pytest.approx(0.03)
    assert later.covers.endswith("8 of 8 planned seeds are read, after readings at 3, 4.")
    assert reading(tmp_path, "accuracy", 9, None).alpha == 0
    assert reading(tmp_path, "loss", 3, 3).alpha == 0.05  # planned: all of it


@pytest.mark.parametrize("content", ["", "[]", '{"accuracy": 3}', '{"accuracy": {"planned": "x"}}'])
def test_a_memory_that_cannot_be_read_is_the_first_reading(tmp_path: Path, content: str) -> None:
    (tmp_path / LOOKS).write_text(content)
    assert reading(tmp_path, "accuracy", 8, None).alpha == 0.05
    assert json.loads((tmp_path / LOOKS).read_text())["accuracy"] == {"planned": 8, "read": [8]}
