"""A run goes on with another schedule or length only as a policy says."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lrbench import __main__ as program

BEGIN = ["model=mlp", "scheduler=cosine", "scheduler.min_factor=0.2", "trainer.length=20 steps"]
PLATEAU = ["model=mlp", "scheduler=plateau", "scheduler.patience=0", "scheduler.cut_factor=0.5"]
PLATEAU += ["scheduler.threshold=0.99", "trainer.eval_interval=5 steps"]
LONGER = "trainer.length=30 steps"
Command = Callable[..., str]
# Configuring logging closes every handler there is, pytest's own among them.
NO_LOGGING = ["hydra/job_logging=none", "hydra/hydra_logging=none"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``python -m lrbench`` here; returns what it exits with, "" where it just ends."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["lrbench", *arguments, *NO_LOGGING])
        try:
            program.main()
        except SystemExit as error:
            return str(error.code)
        return ""

    return run


@pytest.fixture
def begun(command: Command) -> Command:
    assert command(*BEGIN, "hydra.run.dir=run") == ""
    return command


def factors(folder: str = "run") -> list[float]:
    with Path(folder, "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows] == list(range(1, len(rows) + 1))
    return [float(r["lr"]) / 0.1 for r in rows]


def cosine(step: int, total: int, floor: float = 0.2) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * step / total)) / 2


def resumes() -> list[dict[str, object]]:
    recorded = json.loads(Path("run/result.json").read_text())["resumes"]
    assert isinstance(recorded, list)
    return recorded


def test_a_change_without_a_policy_is_refused_with_the_difference(begun: Command) -> None:
    before = {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()}
    said = begun("resume=run", LONGER, "scheduler.min_factor=0.1")
    assert said == (
        "lrbench: resume=run would change the run (scheduler.min_factor: 0.2 → 0.1, "
        "trainer.length: 20 steps → 30 steps): leave that out, or say how to go on with "
        "resume_policy=rescale, keep or cooldown"
    )
    assert {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume_policy=rescale", "seed=1"], "resume=run cannot change seed: 0 → 1; only sched"),
        (["resume_policy=keep", "trainer.batch_size=32"], "cannot change trainer.batch_size"),
        (["resume_policy=keeep", LONGER], "resume_policy=keeep is not one of rescale, keep, cool"),
        (["resume_policy=keep", "trainer.length=9 steps"], "has taken 20 already: make it longer"),
        (["resume_policy=cooldown"], "has taken 20 already: make it longer"),
        (
            ["resume_policy=rescale", LONGER, "scheduler.warmup=40 steps"],
            "scheduler.warmup=40 steps must be shorter than the run (30 steps)",
        ),
    ],
)
def test_what_no_policy_allows(begun: Command, arguments: list[str], message: str) -> None:
    before = {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()}
    assert message in begun("resume=run", *arguments)
    assert {p: p.read_bytes() for p in Path("run").rglob("*") if p.is_file()} == before


def test_keep_holds_the_last_lr_of_the_schedule_as_first_laid_out(begun: Command) -> None:
    assert begun("resume=run", LONGER, "resume_policy=keep") == ""
    expected = [cosine(t, 20) for t in range(20)] + [0.2] * 10
    assert factors() == pytest.approx(expected, rel=1e-6)
    assert resumes()[0]["step"] == 20
    assert resumes()[0]["policy"] == "keep"
    # so that a comparison does not take it for a run of the plain schedule
    assert json.loads(Path("run/result.json").read_text())["strategy"] == "cosine+keep"


def test_rescale_lays_the_schedule_out_on_the_new_length(begun: Command) -> None:
    assert begun("resume=run", LONGER, "resume_policy=rescale") == ""
    expected = [cosine(t, 20) for t in range(20)] + [cosine(t, 30) for t in range(20, 30)]
    assert factors() == pytest.approx(expected, rel=1e-6)


def test_rescale_takes_a_schedule_changed_on_the_command_line(begun: Command) -> None:
    arguments = [LONGER, "scheduler.min_factor=0.1", "resume_policy=rescale"]
    assert begun("resume=run", *arguments) == ""
    assert factors()[20:] == pytest.approx([cosine(t, 30, 0.1) for t in range(20, 30)], rel=1e-6)


def test_cooldown_goes_to_zero_from_where_the_run_is(begun: Command) -> None:
    assert begun("resume=run", LONGER, "resume_policy=cooldown") == ""
    expected = [cosine(t, 20) for t in range(20)] + [0.2 * (1 - i / 10) for i in range(10)]
    assert factors() == pytest.approx(expected, rel=1e-6)


def test_cooldown_of_a_plateau_starts_from_its_cuts(command: Command) -> None:
    arguments = [
        "model=mlp",
        "scheduler=plateau",
        "scheduler.patience=0",
        "scheduler.cut_factor=0.5",
    ]
    arguments += ["scheduler.threshold=0.99", "trainer.eval_interval=5 steps"]
    assert command(*arguments, "trainer.length=12 steps", "hydra.run.dir=run") == ""
    assert factors() == pytest.approx([1.0] * 10 + [0.5] * 2)  # 5: the first best; 10: a cut
    assert command("resume=run", "trainer.length=22 steps", "resume_policy=cooldown") == ""
    start = 0.25  # the evaluation at the end of the first run cut once more
    assert factors()[12:] == pytest.approx([start * (1 - i / 10) for i in range(10)], rel=1e-6)


def test_keep_lets_a_plateau_go_on_cutting(command: Command) -> None:
    assert command(*PLATEAU, "trainer.length=12 steps", "hydra.run.dir=run") == ""
    assert command("resume=run", "trainer.length=22 steps", "resume_policy=keep") == ""
    assert factors()[12:] == pytest.approx([0.25] * 3 + [0.125] * 5 + [0.0625] * 2, rel=1e-6)
    config = Path("run/.hydra/config.yaml").read_text()
    assert "_target_: lrbench.scheduler.Plateau" in config
    assert "Continued" not in config


def test_a_run_made_over_goes_on_by_itself_bit_identically(begun: Command) -> None:
    """Cut after the change of policy, it needs no policy any more."""
    for source in ("a", "b"):
        assert begun(*BEGIN, f"hydra.run.dir={source}") == ""
        assert begun(f"resume={source}", "trainer.length=30 steps", "resume_policy=cooldown") == ""
    Path("b/result.json").unlink()
    checkpoint = torch.load("b/checkpoint.pt", weights_only=True)
    assert checkpoint["config"]["scheduler"]["_target_"] == "lrbench.scheduler.Continued"
    assert begun("resume=b") == ""
    assert factors("a") == factors("b")
    results = [json.loads(Path(f, "result.json").read_text()) for f in ("a", "b")]
    assert results[0]["test_loss"] == results[1]["test_loss"]
    assert results[0]["fingerprint"] == results[1]["fingerprint"]


def test_a_policy_without_a_change_is_an_ordinary_resume(begun: Command) -> None:
    result = Path("run/result.json").read_bytes()
    assert begun("resume=run", "resume_policy=keep") == ""
    assert Path("run/result.json").read_bytes() == result


def test_a_run_of_a_sweep_is_resumed_by_its_folder(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name holds an equals sign, which Hydra's grammar wants quoted."""
    monkeypatch.setattr("lrbench.__main__.compare_sweep", lambda _: None)  # takes seconds to import
    arguments = ["-m", "scheduler=cosine", "seed=0", "model=mlp", "trainer.length=20 steps"]
    assert command(*arguments, "hydra.sweep.dir=sweep") == ""
    folder = "sweep/cosine/seed=0"
    assert command(f"resume={folder}") == ""
    assert command(f"resume={folder}", LONGER, "resume_policy=cooldown") == ""
    assert len(factors(folder)) == 30
    result = json.loads(Path(folder, "result.json").read_text())
    assert (result["strategy"], result["steps"]) == ("cosine+cooldown", 30)


