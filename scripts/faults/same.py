"""Determinism: the same command gives the same history, whoever decodes and launches."""

from __future__ import annotations

import os
from pathlib import Path

from faults import Row, forks, kill, processes, same_run
from faults.kill import same_cache


def same(work: Path, count: int, seed: int) -> list[Row]:
    """`count` repetitions of each kind of command."""
    del seed
    rows = [_launchers(work), _decoders(work)]
    forks.warm_up()
    twice = Row("same: the command again")
    for strategy in kill.STRATEGIES:
        for model in kill.MODELS:
            for trial in range(count):
                name = f"{strategy}-{model}"
                ended = forks.lrbench(kill.arguments(strategy, model, f"{name}-{trial}"), work)
                problems = [ended.said[-600:]] if ended.code else []
                twice.add(problems + same_run(work / f"{name}-0", work / f"{name}-{trial}"), name)
    return [twice, *rows]


def _launchers(work: Path) -> Row:
    row = Row("same: launchers")
    sweep = [
        "-m",
        "scheduler=cosine,plateau",
        "seed=0,1",
        "model=resnet8",
        "trainer.length=40 steps",
    ]
    for launcher in ("basic", "joblib", "submitit_local"):
        folder = f"launched-{launcher}"
        arguments = [*sweep, f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}"]
        problems = processes.finish(arguments, work)
        runs = [
            p.parent.relative_to(work / "launched-basic")
            for p in (work / "launched-basic").rglob("result.json")
        ]
        problems += [] if len(runs) == 4 else [f"{len(runs)} runs"]
        for run in runs:
            problems += same_run(work / "launched-basic" / run, work / folder / run)
        row.add(problems, launcher)
    return row


def _decoders(work: Path) -> Row:
    """Images decoded by one process and by one per core."""
    row = Row("same: decoded by 1 and by 2 processes")
    images = kill.image_folder(work / "images", 500)
    cores = sorted(os.sched_getaffinity(0))
    for number in sorted({1, min(2, len(cores))}):
        name = f"decoded-{number}"
        (work / name).mkdir()
        os.sched_setaffinity(0, set(cores[:number]))
        try:
            problems = processes.finish(kill.decode_arguments(images), work / name)
        finally:
            os.sched_setaffinity(0, set(cores))
        if number > 1:
            problems += same_run(work / "decoded-1" / "run", work / name / "run")
            problems += same_cache(work / "decoded-1" / "cache", work / name / "cache")
        row.add(problems, name)
    return row
