"""Several workloads: a study of each, and one verdict over all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_runs import Truth, imagine, study, write

from lrbench.study import __main__ as command
from lrbench.study import report
from lrbench.study.arguments import Arguments
from lrbench.study.composed import StudyConfig
from lrbench.study.records import Point
from lrbench.study.runs import fresh

NAMES = ("cosine", "onecycle")


def test_each_workload_is_studied_and_all_are_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, Any, Path]] = []

    def world(point: Point, given: Mapping[str, str]) -> Truth:  # noqa: ARG001
        rng = np.random.default_rng([point.seed, len(point.strategy)])
        return Truth(test=0.9 + 0.01 * rng.normal() - 0.05 * (point.strategy == "onecycle"))

    def studied(found: StudyConfig, arguments: Arguments) -> command.Studied:
        assert not arguments.dry_run
        asked.append((found.choices["model"], found.study.looks, found.folder))
        small = study(strategies=list(NAMES), final_seeds=list(range(5)), guide=None, untuned=False)
        outcome = imagine(found.folder, world, small, lrs=(0.1,))
        write(fresh(outcome.full), world)
        written = report.write(outcome, {})
        return command.Studied(
            failed=0, outcome=outcome, sections={"": written.tuned}, content=written.json
        )

    monkeypatch.setattr(command, "_study", studied)
    monkeypatch.chdir(tmp_path)
    words = "study.workloads=['model=mlp','model=lenet optimizer=adamw']"
    more = ["hydra.sweep.dir=all", "study.strategies=[cosine,onecycle]"]
    claims = ["require=cosine beats onecycle", "require=onecycle beats cosine"]
    with pytest.raises(SystemExit) as stop:
        command.main([words, *more, "--json", *claims])
    assert stop.value.code == 2
    printed, said = capsys.readouterr()
    assert asked == [
        ("mlp", (), Path("all/model=mlp")),
        ("lenet", (), Path("all/model=lenet_optimizer=adamw")),
    ]
    told = "Over 2 groups, each counting alike and at these peak lrs: cosine beats every other "
    assert told in said
    page = (tmp_path / "all" / "report.md").read_text()
    assert told in page
    assert "model=mlp/report.html" in page.replace("\\", "")
    assert printed == (tmp_path / "all" / "report.json").read_text()
    found = json.loads(printed)
    assert found["together"].startswith(told)
    one = json.loads((tmp_path / "all" / "model=mlp" / "report.json").read_text())
    assert found["workloads"]["model=mlp"] == one
    broken = said.splitlines()[-1]
    assert broken.startswith("lrbench.study: require='onecycle beats cosine' does not hold: ")
    assert ": model=mlp: cosine beats onecycle " in broken
    assert "; model=lenet optimizer=adamw: cosine beats onecycle " in broken
