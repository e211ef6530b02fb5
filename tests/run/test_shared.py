"""Runs of a sweep that begin alike: each ends to the bit as it does alone."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose
from omegaconf import DictConfig, OmegaConf

from lrbench.config import search
from lrbench.config.compose import read_choice
from lrbench.files import run_folder
from lrbench.run import shared
from lrbench.run.run import run

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHORT = ["model=mlp", "trainer.length=40 steps", "trainer.eval_interval=5 steps"]
Words = dict[str, Any]  # a run's scheduler, its keys, and what differs of the trainer


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


@pytest.fixture(scope="module")
def base() -> DictConfig:
    with search(None):
        return compose("config", overrides=SHORT, return_hydra_config=True)


def job(base: DictConfig, words: Words) -> DictConfig:
    """The config of a run, with `words` such as ``{"name": "step", "every": "12 steps"}``."""
    cfg = base.copy()
    OmegaConf.set_readonly(cfg, False)
    OmegaConf.set_struct(cfg, False)
    cfg.scheduler = read_choice("scheduler", words["name"]).scheduler
    cfg.hydra.runtime.choices.scheduler = words["name"]
    for key, value in words.items():
        if key != "name":
            place = key if "." in key or key == "seed" else f"scheduler.{key}"
            OmegaConf.update(cfg, place, value)
    return cfg


def train(cfg: DictConfig, folder: Path, shared_in: Path | None = None) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return run(cfg, folder, cfg.hydra, in_sweep=True, shared_in=shared_in)


def prepare(sweep: Path, *jobs: DictConfig) -> None:
    shared.prepare(sweep, [(str(n), run_folder.plain_config(cfg)) for n, cfg in enumerate(jobs)])


def problems(alone: Path, other: Path) -> list[str]:
    found: list[str] = importlib.import_module("faults").same_run(alone, other)
    return found


CONSTANT: Words = {"name": "constant"}
CUT: Words = {"name": "plateau", "patience": 0, "threshold": 0.9, "cut_factor": 0.5}
WSD: Words = {"name": "wsd", "warmup": "4 steps", "cooldown": "8 steps"}
LONGER: Words = {"trainer.length": "55 steps"}
PAIRS: dict[str, tuple[Words, Words, int]] = {
    "constant and step": (CONSTANT, {"name": "step", "every": "13 steps"}, 13),
    "step and multistep": (
        {"name": "step", "every": "10 steps"},
        {"name": "multistep", "milestones": ["10 steps", "25 steps"]},
        20,
    ),
    "constant and plateau": (CONSTANT, CUT, 10),
    "plateau and constant": (CUT, CONSTANT, 10),
    "wsd of two lengths": (WSD, {**WSD, **LONGER}, 33),
    "wsd and trapezoid": (
        WSD,
        {"name": "trapezoid", "warmup": "4 steps", "cooldown": "16 steps"},
        25,
    ),
    "constant of two lengths": (CONSTANT, {**CONSTANT, **LONGER}, 40),
    "cyclic of two falls": (
        {"name": "cyclic", "rise": "10 steps", "fall": "10 steps"},
        {"name": "cyclic", "rise": "10 steps", "fall": "7 steps"},
        11,
    ),
    "onecycle of two lengths": (
        {"name": "onecycle", "pct_start": "12 steps"},
        {"name": "onecycle", "pct_start": "12 steps", **LONGER},
        12,
    ),
}
HARDER: Words = {  # all that a state must hold
    "trainer.ema_decay": 0.9,
    "trainer.keep_best": True,
    "trainer.record_grad_norm": True,
    "trainer.log_interval": "7%",
    "optimizer.weight_decay": 0.01,
}


@pytest.fixture(scope="module")
def alone(base: DictConfig, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Words], Path]:
    """Trains a run alone, once in this module; returns its folder."""
    trained: dict[str, Path] = {}

    def of(words: Words) -> Path:
        folder = trained.get(str(words))
        if folder is None:
            folder = trained[str(words)] = tmp_path_factory.mktemp("alone")
            train(job(base, words), folder)
        return folder

    return of


Alone = Callable[[Words], Path]


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_ends_as_each_does_alone(
    base: DictConfig, tmp_path: Path, alone: Alone, pair: str
) -> None:
    one, other, expected = PAIRS[pair]
    words = [{**HARDER, **one}, {**HARDER, **other}]
    results = train_all(base, tmp_path, words)
    assert results[0]["shared"] is None
    assert (results[1]["shared"]["updates"], results[1]["shared"]["from"]) == (expected, "0")
    for n, own in enumerate(words):
        assert problems(alone(own), tmp_path / str(n)) == []
    assert not list((tmp_path / ".shared").rglob("*.pt"))  # both are done


def train_all(base: DictConfig, sweep: Path, words: Sequence[Words]) -> list[dict[str, Any]]:
    """Train runs one after another as those of a sweep, in folders 0, 1, …"""
    jobs = [job(base, own) for own in words]
    prepare(sweep, *jobs)
    return [train(cfg, sweep / str(n), sweep) for n, cfg in enumerate(jobs)]


FIVE: list[Words] = [
    {**WSD, "cooldown": "20%", "trainer.length": f"{n} steps"} for n in (20, 40, 60, 80, 100)
]


def test_five_budgets_train_their_trunk_once(base: DictConfig, tmp_path: Path) -> None:
    words = [{**own, "trainer.log_interval": "5%"} for own in FIVE]  # other rows in each history
    results = train_all(base, tmp_path, words)
    shared_ = [(result["shared"] or {"updates": 0})["updates"] for result in results]
    # the peak up to update 80 % of each, which is the first of its cooldown, too
    assert shared_ == [0, 17, 33, 49, 65]
    assert sum(r["steps"] for r in results) - sum(shared_) == 136  # of 300


def interrupted(step: int, work: Callable[[], object]) -> None:
    """Do `work` in a process of its own that is killed when it takes update number `step`."""
    from lrbench.trainer.loop import Loop

    child = os.fork()
    if child == 0:
        whole = Loop._update

        def update(self: Loop, *batch: Any) -> None:
            if self.state.step + 1 == step:
                os.kill(os.getpid(), signal.SIGKILL)
            whole(self, *batch)

        own: Any = Loop
        own._update = update
        try:
            work()
        finally:
            os._exit(1)  # it came to its end
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("seconds", [0, 60])
def test_a_sweep_that_is_killed_twice_ends_the_same(
    base: DictConfig, tmp_path: Path, alone: Alone, seconds: int
) -> None:
    """With a checkpoint at every record the runs go on from it, without one from their fork."""
    words: list[Words] = [
        {"name": "step", "every": "10 steps"},
        {"name": "step", "every": "20 steps"},
        {"name": "multistep", "milestones": ["20 steps", "30 steps"]},
    ]
    saving = {"trainer.checkpoint_interval_seconds": seconds}
    jobs = [job(base, {**own, **saving}) for own in words]
    prepare(tmp_path, *jobs)
    interrupted(6, lambda: train(jobs[0], tmp_path / "0", tmp_path))
    train(jobs[0], tmp_path / "0", tmp_path)
    interrupted(25, lambda: train(jobs[1], tmp_path / "1", tmp_path))
    results = train_all(base, tmp_path, [{**own, **saving} for own in words])
    updates = [(result["shared"] or {"updates": 0})["updates"] for result in results]
    assert updates == [0, 10, 30]
    for n, own in enumerate(words):
        assert problems(alone({**own, **saving}), tmp_path / str(n)) == []


def test_a_run_waits_for_the_one_that_trains_what_it_begins_with(
    base: DictConfig, tmp_path: Path, alone: Alone
) -> None:
    words: list[Words] = [CONSTANT, {"name": "step", "every": "13 steps"}]
    jobs = [job(base, own) for own in words]
    prepare(tmp_path, *jobs)
    child = os.fork()
    if child == 0:
        try:
            train(jobs[0], tmp_path / "0", tmp_path)
        finally:
            os._exit(0)
    while not list((tmp_path / ".shared").rglob("*.live")):
        time.sleep(0.01)
    result = train(jobs[1], tmp_path / "1", tmp_path)
    os.waitpid(child, 0)
    assert result["shared"]["updates"] == 13
    for n, own in enumerate(words):
        assert problems(alone(own), tmp_path / str(n)) == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # The shorter one is evaluated after every fourth update, the longer one after every sixth.
        ({"trainer.eval_interval": "10%"}, {"trainer.eval_interval": "10%", **LONGER}, 3),
        ({"trainer.length": "0.1 s"}, {"trainer.length": "0.2 s"}, 0),  # by the clock
    ],
)
def test_what_cannot_be_shared_is_trained(
    base: DictConfig, tmp_path: Path, one: Words, other: Words, expected: int
) -> None:
    result = train_all(base, tmp_path, [{**CONSTANT, **one}, {**CONSTANT, **other}])[1]
    assert (result["shared"] or {"updates": 0})["updates"] == expected


def test_a_damaged_state_is_not_used(base: DictConfig, tmp_path: Path, alone: Alone) -> None:
    words: list[Words] = [CONSTANT, {"name": "step", "every": "13 steps"}]
    jobs = [job(base, own) for own in words]
    prepare(tmp_path, *jobs)
    train(jobs[0], tmp_path / "0", tmp_path)
    (state,) = (tmp_path / ".shared").rglob("*.pt")
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert train(jobs[1], tmp_path / "1", tmp_path)["shared"] is None
    assert problems(alone(words[1]), tmp_path / "1") == []
