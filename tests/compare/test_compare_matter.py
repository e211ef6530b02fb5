"""How much each thing matters: planted variances are found, and noise is no sensitivity."""

from pathlib import Path

import numpy as np
import pytest
from comparison_runs import write_run
from scipy import stats

from lrbench.compare.analysis import Analysis, analyse
from lrbench.compare.family import Family
from lrbench.compare.find import find
from lrbench.compare.groups import split
from lrbench.compare.matter import matters
from lrbench.compare.read import read
from lrbench.compare.settings import Settings


def analysed(folder: Path) -> Analysis:
    (group,), _ = split(read(find([folder])).runs)
    return analyse(group, Settings(), Family())


def test_schedules_and_seeds_agree_with_textbook_formulas(tmp_path: Path) -> None:
    scores = np.array([[0.90, 0.93], [0.91, 0.94], [0.92, 0.97], [0.95, 0.96]])
    for seed, row in enumerate(scores):
        for name, accuracy in zip(("cosine", "plateau"), row, strict=True):
            write_run(tmp_path / f"{name}{seed}", scheduler=name, seed=seed, accuracy=accuracy)
    found = {m.what: m for m in matters(analysed(tmp_path))}
    assert set(found) == {"schedule", "seed"}
    gaps = scores[:, 1] - scores[:, 0]
    # Of two levels the root mean square of their difference is the difference itself.
    squared = gaps.mean() ** 2 - gaps.var(ddof=1) / 4
    assert found["schedule"].change == pytest.approx(np.sqrt(squared), rel=1e-6)
    student = stats.ttest_1samp(gaps, 0.0).confidence_interval()
    assert (found["schedule"].low, found["schedule"].high) == pytest.approx(tuple(student))
    pooled = scores.var(axis=0, ddof=1).mean()
    assert found["seed"].change == pytest.approx(np.sqrt(2 * pooled))
    s = np.cov(scores.T)
    freedom = 3 * np.trace(s) ** 2 / (s**2).sum()  # Satterthwaite's
    high = np.sqrt(2 * pooled * freedom / stats.chi2.ppf(0.025, freedom))
    assert found["seed"].high == pytest.approx(high)


def test_a_flat_response_to_the_peak_lr_is_no_sensitivity(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 2, 6))
    for i, lr in enumerate((0.1, 0.2, 0.4)):
        for j, name in enumerate(("cosine", "plateau")):
            for seed in range(6):
                accuracy = 0.9 + 0.05 * (name == "cosine") + noise[i, j, seed]
                write_run(tmp_path / f"{i}{j}{seed}", scheduler=name, seed=seed,
                          accuracy=accuracy, changes={"optimizer.lr": lr})  # fmt: skip
    found = {m.what: m for m in matters(analysed(tmp_path))}
    assert found["peak lr"].low == 0
    assert found["peak lr"].change < 0.006
    assert 0.02 < found["schedule"].low < 0.05 < found["schedule"].high < 0.08
