"""Planted faults of the lr are named, with their evidence, and clean logs raise no alarm."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from lrbench.audit import Audit, LrLog, audit, audit_each, causes
from lrbench.audit.__main__ import main
from lrbench.config import CONF, build, flatten
from lrbench.config.compose import read_choice

TOTAL, EPOCH, PEAK = 1000, 100, 3e-3
CHOICES = sorted(p.stem for p in (CONF / "scheduler").glob("[!_]*.yaml"))
Formula = Callable[[np.ndarray], np.ndarray]


def cosine(
    t: np.ndarray, total: float = TOTAL, warmup: float = 100, floor: float = 0.0
) -> np.ndarray:
    """Half a cosine after a linear warmup from 0, which climbs again past its end, as torch's."""
    down = floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * (t - warmup) / (total - warmup)))
    return PEAK * np.where(t < warmup, (t + 1) / (warmup + 1), down)


def held(t: np.ndarray, **settings: float) -> np.ndarray:
    """The same, held at its end."""
    return cosine(np.minimum(t, settings.get("total", TOTAL)), **settings)


def log(
    lr: Formula, name: str = "cosine", *, every: int = 1, total: int = TOTAL, **settings: Any
) -> LrLog:
    """An imported log of `total` updates; `settings` are those that the run recorded."""
    steps = np.arange(every, total + 1, every)
    config = {f"scheduler.{key}": value for key, value in settings.items()}
    config |= {"scheduler.name": name, "optimizer.lr": PEAK}
    config |= {"trainer.length": f"{TOTAL} steps"} if name else {}
    history = pd.DataFrame({"step": steps, "lr": lr(steps - 1.0).astype("float32")})
    return LrLog(history=history, steps=total, config=config, strategy=name)


def staircase(t: np.ndarray) -> np.ndarray:
    return np.floor(t / EPOCH)


def plateau_without_losses() -> LrLog:
    found = log(lambda t: np.full(len(t), PEAK), "plateau", patience=5)
    losses = np.where(found.history["step"] < 300, 2.0 - found.history["step"] / 1000, 1.7)
    return LrLog(**{**vars(found), "history": found.history.assign(val_loss=losses)[::20]})


def a_group_at_rest() -> LrLog:
    found = log(held)
    frame = found.history
    frame["lr/head"], frame["lr/body"] = frame["lr"], PEAK / 10
    return found


