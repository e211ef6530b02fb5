"""``python -m lrbench.preview`` as a person runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_preview_values import CONF, STUCK, write_run

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
        timeout=60,
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


def test_without_arguments_the_default_config_is_shown(tmp_path: Path) -> None:
    result = run("output=null", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "digits: 300 updates, 20 an epoch" in result.stdout
    assert "\ncosine " in result.stdout
    assert not (tmp_path / "outputs").exists()


def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    words = ["optimizer.lr=0.1,0.2", "output=null"]
    result = run(*words, cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "cosine, lr=0.2" in result.stdout


def test_a_replay_starts_from_the_recorded_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run", STUCK, ["scheduler=constant", "optimizer.lr=0.4"])
    words = ["history=run", "scheduler=plateau", "scheduler.patience=2,20", "output=replay.svg"]
    result = run(*words, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "base lr 0.4" in result.stdout
    assert "plateau, patience=2: update 160 (epoch 8): cut to 0.1 of the base lr" in result.stdout
    assert "plateau, patience=2: the replay is valid to update 160" in result.stdout
    assert "plateau, patience=20: the replay is valid to the end" in result.stdout
    assert "warning: plateau, patience=20: the plateau cannot cut" in result.stdout
    assert "the recorded run differs" not in result.stdout
    assert (tmp_path / "replay.svg").is_file()
    changed = run(*words, "trainer.batch_size=32", "output=null", cwd=tmp_path)
    assert "the recorded run differs besides its schedule: trainer.batch_size: 64 → 32" in (
        changed.stdout
    )


def test_own_schedules_from_another_folder(tmp_path: Path) -> None:
    (tmp_path / "my conf" / "scheduler").mkdir(parents=True)
    (tmp_path / "my conf" / "scheduler" / "mine.yaml").write_text(
        "defaults: [cosine]\nmin_factor: 0.5\n"
    )
    result = run("--config-dir", "my conf", "scheduler=mine", "output=null", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\nmine " in result.stdout
    assert "75.1%" in result.stdout  # half of the lr is the floor, half falls as a cosine


def test_help(tmp_path: Path) -> None:
    result = run("--help", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for key in ("output=", "csv=", "history=", "steps_per_epoch=", "num_train=", "scale="):
        assert key in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scheduler=onecycel"], "no such scheduler; did you mean onecycle?"),
        (["scheduler.warmup=600 steps"], "must be shorter than the run (300 steps)"),
        (["history=nowhere"], "history=nowhere is not a run folder: it has no history.csv"),
        (["dataset=imagefolder", "dataset.root=empty"], "steps_per_epoch="),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    result = run(*words, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("lrbench.preview: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
