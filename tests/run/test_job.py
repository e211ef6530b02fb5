"""One job of Hydra's, in this process: where it is made, and what is made again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lrbench import __main__ as program

NO_LOGGING = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
QUICK = ["model=mlp", "trainer.length=2 steps"]
Command = Callable[..., str]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``lrbench`` here; returns what it exits with, "" where it just ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lrbench.__main__.compare_sweep", lambda _: None)  # takes seconds to import
    monkeypatch.setattr(sys, "argv", ["lrbench"])

    def run(*words: str) -> str:
        try:
            program.main([*words, *NO_LOGGING])
        except SystemExit as error:
            return str(error.code)
        return ""

    return run


def test_a_run_goes_on_in_other_places(command: Command) -> None:
    assert command(*QUICK, "hydra.run.dir=r") == ""
    Path("r/result.json").unlink()
    assert command("resume=r", "trainer.num_threads=1", "trainer.device=cpu") == ""
    assert "device: cpu" in Path("r/.hydra/config.yaml").read_text()
    assert json.loads(Path("r/result.json").read_text())["status"] == "completed"
    assert "would change the run (seed: 0 → 1)" in command("resume=r", "seed=1")


def test_a_length_without_end_is_refused_before_anything_is_touched(command: Command) -> None:
    assert command(*QUICK, "hydra.run.dir=r") == ""
    before = {p: p.read_bytes() for p in Path("r").rglob("*") if p.is_file()}
    line = command("resume=r", "trainer.length='1e300 epochs'", "resume_policy=rescale")
    assert "trainer.length=1e300 epochs is more than 2^53 updates" in line
    assert {p: p.read_bytes() for p in Path("r").rglob("*") if p.is_file()} == before


def test_in_a_folder_of_its_own_a_run_names_the_whole_path(
    command: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert command(*QUICK, "hydra.run.dir=r", "hydra.job.chdir=true") == ""
    assert f"tensorboard --logdir {tmp_path}/r" in caplog.text
    assert (tmp_path / "r" / "result.json").is_file()


def test_rerun_failed_trains_all_but_the_completed_again(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = ["-m", "optimizer.lr=0.1,1e30", "trainer.batch_size=64,5000", "hydra.sweep.dir=s"]
    assert command(*sweep, *QUICK) == "lrbench: 3 of the sweep's runs did not complete"
    results = [Path(f"s/cosine/lr={lr},batch_size=64,seed=0/result.json") for lr in (0.1, 1e30)]
    before = [path.stat().st_mtime_ns for path in results]
    capsys.readouterr()
    assert command(*sweep, *QUICK, "rerun=failed").startswith("lrbench: 3 of")
    after = [path.stat().st_mtime_ns for path in results]
    assert (after[0] == before[0], after[1] > before[1]) == (True, True)
    said = capsys.readouterr().out
    assert "lr=0.1,batch_size=5000,seed=0  failed: trainer.batch_size=5000" in said


def test_a_folder_with_other_files_is_refused_untouched(command: Command) -> None:
    Path("mine").mkdir()
    for name in ("history.csv", ".notes.tmp", "events.out.tfevents.1"):
        Path("mine", name).write_text("precious")
    line = command(*QUICK, "hydra.run.dir=mine")
    assert "and no run of lrbench: choose another folder with hydra.run.dir=" in line
    assert {p.read_text() for p in Path("mine").iterdir()} == {"precious"}
    assert len(list(Path("mine").iterdir())) == 3


def test_a_dry_run_shows_what_runs_share_and_makes_none(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = ["-m", "scheduler=constant,step,plateau", "seed=0,1", "hydra.sweep.dir=s"]
    more = ["scheduler.warmup=4 steps", "trainer.eval_interval=5 steps", "dry_run=true"]
    assert command(*swept, *QUICK, *more, "trainer.length=40 steps") == "0"
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "s: 6 runs to make",
        "  constant/seed=0   40 updates",
        "    step/seed=0     40 updates, from update 16 on",
        "    plateau/seed=0  40 updates, from at least update 25 on",
        "  and 1 set of runs like these, of other seeds or settings",
        "240 updates, of which at least 82 (34%) are shared and 158 are trained",
    ]
    assert not Path("s").exists()
    assert command(*swept, *QUICK, *more, "trainer.length=40 steps", "share=false") == "0"
    assert capsys.readouterr().out.splitlines()[-1] == (
        "240 updates, of which 0 (0%) are shared and 240 are trained"
    )


def test_a_sweep_shares_unless_it_must_not(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    swept = ["-m", "scheduler=constant,step", "trainer.length=10 steps"]
    for folder, word in (("s", "share=true"), ("t", "share=false"), ("u", "keep_at=[50%]")):
        assert command(*swept, "model=mlp", word, f"hydra.sweep.dir={folder}") == ""
    said = capsys.readouterr().out
    assert said.count("updates were trained once for several runs") == 1
    # one that began with a later state of another run would lack its own
    assert all(Path("u", name, "seed=0", "kept", "5.pt").exists() for name in ("constant", "step"))
    assert "3 of 20 updates were trained once for several runs" in said
    results = [json.loads(Path(f, "step/seed=0/result.json").read_text()) for f in "st"]
    assert results[0]["shared"] | {"seconds": 0} == {
        "updates": 3,
        "seconds": 0,
        "from": "constant/seed=0",
    }
    assert results[1]["shared"] is None
    assert results[0]["fingerprint"] == results[1]["fingerprint"]
    assert results[0]["test_loss"] == results[1]["test_loss"]
    assert not Path("s/.shared").exists()
