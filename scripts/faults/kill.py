"""Kill anywhere: SIGKILL at random moments of runs of the four strategies, and of decoding."""

from __future__ import annotations

import random
import shutil
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from faults import Row, forks, processes, same_run
from faults.bombs import Bomb

STRATEGIES = ("cosine", "warmup_decay", "onecycle", "plateau")
INTERVALS = ("0", "0.05", "60")  # between checkpoints, in seconds; 60 is the default
MODELS = ("mlp", "resnet8")
MOMENTS = ("start-up", "update", "evaluation", "recording", "checkpoint", "result", "at random")


def arguments(strategy: str, model: str, folder: str) -> list[str]:
    """A run of 60 updates, recorded at every second and evaluated at every seventh."""
    return [
        f"scheduler={strategy}",
        f"model={model}",
        "trainer.length=60 steps",
        "trainer.eval_interval=7 steps",
        "trainer.log_interval=2 steps",
        "trainer.eval_batch_size=64",
        *(["scheduler.patience=0"] if strategy == "plateau" else []),
        f"hydra.run.dir={folder}",
    ]


def kill(work: Path, count: int, seed: int, *, strategy: str) -> list[Row]:
    """`count` kills, several a run; then the run must equal an undisturbed one."""
    forks.warm_up()
    random_ = random.Random(seed)
    rows = {moment: Row(f"kill {strategy}: {moment}") for moment in MOMENTS}
    for model in MODELS:
        _whole(work, strategy, model)
    passings = {m: _passings(work, strategy, m) for m in MOMENTS[:-1]}
    killed = trial = 0
    while killed < count:
        trial += 1
        chain = _chain(work, strategy, trial, count - killed, passings, random_, rows)
        killed += len(chain)
    return list(rows.values())


def _whole(work: Path, strategy: str, model: str) -> None:
    ended = forks.lrbench(
        [*arguments(strategy, model, f"whole-{strategy}-{model}"), _interval("60")], work
    )
    if ended.code:
        sys.exit(f"the undisturbed run failed: {ended.said}")


def _interval(seconds: str) -> str:
    return f"trainer.checkpoint_interval_seconds={seconds}"


def _passings(work: Path, strategy: str, phase: str) -> int:
    """How many points of `phase` an undisturbed run passes."""
    count = work / "count"
    bomb = Bomb(phase, count=count)
    count.write_text("0")
    forks.lrbench(
        [*arguments(strategy, "mlp", f"count-{strategy}"), _interval("0")], work, arm=bomb.arm
    )
    shutil.rmtree(work / f"count-{strategy}")
    return int(count.read_text())


def _chain(
    work: Path,
    strategy: str,
    trial: int,
    limit: int,
    passings: dict[str, int],
    random_: random.Random,
    rows: dict[str, Row],
) -> list[str]:
    """One run, killed up to five times and then left alone; the moments at which it was."""
    model, interval = random_.choice(MODELS), random_.choice(INTERVALS)
    name = f"{strategy}-{trial}"
    command = [*arguments(strategy, model, name), _interval(interval)]
    kills: list[str] = []
    wanted = min(random_.randint(1, 5), limit)
    problems: list[str] = []
    again = command
    while len(kills) < wanted:
        moment = random_.choice(MOMENTS)
        if moment == "at random":
            ended = forks.lrbench(again, work, kill_after=random_.uniform(0, 1.2))
        else:
            fuse = random_.randint(1, max(1, passings[moment]))
            ended = forks.lrbench(again, work, arm=Bomb(moment, fuse).arm)
        if ended.killed:
            kills.append(moment)
        elif ended.code:
            problems.append(f"{' '.join(again)}: exit code {ended.code}: {ended.said[-600:]}")
            break
        elif moment != "result":  # it was never reached, and the run is done: nothing left to kill
            break
        again = _again(work / name, command, random_)
    if not problems:
        ended = forks.lrbench(_again(work / name, command, random_), work)
        if ended.code:
            problems.append(f"exit code {ended.code} at the end: {ended.said[-600:]}")
        else:
            problems = same_run(_undisturbed(work, strategy, model, interval), work / name)
    for moment in kills or ["at random"]:
        if kills:
            rows[moment].tried += 1
            rows[moment].survived += not problems
    if problems:
        where = f"{name} ({model}, interval {interval}, killed at {', '.join(kills)})"
        rows[(kills or ["at random"])[-1]].lost += [f"{where}: {problem}" for problem in problems]
    else:
        shutil.rmtree(work / name)
    return kills


def _undisturbed(work: Path, strategy: str, model: str, interval: str) -> Path:
    """The run to compare with; its config tells of the interval, which changes no number."""
    whole = work / f"whole-{strategy}-{model}"
    other = work / f"whole-{strategy}-{model}-{interval}"
    if not other.exists():
        ended = forks.lrbench([*arguments(strategy, model, other.name), _interval(interval)], work)
        assert ended.code == 0, ended.said
        differences = set(same_run(whole, other)) - {"result.json differs"}
        assert differences == {"the final weights differ"} or not differences, differences
    return other


