"""Whose a run folder is, and what is written into it."""

from __future__ import annotations

import copy
import errno
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lrbench.config import PARTS
from lrbench.files import run_folder
from lrbench.files.atomic import atomic_write
from lrbench.files.checksum import sealed_text
from lrbench.files.run_folder import FolderError

CONFIG: dict[str, Any] = {
    **{part: {"_target_": f"lrbench.{part}.X"} for part in PARTS},
    "seed": 0,
    "trainer": {"length": "2 steps"},
}


def test_a_fingerprint_tells_configs_apart_whatever_the_order_of_keys() -> None:
    same = dict(reversed(CONFIG.items()))
    assert run_folder.fingerprint(CONFIG) == run_folder.fingerprint(same)
    assert run_folder.fingerprint(CONFIG) != run_folder.fingerprint({**CONFIG, "seed": 1})


def test_keys_that_only_steer_the_command_do_not_count() -> None:
    cfg = OmegaConf.create({"seed": 0, "resume": "x", "copy": "${seed}"})
    assert run_folder.plain_config(cfg) == {"seed": 0, "copy": 0}


def test_diff_names_what_changed() -> None:
    other = {**CONFIG, "trainer": {"length": "3 steps", "extra": 1}}
    assert run_folder.diff(CONFIG, CONFIG) == ""
    assert run_folder.diff(CONFIG, other) == (
        "trainer.extra: unset → 1, trainer.length: 2 steps → 3 steps"
    )


def test_the_result_is_valid_json_whatever_the_numbers(tmp_path: Path) -> None:
    run_folder.write_result(tmp_path, {"a": math.nan, "b": math.inf, "c": 0.5, "d": None})

    def no_constants(name: str) -> None:
        raise AssertionError(name)

    text = (tmp_path / "result.json").read_text()
    parsed = json.loads(text, parse_constant=no_constants)
    del parsed["checksum"]
    assert parsed == {"a": None, "b": None, "c": 0.5, "d": None}


def test_a_new_folder_is_not_finished(tmp_path: Path) -> None:
    assert run_folder.finished(tmp_path, CONFIG) is None


def test_a_finished_run_answers_only_to_its_own_config(tmp_path: Path) -> None:
    print_ = run_folder.fingerprint(CONFIG)
    run_folder.write_result(tmp_path, {"status": "completed", "fingerprint": print_})
    result = run_folder.finished(tmp_path, CONFIG)
    assert result is not None
    assert result["status"] == "completed"
    with pytest.raises(FolderError, match="is the result of another config"):
        run_folder.finished(tmp_path, {**CONFIG, "seed": 1})


