"""Sweeps and studies in joblib's processes train what they train in one."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrbench import __main__ as program
from lrbench.run import sweep
from lrbench.study import __main__ as study

QUIET = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory of joblib's processes: all tests here use the same two."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    from joblib.externals.loky import get_reusable_executor

    path = tmp_path_factory.mktemp("joblib")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setattr(sys, "argv", ["lrbench"])
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv(sweep.LAUNCHER, "")  # what a sweep sets does not outlast the tests
        yield path
        get_reusable_executor().shutdown(wait=True)


def runs(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The history of each finished run, without the seconds."""
    found = {}
    for result in folder.rglob("result.json"):
        with (result.parent / "history.csv").open() as file:
            rows = [{k: v for k, v in r.items() if k != "seconds"} for r in csv.DictReader(file)]
        found[str(result.parent.relative_to(folder))] = rows
    return found


def test_a_sweep_is_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", "scheduler=cosine,onecycle", "seed=0", "model=mlp", "trainer.length=2 epochs"]
    program.main([*words, *QUIET, "hydra.sweep.dir=alone"])
    capsys.readouterr()
    program.main([*words, *QUIET, *JOBLIB, "hydra.sweep.dir=together"])
    said = capsys.readouterr().out
    assert "cosine/seed=0  completed" in said
    assert "report  together/report.html" in said
    alone = runs(folder / "alone")
    assert alone.keys() == {"cosine/seed=0", "onecycle/seed=0"}
    assert runs(folder / "together") == alone


def test_a_study_is_conducted(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study.main(
        [
            "model=mlp", "trainer.length=1 epoch", "study.strategies=[cosine]", "study.lrs=[0.1]",
            "study.max_extensions=0", "study.tuning_seeds=[1000]", "study.final_seeds=[0,1]",
            "study.noise_seeds=[]", "study.guide=null", "study.untuned=false",
            "hydra.sweep.dir=study", *JOBLIB, *QUIET,
        ]
    )  # fmt: skip
    said = capfd.readouterr()
    assert said.err == ""
    assert "1 epoch, fresh seeds: 2 runs" in said.out
    names = {"tune/cosine/lr=0.1,seed=1000", *(f"final/cosine/lr=0.1,seed={s}" for s in (0, 1))}
    assert runs(folder / "study").keys() == {f"1_epoch/{name}" for name in names}
    result = json.loads(
        (folder / "study/1_epoch/final/cosine/lr=0.1,seed=0/result.json").read_text()
    )
    assert result["environment"]["num_threads"] == 1
