"""Flipped bits and cut-off ends in every file: found and named, or without consequence."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any

from faults import Row, forks, kill, processes, same_run
from faults.bombs import Bomb

OF_A_CUT_RUN = (
    "checkpoint.pt",
    "history.csv",
    "events.*",
    ".hydra/config.yaml",
    ".hydra/hydra.yaml",
    ".hydra/overrides.yaml",
)
OF_A_FINISHED_RUN = ("result.json", "history.csv", "events.*", ".hydra/*.yaml")
OF_A_CACHE = ("images", "sums", "meta.json")
OF_A_PARTIAL_CACHE = ("images", "sums", "journal")


def damage(work: Path, count: int, seed: int) -> list[Row]:
    """Damage each kind of file `count` times."""
    forks.warm_up()
    random_ = random.Random(seed)
    arguments = [*kill.arguments("plateau", "mlp", "run"), "trainer.checkpoint_interval_seconds=0"]
    whole, cut = work / "whole", work / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    forks.lrbench(arguments, whole)
    forks.lrbench(arguments, cut, arm=Bomb("update", 250).arm)
    if not (cut / "run" / "checkpoint.pt").exists() or (cut / "run" / "result.json").exists():
        sys.exit("the run was not cut in its middle")
    rows = []
    for kind in OF_A_CUT_RUN:
        row = Row(f"damage: {kind}, then resume")
        for trial in range(count):
            _trial(work, whole, cut, kind, trial, random_, row)
        rows.append(row)
    for kind in OF_A_FINISHED_RUN:
        row = Row(f"damage: {kind}, then compare")
        for trial in range(count):
            _compared(work, whole, kind, trial, random_, row)
        rows.append(row)
    return rows + _caches(work, count, random_)


def hurt(folder: Path, kind: str, random_: random.Random) -> str:
    """Damage a file of `kind`; what was done."""
    path = random_.choice(sorted(folder.glob(kind)))
    data = bytearray(path.read_bytes())
    at = random_.randrange(len(data))
    if random_.random() < 0.25:
        path.write_bytes(data[:at])
        return f"{path.name} cut to {at} of {len(data)} bytes"
    bit = random_.randrange(8)
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return f"{path.name}, bit {bit} of byte {at} of {len(data)}"


def _trial(
    work: Path,
    whole: Path,
    cut: Path,
    kind: str,
    trial: int,
    random_: random.Random,
    row: Row,
) -> None:
    cwd = work / f"trial-{trial}"
    shutil.copytree(cut, cwd)
    done = hurt(cwd / "run", kind, random_)
    name = done.split()[0].strip(",")
    ended = forks.lrbench(["resume=run"], cwd)
    problems = []
    if ended.code == 0:
        problems = same_run(whole / "run", cwd / "run")
    else:
        problems = processes.one_line(ended.said)
        if name not in ended.said and "damaged" not in ended.said:
            problems.append(f"not named: {ended.said[-400:]}")
    _count(row, ended.code != 0, problems, done)
    shutil.rmtree(cwd)


def _compared(
    work: Path, whole: Path, kind: str, trial: int, random_: random.Random, row: Row
) -> None:
    from lrbench.compare.find import find
    from lrbench.compare.read import read

    cwd = work / f"compared-{trial}"
    shutil.copytree(whole, cwd)
    done = hurt(cwd / "run", kind, random_)
    name = done.split()[0].strip(",")
    problems, named = [], False
    try:
        found = read(find([cwd]))
        (former,), (now,) = read(find([whole])).runs, found.runs
        told = " ".join(map(str, found.problems))
        same = _facts(former) == _facts(now)
        named = name in told
        if not named and (not same or name.startswith("events") or name == "result.json"):
            problems.append("not named")
    except ValueError as error:
        named = name in str(error)
        problems = [] if named else [f"not named: {error}"]
    _count(row, named, problems, done)
    shutil.rmtree(cwd)


def _facts(run: Any) -> tuple[Any, ...]:
    history = None if run.history is None else run.history.to_csv()
    return run.config, run.choices, run.result, history


def _count(row: Row, named: bool, problems: list[str], done: str) -> None:
    row.add(problems, done)
    told = int(row.remark.split()[0]) if row.remark else 0
    row.remark = f"{told + named} named, {row.tried - told - named} without consequence"


def _caches(work: Path, count: int, random_: random.Random) -> list[Row]:
    images = kill.image_folder(work / "images", 40)
    base = work / "cached"
    base.mkdir()
    arguments = kill.decode_arguments(images)
    ended = forks.lrbench(arguments, base)
    if ended.code:
        sys.exit(ended.said)
    partial = work / "partial"
    partial.mkdir()
    forks.lrbench(arguments, partial, arm=Bomb("decoding", 31).arm)
    if not list(partial.glob("cache/*/*.partial/journal")):
        sys.exit("decoding was not cut in its middle")
    rows = []
    for source, kinds in ((base, OF_A_CACHE), (partial, OF_A_PARTIAL_CACHE)):
        for kind in kinds:
            where = "decoded images" if source is base else "half-decoded images"
            row = Row(f"damage: {where}, {kind}")
            for trial in range(count):
                cwd = work / f"cache-{trial}"
                shutil.copytree(source, cwd)
                shutil.rmtree(cwd / "run", ignore_errors=True)
                done = hurt(cwd / "cache", f"*/*/{kind}", random_)
                small_chunks = Bomb("decoding", count=work / "count").arm
                ended = forks.lrbench(arguments, cwd, arm=small_chunks)
                named = "damaged" in ended.said
                problems = [] if ended.code == 0 else [ended.said[-400:]]
                problems += same_run(base / "run", cwd / "run")
                _count(row, named, problems, done)
                shutil.rmtree(cwd)
            rows.append(row)
    return rows
