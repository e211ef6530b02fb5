"""``python -m lrbench.preview`` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_preview_values import CONF, STUCK, write_run

from lrbench.preview.__main__ import main

WATCHED = ("torch", "torchvision", "sklearn", "tensorboard")


def run(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a pipe; which of the slow libraries it imported, in a file beside."""
    code = (
        "import atexit, json, runpy, sys\n"
        f"found = lambda: [m for m in {WATCHED} if m in sys.modules]\n"
        "atexit.register(lambda: open('imported.json', 'w').write(json.dumps(found())))\n"
        "runpy.run_module('lrbench.preview', run_name='__main__', alter_sys=True)"
    )
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CONF.parent)}
    environment = {**os.environ, **own, **environment}
    environment.pop("HYDRA_FULL_ERROR", None)
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_four_side_by_side(tmp_path: Path) -> None:
    words = ["scheduler=cosine,warmup_decay,onecycle,plateau", "trainer.length=30 epochs"]
    result = run(*words, "dataset=cifar10", "csv=curves.csv", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "cifar10: 21,090 updates, 703 an epoch" in result.stdout
    for name in ("cosine", "warmup_decay", "onecycle", "plateau"):
        assert f"\n{name} " in result.stdout
    assert "drawn as if the validation loss kept improving" in result.stdout
    for ending in ("png", "svg"):
        path = f"outputs/preview/cosine-warmup_decay-onecycle-plateau.{ending}"
        assert f"wrote {path}" in result.stdout
        assert (tmp_path / path).stat().st_size > 10_000
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 1 + 4 * 21_090
    assert max(map(len, result.stdout.split("\nplateau: ")[0].splitlines())) <= 80
    assert json.loads((tmp_path / "imported.json").read_text()) == []


@dataclass
class Shown:
    """What the command printed, and how it ended."""

    stdout: str
    error: str = ""


Preview = Callable[..., Shown]


@pytest.fixture
def preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Preview:
    """Runs the command in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str) -> Shown:
        error = ""
        try:
            main(words)
        except SystemExit as stop:
            error = str(stop.code)
        return Shown(capsys.readouterr().out, error)

    return run


def test_without_arguments_the_default_config_is_shown(preview: Preview, tmp_path: Path) -> None:
    result = preview("output=null")
    assert result.error == ""
    assert "digits: 300 updates, 20 an epoch" in result.stdout
    assert "\ncosine " in result.stdout
    assert not (tmp_path / "outputs").exists()


def test_the_numbers_for_programs(preview: Preview, tmp_path: Path) -> None:
    found = json.loads(preview("scheduler=linear,constant", "--json").stdout)
    linear, constant = found["schedules"]
    assert (linear["schedule"], linear["peak_lr"], linear["total_updates"]) == ("linear", 0.1, 300)
    assert linear["area"] == pytest.approx(301 / 600)  # of 1, 299/300, ..., 1/300
    assert (constant["last_lr"], constant["area"]) == (0.1, 1.0)
    assert all((tmp_path / name).is_file() for name in found["files"])
    assert len(found["files"]) == 2


def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    words = ["optimizer.lr=0.1,0.2", "output=null"]
    result = run(*words, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "cosine, lr=0.2" in result.stdout


def test_a_replay_starts_from_the_recorded_run(preview: Preview, tmp_path: Path) -> None:
    write_run(tmp_path / "run", STUCK, ["scheduler=constant", "optimizer.lr=0.4"])
    words = ["history=run", "scheduler=plateau", "scheduler.patience=2,20", "output=replay.svg"]
    result = preview(*words)
    assert result.error == ""
    assert "base lr 0.4" in result.stdout
    assert "plateau, patience=2: update 160 (epoch 8): cut to 0.1 of the base lr" in result.stdout
    assert "plateau, patience=2: the replay is valid to update 160" in result.stdout
    assert "plateau, patience=20: the replay is valid to the end" in result.stdout
    assert "warning: plateau, patience=20: the plateau cannot cut" in result.stdout
    assert "the recorded run differs" not in result.stdout
    assert (tmp_path / "replay.svg").is_file()
    changed = preview(*words, "trainer.batch_size=32", "output=null")
    assert "the recorded run differs besides its schedule: trainer.batch_size: 64 → 32" in (
        changed.stdout
    )


def test_a_replay_of_a_run_that_chose_the_parts_of_its_schedule(
    preview: Preview, tmp_path: Path
) -> None:
    part = "scheduler@scheduler.parts.plateau.scheduler=cosine"
    write_run(tmp_path / "run", STUCK, ["scheduler=chain", part])
    result = preview("history=run", "scheduler=plateau", "output=null")
    assert result.error == ""
    assert "plateau: the replay is valid to update" in result.stdout


def test_own_schedules_from_another_folder(preview: Preview, tmp_path: Path) -> None:
    (tmp_path / "my conf" / "scheduler").mkdir(parents=True)
    (tmp_path / "my conf" / "scheduler" / "mine.yaml").write_text(
        "defaults: [cosine]\nmin_factor: 0.5\n"
    )
    result = preview("--config-dir", "my conf", "scheduler=mine", "output=null")
    assert result.error == ""
    assert "\nmine " in result.stdout
    assert "75.1%" in result.stdout  # half of the lr is the floor, half falls as a cosine


def test_help(preview: Preview) -> None:
    result = preview("--help")
    assert result.error == ""
    for key in ("output=", "csv=", "history=", "steps_per_epoch=", "num_train=", "scale="):
        assert key in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scheduler=onecycel"], "no such scheduler; did you mean onecycle?"),
        (["scheduler.warmup=600 steps"], "must be shorter than the run (300 steps)"),
        (["history=nowhere"], "history=nowhere is not a run folder: it has no history.csv"),
        (["dataset=imagefolder", "dataset.root=empty"], "steps_per_epoch="),
        (
            ["optimizer._target_=lrbench.scheduler.Cosine"],
            "optimizer._target_=lrbench.scheduler.Cosine is not a",
        ),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, preview: Preview) -> None:
    result = preview(*words)
    assert result.stdout == ""
    assert result.error.startswith("lrbench.preview: ")
    assert "\n" not in result.error
    assert message in result.error