def held(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that has locked `folder` and ends after `seconds`."""
    hold = (
        "import sys, time; from pathlib import Path; from lrbench.files import run_folder\n"
        f"run_folder.lock(Path(sys.argv[1])); print('held', flush=True); time.sleep({seconds})"
    )
    command = [sys.executable, "-c", hold, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_two_processes_cannot_share_a_folder_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    process = held(tmp_path, seconds=60)
    with pytest.raises(FolderError, match="is in use by another process"):
        run_folder.lock(tmp_path)
    process.kill()
    process.wait()
    run_folder.lock(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_sweeps_job_waits_for_whoever_still_holds_its_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = held(tmp_path, seconds=0.5)
    os.close(run_folder.lock(tmp_path, wait=True))
    assert "is in use by another process: waiting for it to end" in caplog.text
    assert process.wait() == 0


def test_a_refused_command_leaves_the_folder_of_one_that_has_just_begun(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "lrbench.log").write_text("x")
    handle = run_folder.lock(folder)
    run_folder.sweep_away(folder)
    assert (folder / "lrbench.log").exists()
    os.close(handle)
    run_folder.sweep_away(folder)
    assert not folder.exists()


def test_what_a_kill_left_half_written_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    mine = [tmp_path / "notes.tmp", tmp_path / ".hydra" / "config.yaml", tmp_path / "checkpoint.pt"]
    for path in [*mine, tmp_path / ".checkpoint.pt.7.tmp", tmp_path / ".hydra" / ".x.yaml.7.tmp"]:
        path.touch()
    run_folder.clear(tmp_path)
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted(mine)


def test_a_changed_config_is_not_taken_for_the_runs(tmp_path: Path) -> None:
    choices = {"scheduler": "keras/cosine_decay", "experiment": None}
    overrides = ["seed=0", "hydra.mode=RUN", "+scheduler@hydra.callbacks.x=cosine", "model=mlp"]
    hydra = OmegaConf.create(
        {"overrides": {"task": overrides}, "runtime": {"choices": choices}, "callbacks": {}}
    )
    run_folder.write_config(tmp_path, OmegaConf.create({**CONFIG, "resume": None}), hydra)
    assert run_folder.read_config(tmp_path) == CONFIG
    assert run_folder.read_choices(tmp_path) == {"scheduler": "keras/cosine_decay"}
    assert run_folder.recorded_overrides(tmp_path) == ["seed=0", "model=mlp"]
    path = tmp_path / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("2 steps", "3 steps"))
    with pytest.raises(FolderError, match=r"config\.yaml is damaged .*\(its checksum is of other"):
        run_folder.read_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("config.yaml", "a: &x [1]\nb: *x\n", "anchors and aliases"),
        ("config.yaml", "model: 1\n", "it has no task"),
        ("config.yaml", "- 1\n", "it is no mapping"),
        ("config.yaml", "[" * 100_000, "is no YAML"),
        ("config.yaml", "x" * 2_000_000, "at most 1,048,576 are read"),
        ("config.yaml", "seed.x: 1\n", "it is no mapping of names"),
        ("config.yaml", "{" + ", ".join(f"{p}: {{a: '${{oc.env:HOME}}'}}" for p in PARTS)
         + ", seed: 0}\n", "where a value must stand"),
        ("hydra.yaml", 'hydra: {runtime: {choices: {scheduler: "a\\nb"}}}\n', "no name of"),
        ("hydra.yaml", "hydra: {runtime: {choices: {scheduler: {a: 1}}}}\n", "no name of a choice"),
    ],
)  # fmt: skip
def test_what_lies_in_a_folder_is_plain_data(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / name).write_text(sealed_text(text))
    read = run_folder.read_config if name == "config.yaml" else run_folder.read_choices
    with pytest.raises(FolderError, match=re.escape(reason)):
        read(tmp_path)


def test_where_a_run_is_made_is_not_what_it_is() -> None:
    """Device, threads and the places of data are recorded, outside identity and differences."""
    nodes = {"trainer": {"length": "2 steps"}, "dataset": {"name": "x"}, "model": {"name": "y"}}
    moved: dict[str, Any] = copy.deepcopy(nodes)
    for place in run_folder.PLACES:
        group, key = place.split(".")
        moved[group][key] = "elsewhere"
    assert moved["dataset"]["root"] == "elsewhere"
    assert run_folder.diff({**CONFIG, **nodes}, {**CONFIG, **moved}) == ""
    prints = {run_folder.fingerprint({**CONFIG, **n}) for n in (nodes, moved)}
    assert len(prints) == 1


@pytest.mark.parametrize("names", [["thesis.tex"], ["history.csv"], ["result.json", ".hydra/"]])
def test_a_folder_that_is_no_run_folder_is_refused_untouched(
    tmp_path: Path, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).mkdir() if name[-1] == "/" else (tmp_path / name).write_text("precious")
    with pytest.raises(FolderError, match=r"and no run of lrbench: choose another folder"):
        run_folder.check_ours(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(n.rstrip("/") for n in names)


@pytest.mark.parametrize("name", ["lrbench.log", "history.csv", "events.out.tfevents.1", ".hydra"])
def test_links_in_place_of_a_runs_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "victim")
    with pytest.raises(FolderError, match=r"is a link, and lrbench writes through none"):
        run_folder.check_ours(tmp_path / "run")


def test_what_a_failed_or_killed_run_left_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / "lrbench.log").touch()
    (tmp_path / ".checkpoint.pt.123.tmp").touch()
    run_folder.check_ours(tmp_path)


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ([], False),
        (["lrbench.log"], False),
        (["lrbench.log", "history.csv"], True),
        (["mine.txt"], True),
    ],
)
def test_only_an_empty_folder_is_swept_away(tmp_path: Path, files: list[str], left: bool) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("x")
    run_folder.sweep_away(folder)
    assert folder.exists() == left
    if left:
        assert sorted(p.name for p in folder.iterdir()) == sorted(files)


def test_a_config_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hydra = OmegaConf.create({"overrides": {"task": ["seed=0"]}})
    written: list[Path] = []

    def full_after_two(path: Path) -> Any:
        written.append(path)
        if len(written) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return atomic_write(path)

    monkeypatch.setattr("lrbench.files.run_folder.atomic_write", full_after_two)
    with pytest.raises(OSError, match="No space left"):
        run_folder.write_config(tmp_path, OmegaConf.create(CONFIG), hydra)
    assert len(written) == 3
    assert not list(tmp_path.iterdir())