def test_a_making_over_that_a_kill_cut_in_two_is_completed(
    begun: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is made over and .hydra/config.yaml is not, nor has the run gone on."""

    def killed(*_: object) -> None:
        raise SystemExit("killed")

    with monkeypatch.context() as patch:
        patch.setattr("lrbench.run.resume._write_config", killed)
        assert begun("resume=run", LONGER, "resume_policy=rescale") == "killed"
    assert begun("resume=run") == ""
    assert factors() == pytest.approx(
        [cosine(t, 20) for t in range(20)] + [cosine(t, 30) for t in range(20, 30)], abs=1e-6
    )
    assert [entry["policy"] for entry in resumes()] == ["rescale"]


def test_no_policy_but_rescale_reaches_a_groups_own_schedule(command: Command) -> None:
    words = ["model=mlp", "trainer.length=2 steps", "+optimizer.groups.head={layers: output}"]
    words += ["+scheduler@optimizer.groups.head.scheduler=linear", "hydra.run.dir=run"]
    assert command(*words) == ""
    longer = ["resume=run", "trainer.length=3 steps"]
    said = command(*longer, "resume_policy=keep")
    assert "resume_policy=keep does not reach optimizer.groups.head.scheduler: write res" in said
    assert command(*longer, "resume_policy=rescale") == ""