def _again(folder: Path, command: list[str], random_: random.Random) -> list[str]:
    """Either of the two ways to go on: ``resume=`` where there is something to, or the command."""
    if (folder / ".hydra" / "config.yaml").exists() and random_.random() < 0.5:
        return [f"resume={folder.name}"]
    return command


def kill_processes(work: Path, count: int, seed: int) -> list[Row]:
    """The same with whole processes, from their first moment on: `count` kills in all."""
    random_ = random.Random(seed)
    row = Row("kill: real processes, from their start on")
    for strategy in STRATEGIES:
        whole = [*arguments(strategy, "mlp", f"process-{strategy}"), _interval("0.05")]
        began = time.perf_counter()
        problems = processes.finish(whole, work)
        length = time.perf_counter() - began
        if problems:
            sys.exit(problems[0])
        for number in range(-(-count // len(STRATEGIES))):
            name = f"process-{strategy}-{number}"
            command = [*arguments(strategy, "mlp", name), _interval("0.05")]
            process = processes.start(command, work)
            time.sleep(random_.uniform(0, length))
            process.kill()
            process.wait()
            problems = processes.finish(command, work)
            row.add(problems + same_run(work / f"process-{strategy}", work / name), name)
    return [row]


def decode(work: Path, count: int, seed: int) -> list[Row]:
    """`count` kills while an image folder's JPEGs are decoded, then the cache must be sound."""
    forks.warm_up()
    random_ = random.Random(seed)
    rows = [Row("kill: decoding"), Row("kill: decoding, two processes")]
    arguments = decode_arguments(image_folder(work / "images", 40))
    whole = work / "whole"
    whole.mkdir()
    counted = Bomb("decoding", count=work / "count")
    ended = forks.lrbench(arguments, whole, arm=counted.arm)
    if ended.code:
        sys.exit(f"the undisturbed run failed: {ended.said}")
    points = int((work / "count").read_text())
    trial = 0
    while rows[0].tried < count:
        trial += 1
        cwd = work / f"decode-{trial}"
        cwd.mkdir()
        kills, problems = 0, []
        for _ in range(random_.randint(1, 5)):
            fuse = random_.randint(1, points)
            ended = forks.lrbench(arguments, cwd, arm=Bomb("decoding", fuse).arm)
            kills += ended.killed
            if ended.code > 0:
                problems.append(ended.said[-600:])
        calm = Bomb("decoding", count=work / "count")  # for chunks of the same size
        ended = forks.lrbench(arguments, cwd, arm=calm.arm)
        if ended.code:
            problems.append(ended.said[-600:])
        problems += same_run(whole / "run", cwd / "run")
        problems += same_cache(whole / "cache", cwd / "cache")
        rows[0].tried += kills
        rows[0].survived += kills if not problems else 0
        rows[0].lost += [f"{cwd.name}: {problem}" for problem in problems]
    _kill_decoding_processes(work, max(2, count // 10), random_, rows[1])
    return rows


def image_folder(root: Path, per_class: int) -> Path:
    """Ten classes of JPEGs of noise, 32 × 32 pixels: `per_class` for training, 10 for the test."""
    noise = np.random.default_rng(0)
    for split, count in (("train", per_class), ("test", 10)):
        for label in range(10):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number:04}.jpg")
    return root


def decode_arguments(images: Path) -> list[str]:
    """A short run on `images`, with its cache beside its folder."""
    return [
        "dataset=imagefolder",
        f"dataset.root={images}",
        "dataset.cache=cache",
        "model=mlp",
        "trainer.length=20 steps",
        "hydra.run.dir=run",
    ]


def same_cache(whole: Path, other: Path) -> list[str]:
    """Whether two caches of the same images hold the same bytes, and nothing else."""

    def content(cache: Path) -> dict[str, bytes]:
        return {
            str(path.relative_to(cache)): path.read_bytes()
            for path in cache.rglob("*")
            if path.is_file()
        }

    return [] if content(whole) == content(other) else [f"{other} differs from {whole}"]


def _kill_decoding_processes(work: Path, count: int, random_: random.Random, row: Row) -> None:
    """Decoding in several processes: killed, none of them may outlive it."""
    arguments = decode_arguments(image_folder(work / "more-images", 500))
    whole = work / "pool-whole"
    whole.mkdir()
    problems = processes.finish(arguments, whole)
    if problems:
        sys.exit(problems[0])
    for number in range(count):
        cwd = work / f"pool-{number}"
        cwd.mkdir()
        process = processes.start(arguments, cwd)
        while process.poll() is None and not list(cwd.rglob("journal")):
            time.sleep(0.01)
        time.sleep(random_.uniform(0, 2.5))
        process.kill()
        process.wait()
        problems = []
        if not processes.wait_until_gone(process.pid, 5):
            problems.append("processes outlive the kill")
            processes.end_session(process.pid)
        problems += processes.finish(arguments, cwd)
        problems += same_run(whole / "run", cwd / "run")
        problems += same_cache(whole / "cache", cwd / "cache")
        row.add(problems, cwd.name)
