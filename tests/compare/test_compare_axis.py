"""What curves are drawn over and targets counted in: as asked, where every run records it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from comparison_runs import write_run

from lrbench.compare.analysis import analyse
from lrbench.compare.family import family_of
from lrbench.compare.find import CompareError, find
from lrbench.compare.groups import split
from lrbench.compare.read import read
from lrbench.compare.settings import Settings


@pytest.mark.parametrize(
    ("x", "per_update"), [("updates", 1), ("epochs", 0.1), ("seconds", 0.02), ("images", 64)]
)
def test_targets_are_counted_in_what_was_asked_for(
    tmp_path: Path, x: str, per_update: float
) -> None:
    """A measure that goes in a straight line from 0.1 to 0.9 is half way after half of 100."""
    said = {"units_per_step": 64, "unit": "images"}
    for scheduler in ("cosine", "plateau"):
        for seed in range(2):
            folder = tmp_path / scheduler / str(seed)
            write_run(folder, scheduler=scheduler, seed=seed, result=said)
    found = read(find([tmp_path]))
    settings = Settings(x=x, targets=("50%",))
    (group,), _ = split(found.runs, x=x)
    analysis = analyse(group, settings, family_of(group, [group], settings, tmp_path))
    assert analysis.axis == x
    np.testing.assert_allclose(analysis.chosen["to_50%"], 50 * per_update)


def test_what_a_run_does_not_record_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "a", result={"unit": "images"})
    runs = read(find([tmp_path / "a"])).runs
    with pytest.raises(CompareError, match=r"^x=images: \S+ does not record it: compare over upd"):
        split(runs, x="images")
    write_run(tmp_path / "b", result={"unit": "tokens", "units_per_step": 64})
    with pytest.raises(CompareError, match=r"^x=images: "):
        split(read(find([tmp_path / "b"])).runs, x="images")
    with pytest.raises(ValueError, match=r"^x=hours is not one of updates, epochs, seconds, ima"):
        Settings(x="hours")
