"""Runs of any measure, and of writers that know little: compared, and nothing claimed beyond."""

import csv as csv_module
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparison_runs import write_run, write_sweep

from lrbench.compare import Comparison, compare
from lrbench.compare.analysis import Analysis, analyse
from lrbench.compare.family import Family
from lrbench.compare.find import CompareError, find
from lrbench.compare.groups import split
from lrbench.compare.read import read
from lrbench.compare.report import Section
from lrbench.compare.settings import Margin, Settings
from lrbench.compare.verdict import verdict
from lrbench.task import Measure
from lrbench.task.classification import measures
from lrbench.task.measure import WELL_KNOWN

RMSE = (WELL_KNOWN["rmse"], WELL_KNOWN["loss"])
ACCURACY, NATS = measures(10)


def analysed(folder: Path, **settings: Any) -> Analysis:
    checked = Settings(**settings)
    (group,), _ = split(read(find([folder])).runs, checked.vary, metric=checked.metric)
    return analyse(group, checked, Family())


def write_least(folder: Path, strategy: str, losses: Sequence[float]) -> None:
    """Run folders as somebody's own loop may leave them: the least that there can be."""
    for seed, loss in enumerate(losses):
        run = folder / f"{strategy}-{seed}"
        run.mkdir(parents=True)
        content = {"strategy": strategy, "seed": seed, "status": "completed", "steps": 40}
        (run / "result.json").write_text(json.dumps({**content, "val_loss": loss}))
        rows = [f"{step},{loss + 2 - step / 20}" for step in (10, 20, 30, 40)]
        (run / "history.csv").write_text("\n".join(["step,val_loss", *rows]))


def test_the_least_that_a_run_folder_holds_is_compared(tmp_path: Path) -> None:
    spread = [0.0, 0.01, -0.01, 0.02, -0.02, 0.005]
    write_least(tmp_path, "wsd", [1.5 + s for s in spread])
    write_least(tmp_path, "cosine", [1.8 + s for s in spread[::-1]])
    found = compare(str(tmp_path))  # one path, not a list of its characters
    assert found.report.problems == ()
    (section,) = found.report.sections
    text = (tmp_path / "report.md").read_text()
    assert section.verdict.headline == (
        "wsd beats cosine at these peak lrs. wsd has the lowest mean validation loss: 1.5008."
    )
    assert section.verdict.pairs[0].startswith("wsd beats cosine at these peak lrs by 0.3000 (0.2")
    assert section.verdict.pairs[0].endswith(", 6 unpaired runs each)")
    for sentence in (
        "No test split: strategies are compared by validation loss",
        "No config: whether they differ in more than strategy and seed cannot be known.",
        "No checksum: a number that was changed later would not be noticed.",
        "No data digest: whether all runs saw the same data cannot be known.",
        "Equal seeds are not known to mean equal initial weights and batches here (paired: "
        "unknown), so strategies are compared as independent samples",
        "Not paired: equal seeds are not known to mean equal weights and batches",
    ):
        assert sentence in text
    assert "paired by seed" not in text
    assert "equal seeds have equal" not in text.replace("that equal seeds have equal", "")
    assert {"answer", "final", "validation", "speed"} == {
        path.stem for path in found.files if path.suffix == ".svg"
    }


def rmse_sweep(folder: Path, **settings: Any) -> Path:
    values: Mapping[str, Sequence[float | None]] = {
        "cosine": [0.50, 0.52, 0.51, 0.53, 0.49, 0.5],
        "onecycle": [0.60, 0.61, 0.62, 0.63, 0.59, 0.61],
        "plateau": [0.45, 0.44, 0.46, None, 0.45, 0.44],
    }
    return write_sweep(folder, values, kinds=RMSE, **settings)


