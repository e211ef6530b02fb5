"""Several workloads: a study of each, and one verdict over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_runs import Truth, imagine, study, write

from lrbench.study import __main__ as command
from lrbench.study.composed import StudyConfig
from lrbench.study.records import Point, StudyOutcome
from lrbench.study.runs import fresh

NAMES = ("cosine", "onecycle")


def test_each_workload_is_studied_and_all_are_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, Any, Path]] = []

    def world(point: Point, given: Mapping[str, str]) -> Truth:  # noqa: ARG001
        rng = np.random.default_rng([point.seed, len(point.strategy)])
        return Truth(test=0.9 + 0.01 * rng.normal() - 0.05 * (point.strategy == "onecycle"))

    def studied(found: StudyConfig, *, dry_run: bool) -> tuple[int, StudyOutcome]:
        assert not dry_run
        asked.append((found.choices["model"], found.study.looks, found.folder))
        small = study(strategies=list(NAMES), final_seeds=list(range(5)), guide=None, untuned=False)
        outcome = imagine(found.folder, world, small, lrs=(0.1,))
        write(fresh(outcome.full), world)
        return 0, outcome

    monkeypatch.setattr(command, "_study", studied)
    monkeypatch.chdir(tmp_path)
    words = "study.workloads=['model=mlp','model=lenet optimizer=adamw']"
    command.main([words, "hydra.sweep.dir=all", "study.strategies=[cosine,onecycle]"])
    said = capsys.readouterr().out
    assert asked == [
        ("mlp", (), Path("all/model=mlp")),
        ("lenet", (), Path("all/model=lenet_optimizer=adamw")),
    ]
    told = "Over 2 groups, each counting alike and at these peak lrs: cosine beats every other "
    assert told in said
    page = (tmp_path / "all" / "report.md").read_text()
    assert told in page
    assert "model=mlp/report.html" in page.replace("\\", "")