W: dict[str, Any] = {"warmup_steps": 100}
FAULTS: dict[str, tuple[Callable[[], LrLog], str]] = {
    "twice": (lambda: log(lambda t: held(2 * t), **W), "stepped too often: .* 2 times an update"),
    "4 processes": (
        lambda: log(lambda t: held(4 * t), **W),
        r"stepped too often: its descent ends at update 25[01] of 1,000, its warmup at 2\d, not "
        "100: 4 times an update",
    ),
    "8 batches": (
        lambda: log(lambda t: held(8 * t), every=5, **W),
        "stepped too often: .* 8 times an update",
    ),
    "every fourth update": (
        lambda: log(lambda t: cosine(t / 4), **W),
        "stepped too seldom: .* once every 4 updates",
    ),
    "every fifth update": (
        lambda: log(lambda t: PEAK * (1 - np.floor(t / 5) / TOTAL), "linear"),
        "stepped too seldom: its descent would end at update [45],[09].*: once every 5 updates",
    ),
    "per epoch": (
        lambda: log(lambda t: held(staircase(t), total=40, warmup=0), "", total=4000, every=10),
        "",  # a clean log: a schedule over 40 epochs, stepped once in each
    ),
    "per epoch, not per update": (
        lambda: log(lambda t: held(staircase(t), warmup=0), every=10),
        "stepped per epoch, not per update: the lr changes only every 100 updates, .*0.9998",
    ),
    "warmup per epoch": (
        lambda: log(lambda t: held(staircase(t)), every=10, **W),
        "stepped per epoch, not per update: .* still rises at the end",
    ),
    "never stepped": (
        lambda: log(lambda t: np.full(len(t), PEAK), "linear"),
        "an lr that never moved: 0.003 throughout, though the schedule is linear",
    ),
    "per update, not per epoch": (
        lambda: LrLog(**{**vars(log(lambda t: held(t, total=30, warmup=0), total=3000)),
                         "config": {"scheduler.name": "cosine", "trainer.length": "30 epochs"},
                         "steps_per_epoch": 100}),
        "stepped per update, not per epoch: its descent ends at update 3[01], and the run has 30",
    ),
    "a first update at 0": (
        lambda: log(lambda t: held(t) * (t > 0)),
        "a first update at lr 0: the lr logged at update 1 is 0",
    ),
    "twice the length": (
        lambda: log(lambda t: cosine(t, total=10_000, warmup=500), "", total=5000),
        r"never reached its floor: this is a cosine over 10,00\d updates with 50\d of warmup, and "
        "the run took 5,000: it ended at 0.00",
    ),
    "climbed": (
        lambda: log(lambda t: cosine(t, total=700), "", every=7),
        r"climbed again after its end: the descent ends at update 70\d of 1,000",
    ),
    "rebuilt": (
        lambda: log(lambda t: np.where(t < 600, cosine(t), cosine(t - 600)), **W),
        "restarted on resume: at update 600 the lr leaps from 0.00",
    ),
    "rebuilt without warmup": (
        lambda: log(
            lambda t: np.where(t < 600, held(t, warmup=0), held(t - 600, warmup=0, total=400))
        ),
        "restarted on resume: at update 600 the lr leaps from 0.00.* to 0.003",
    ),
    "a long warmup": (
        lambda: log(lambda t: cosine(t, warmup=2000, total=9000), warmup_steps=2000),
        "warmup longer than the run: at the end, update 1,000, the lr still rises .* 2,000 updates",
    ),
    "a group": (a_group_at_rest, "one parameter group that never moved: lr/body stayed at 0.0003"),
    "a plateau": (
        plateau_without_losses,
        "a plateau that was never told a loss: .* did not improve for 3[0-9] of 50 evaluations",
    ),
    "a high floor": (
        lambda: log(lambda t: held(t, floor=0.3), min_lr=PEAK / 100, **W),
        "a floor above what was asked: the descent ends at 0.3",
    ),
    "a low floor": (
        lambda: log(lambda t: held(t), min_lr_ratio=0.1, **W),
        "a floor below what was asked: the descent ends at 0 ",
    ),
    "a short warmup": (
        lambda: log(lambda t: held(t, warmup=20), **W),
        "another warmup than asked for: the peak is reached at update 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(name: str) -> None:
    make, expected = FAULTS[name]
    told = audit(make())
    lines = "\n".join(map(str, told.findings))
    if expected:
        assert len(told.findings) == 1, lines
        assert re.match(expected, lines), lines
    else:
        assert not lines


@cache
def settings() -> dict[str, dict[str, Any]]:
    """The config of each schedule of the family."""
    found: Any = {
        name: OmegaConf.to_container(read_choice("scheduler", name)["scheduler"], resolve=True)
        for name in CHOICES
    }
    return found


def clean() -> Iterator[tuple[str, LrLog, Audit]]:
    """Every schedule of the family, with warmup and without, named and unnamed, however logged."""
    rng = np.random.default_rng(0)
    losses = list(2 - np.minimum(np.arange(1, 21), 8) / 10 + rng.normal(0, 0.001, 20))
    for choice, own in settings().items():
        for number, (every, offset, warmup) in enumerate(
            [(1, 0, "0 steps"), (1, 1, "50 steps"), (7, 0, "50 steps"), (50, 1, "0 steps")]
        ):
            node = {**own, **({"warmup": warmup} if warmup != "0 steps" else {})}
            at = [50 * i for i in range(1, 21)]
            schedule = build(node, "scheduler")
            lrs = PEAK * np.array(schedule.factors(TOTAL, EPOCH, losses, at))
            steps = np.arange(every, TOTAL + 1, every)
            logged = lrs[np.minimum(steps - 1 + offset, TOTAL - 1)].astype("float32")
            frame = pd.DataFrame({"step": steps, "epoch": steps / EPOCH, "lr": logged})
            frame = frame.merge(pd.DataFrame({"step": at, "val_loss": losses}), "outer")
            config = {f"scheduler.{k}": v for k, v in flatten(node).items()}
            named = LrLog(history=frame, steps=TOTAL, steps_per_epoch=EPOCH, strategy=choice,
                          config={**config, "optimizer.lr": PEAK})  # fmt: skip
            if number % 2:  # as an importer finds it, without a config
                named = LrLog(history=frame, steps=TOTAL)
            yield f"{choice} every {every}", named, audit(named)
            by_name = {"scheduler.name": choice, "optimizer.lr": PEAK}
            said = LrLog(history=frame, steps=TOTAL, strategy=choice, config=by_name)
            yield f"{choice} by name, every {every}", said, audit(said)


def test_clean_logs_raise_no_alarm() -> None:
    alarms, described, number = [], [], 0
    for name, found, told in clean():
        number += 1
        alarms += [f"{name} {'own' if found.config else 'unnamed'}: {f}" for f in told.findings]
        exact = "scheduler._target_" in found.config
        if exact and told.description != "as its config says":
            described.append(name)
    for floor in np.linspace(0, 0.3, 12):  # with what a Trainer records
        for share in (0.5, 1.0):
            said = {"warmup_steps": 100, "min_lr_ratio": floor, "decay_steps": share * TOTAL}
            told = audit(log(lambda t: held(t, total=share * TOTAL, floor=floor), **said))  # noqa: B023
            number += 1
            alarms += [f"{floor} {share}: {f}" for f in told.findings]
    assert alarms == []
    assert described == []
    assert number >= 100


STEPS = np.arange(1, TOTAL + 1)
OWN_FAULTS = {
    "twice": (np.minimum(2 * (STEPS - 1), TOTAL - 1), "stepped too often"),
    "every fourth": ((STEPS - 1) // 4, "stepped too seldom"),
    "epochs": ((STEPS - 1) // EPOCH, "stepped per epoch, not per update"),
    "never": (0 * STEPS, "an lr that never moved"),
    "again": (np.where(STEPS <= 630, STEPS - 1, STEPS - 631), "restarted on resume"),
}


@pytest.mark.parametrize("fault", OWN_FAULTS)
@pytest.mark.parametrize("choice", ["chain", "cyclic", "onecycle", "piecewise", "warmup_cosine"])
def test_a_fault_of_an_own_schedule_is_named(choice: str, fault: str) -> None:
    node, (at, cause) = settings()[choice], OWN_FAULTS[fault]
    evaluated = [50 * i for i in range(1, 21)]
    losses = [2.0 - i / 100 for i in range(20)]
    factors = np.array(build(node, "scheduler").factors(TOTAL, EPOCH, losses, evaluated))
    frame = pd.DataFrame({"step": STEPS, "lr": (PEAK * factors[at]).astype("float32")})
    frame = frame.merge(pd.DataFrame({"step": evaluated, "val_loss": losses}), "outer")
    config = {f"scheduler.{k}": v for k, v in flatten(node).items()}
    told = audit(LrLog(history=frame, steps=TOTAL, steps_per_epoch=EPOCH, strategy=choice,
                       config={**config, "optimizer.lr": PEAK}))  # fmt: skip
    assert [finding.cause for finding in told.findings] == [cause]


def test_equal_logs_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[LrLog] = []

    def counted(log: LrLog) -> Audit:
        judged.append(log)
        return audit(log)

    monkeypatch.setattr(causes, "audit", counted)
    faulty, other = log(lambda t: held(2 * t), **W), log(held, **W)
    short = LrLog(**{**vars(other), "steps": TOTAL // 2})
    told = list(audit_each([faulty, other, faulty, other, short]))
    assert [bool(each.findings) for each in told[:4]] == [True, False, True, False]
    assert len(judged) == 3
    plateaus = [plateau_without_losses(), plateau_without_losses()]
    plateaus[1].history["val_loss"] = np.linspace(2, 1, len(plateaus[1].history))  # it improves
    assert [len(each.findings) for each in audit_each(plateaus)] == [1, 0]


def test_an_own_run_that_was_stepped_twice_an_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = settings()["onecycle"]
    factors = build(node, "scheduler").factors(TOTAL, EPOCH)
    folder = tmp_path / "runs/a"
    (folder / ".hydra").mkdir(parents=True)
    steps = np.arange(1, TOTAL + 1)
    lrs = [PEAK * factors[min(2 * (step - 1), TOTAL - 1)] for step in steps]
    pd.DataFrame({"step": steps, "lr": lrs}).to_csv(folder / "history.csv", index=False)
    result = {"strategy": "onecycle", "seed": 0, "status": "completed", "steps": TOTAL}
    (folder / "result.json").write_text(json.dumps({**result, "val_loss": 1.0}))
    config = {"scheduler": node, "optimizer": {"lr": PEAK}}
    (folder / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(config))
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 2
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--json"])
    said, _, told = capsys.readouterr().out.partition("{")
    (run,) = json.loads("{" + told)["runs"]
    assert [finding["cause"] for finding in run["findings"]] == ["stepped too often"]
    assert "stepped too often: its lr at update n is that of 2 n: 2 times an update" in said