@pytest.mark.pictures
def test_a_report_on_rmse_never_speaks_of_accuracy(tmp_path: Path) -> None:
    found = compare(rmse_sweep(tmp_path))
    for path in found.files:
        if path.suffix in (".html", ".md", ".csv", ".tex", ".svg"):
            text = path.read_text().lower()
            words = ("accurac", "acc.", "percentage point", " points", "chance", "guessing")
            assert [word for word in words if word in text] == [], path.name
    (section,) = found.report.sections
    # the one that diverged does not lead, though its completed runs are the best
    assert [s.strategy for s in section.analysis.standings] == ["cosine", "plateau", "onecycle"]
    assert section.verdict.headline.endswith(
        " Worse for sure: onecycle. cosine has the lowest mean test rmse of those with the fewest "
        "diverged runs: 0.5083."
    )
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = {row["strategy"]: row for row in csv_module.DictReader(file)}
    assert float(rows["plateau"]["worst_score"]) == math.inf
    assert float(rows["plateau"]["mean_score"]) == pytest.approx(0.448)


def test_a_diverged_run_without_a_value_is_in_no_mean(tmp_path: Path) -> None:
    analysis = analysed(rmse_sweep(tmp_path))
    pair = next(p for p in analysis.pairs if {p.a, p.b} == {"plateau", "cosine"})
    assert (pair.a, pair.test.num, pair.num_common) == ("plateau", 5, 6)
    assert pair.test.mean == pytest.approx(np.mean([0.05, 0.08, 0.05, 0.04, 0.06]))
    assert pair.probability == pytest.approx(5 / 6)
    assert all(math.isfinite(v) for p in analysis.pairs for v in (p.test.low, p.test.high))
    sentence = next(
        s for s in verdict(analysis).pairs if s.startswith("plateau is ahead of cosine")
    )
    assert sentence.endswith("; plateau diverged on 1 of 6, left out of the difference")


@pytest.mark.parametrize("paired", [None, False])
def test_one_run_that_is_not_paired_makes_all_unpaired(tmp_path: Path, paired: bool | None) -> None:
    write_sweep(tmp_path, {"cosine": [0.8, 0.81, 0.82], "onecycle": [0.9, 0.91, 0.92]})
    assert analysed(tmp_path).pairs[0].paired
    write_run(tmp_path / "more", seed=3, result={"paired": paired})
    analysis = analysed(tmp_path)
    assert not analysis.pairs[0].paired
    assert math.isnan(analysis.pairs[0].correlation)
    said = "(paired: false)" if paired is False else "(paired: unknown)"
    assert any(said in remark for remark in verdict(analysis).remarks)


def test_any_metric_of_the_runs_can_be_compared(tmp_path: Path) -> None:
    write_run(tmp_path / "a", accuracy=0.9, val_accuracy=0.7, result={"test_loss": 0.5})
    write_run(tmp_path / "b", scheduler="plateau", accuracy=0.8, result={"test_loss": 0.4})
    headline = verdict(analysed(tmp_path, metric="test_loss")).headline
    assert headline.endswith("plateau has the lowest mean test loss: 0.4000 nats.")
    headline = verdict(analysed(tmp_path, metric="best_val_accuracy")).headline
    assert "plateau has the highest mean best validation accuracy: 80.00 %" in headline
    with pytest.raises(CompareError, match=r"^metric=test_rmse: no run has it; they have best_"):
        analysed(tmp_path, metric="test_rmse")


def test_targets_hold_for_either_direction(tmp_path: Path) -> None:
    # validation falls from 3 in a straight line; the first evaluation, at 10 % of it, is the start
    write_sweep(tmp_path, {"cosine": [1.0, 1.0], "onecycle": [2.0, 2.0]}, kinds=RMSE)
    analysis = analysed(tmp_path, targets=("50%", "2.5"))
    start = np.median([2.8, 2.9])
    assert analysis.targets == {"50%": pytest.approx(start + (1 - start) / 2), "2.5": 2.5}
    of = {standing.strategy: standing.targets for standing in analysis.standings}
    assert (of["cosine"]["2.5"].at, of["onecycle"]["2.5"].at) == (30, 50)
    assert (of["cosine"]["50%"].at, of["onecycle"]["50%"].at) == (60, math.inf)


