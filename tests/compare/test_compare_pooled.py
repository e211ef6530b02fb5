"""All groups together: hand-worked values and independent computations."""

import math
from pathlib import Path

import numpy as np
import pytest
from comparison_runs import write_run
from scipy import stats

from lrbench.compare import compare
from lrbench.compare.pooled import interquartile_means, mean_ranks, standardised


def test_scores_are_standardised_by_their_strata() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(size=(6, 3))
    scores = np.concatenate([base, 100 * base + 7])
    found = standardised(scores, np.repeat([0, 1], 6))
    assert found[:6] == pytest.approx(found[6:])
    residuals = base - base.mean(axis=0) - base.mean(axis=1, keepdims=True) + base.mean()
    assert found[:6] * math.sqrt((residuals**2).sum() / 10) == pytest.approx(base - base.mean())


def test_the_middle_half_is_scipys_trimmed_mean() -> None:
    scores = np.random.default_rng(1).normal(size=(12, 2))
    found = interquartile_means(scores, np.repeat([0, 1, 2], 4))
    assert found[:, 0] == pytest.approx(stats.trim_mean(scores, 0.25))
    assert (found[:, 1] < found[:, 0]).all()
    assert (found[:, 0] < found[:, 2]).all()
    scores[0, 0] = -math.inf  # one diverged run is outside of the middle half
    assert np.isfinite(interquartile_means(scores, np.repeat([0, 1, 2], 4))[0, 0])


def test_ranks_by_hand() -> None:
    # ranks of the first: 1, 2, 1 and 1.5, 1, 2 in two strata
    scores = np.array([[2, 1], [1, 2], [5, 4], [3, 3], [2, 0], [0, 2.0]])
    found = mean_ranks(scores, np.repeat([0, 1], 3))
    assert found[:, 0] == pytest.approx([(4 / 3 + 4.5 / 3) / 2, 3 - (4 / 3 + 4.5 / 3) / 2])
    variance = (2 / 3 + 0.5) / 4
    half = stats.t.isf(0.025, 4) * math.sqrt(variance * (2 / 3) / 4)
    assert found[0, 2] - found[0, 0] == pytest.approx(min(half, 2 - found[0, 0]))


def write_workloads(folder: Path, num_seeds: int) -> None:
    generator = np.random.default_rng(3)
    for number, width in enumerate((16, 32, 64, 128)):
        for seed in range(num_seeds):
            for name, lead in (("cosine", 0.0), ("onecycle", 0.004)):
                write_run(
                    folder / f"{width}-{name}-{seed}",
                    scheduler=name,
                    seed=seed,
                    accuracy=0.7 + 0.05 * number + lead + generator.normal(0, 0.003),
                    changes={"model.width": width},
                )


def test_several_workloads_show_together_what_one_cannot(tmp_path: Path) -> None:
    write_workloads(tmp_path, 6)
    report = compare(tmp_path).report
    alone = [section.verdict.headline for section in report.sections]
    assert sum(text.startswith("No difference found") for text in alone) >= 2
    assert report.together is not None
    words, table = report.together
    assert words == (
        "Over 4 groups, each counting alike and at these peak lrs: onecycle beats every other "
        "strategy."
    )
    assert [row[0] for row in table.rows] == ["onecycle", "cosine"]
    text = (tmp_path / "report.md").read_text()
    assert words in text
    assert "4 groups and their mean share the 5 %: 1 % each." in text


def test_splits_swept_with_the_seed_are_strata_and_not_groups(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    for seed in range(6):
        hard = generator.normal(0, 0.02)
        for name, lead in (("cosine", 0.0), ("onecycle", 0.01)):
            write_run(
                tmp_path / f"{name}-{seed}", scheduler=name, seed=seed,
                accuracy=0.8 + hard + lead + generator.normal(0, 0.001),
                changes={"dataset.split_seed": 10 + seed},
            )  # fmt: skip
    (section,) = compare(tmp_path).report.sections
    assert section.verdict.headline.startswith("onecycle beats cosine")
    assert section.analysis.pairs[0].test.num == 6