def test_where_the_best_is_no_better_than_guessing_there_is_no_way_to_go(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.9, 0.8], "onecycle": [0.7, 0.6]})
    analysis = analysed(tmp_path, chance=0.95, targets=("50%", "0.5"))
    assert analysis.targets == {"0.5": 0.5}
    assert (
        "No strategy's median validation accuracy (85.00 % at best) is better than guessing "
        "(95.00 %), so there is no way to go: no 50%."
    ) in verdict(analysis).remarks


@pytest.mark.parametrize(
    ("setting", "measure", "size", "text"),
    [
        (None, ACCURACY, 0.002, "0.2 points"),
        (None, NATS, 0.018, "1 % (0.0180 nats)"),
        (0.5, ACCURACY, 0.005, "0.5 points"),
        ("0.5", NATS, 0.5, "0.5 nats"),
        ("2 %", ACCURACY, 0.036, "2 % (3.60 points)"),
    ],
)
def test_a_margin_has_one_meaning(
    setting: float | str | None, measure: Measure, size: float, text: str
) -> None:
    margin = Margin.of(setting, measure, best=1.8)
    assert (margin.size, margin.text) == (pytest.approx(size), text)


def test_a_margin_finer_than_the_data_is_told(tmp_path: Path) -> None:
    data = {"digest": "d", "test": 359}
    write_sweep(tmp_path, {"cosine": [0.9, 0.8], "rex": [0.8, 0.7]}, result={"data": data})
    analysis = analysed(tmp_path)
    section = Section(analysis=analysis, verdict=verdict(analysis), pictures=())
    assert " · 359 test images · " in section.facts
    assert (
        "The margin, 0.2 points, is finer than the data can show: one of 359 test images is 0.28 "
        "points."
    ) in section.verdict.remarks
    assert not any("finer" in r for r in verdict(analysed(tmp_path, margin=0.3)).remarks)


def batch_sizes(folder: Path) -> Comparison:
    """Two schedules at two batch sizes: the same epochs in other numbers of updates."""
    for size, steps in ((32, 100), (128, 25)):
        for name in ("cosine", "onecycle"):
            for seed in (0, 1):
                run = write_run(
                    folder / f"{name}-{size}-{seed}",
                    scheduler=name,
                    seed=seed,
                    changes={"trainer.batch_size": size},
                    result={"steps": steps, "data": {"digest": "d", "steps_per_epoch": steps // 5}},
                )
                path = run / "history.csv"
                head, *rows = path.read_text().splitlines()
                cells = [row.split(",") for row in rows]
                for row in cells:
                    row[0] = str(int(row[0]) * steps / 100)
                path.write_text("\n".join([head, *map(",".join, cells)]) + "\n")
    return compare(folder, vary=("trainer.batch_size",))


@pytest.mark.pictures
def test_strategies_that_differ_in_batch_size(tmp_path: Path) -> None:
    found = batch_sizes(tmp_path)
    (section,) = found.report.sections
    names = [s.strategy for s in section.analysis.standings]
    assert len({s for s in names if "batch_size=" in s}) == 4
    assert "32 or 128 images per update" in section.facts
    assert any(remark.startswith("Batch sizes differ") for remark in section.verdict.remarks)
    assert "epochs to 90%" in section.tables[0].headers
    phases = next(table for table in section.tables if table.title == "Three phases")
    assert all("–" not in row for row in phases.rows)
    text = (tmp_path / "plots" / "validation.svg").read_text()
    assert ">epochs</text>" in text
    assert all(text.count(f">{name}</text>") == 2 for name in names)  # both panels name all four
    assert not any(f">{value} %</text>" in text for value in range(101, 130))
