"""Sweeps that are killed again and again, by Hydra's own launcher and by joblib's."""

from __future__ import annotations

import csv
import itertools
import json
import random
import shutil
import signal
import time
from pathlib import Path

from faults import Row, forks, processes, same_run

TIMED = ("seconds", "units_per_second")  # columns of runs.csv


def sweep(work: Path, count: int, seed: int) -> list[Row]:
    """A sweep killed `count` times at random moments; its report must equal an undisturbed one's.

    And the same with two processes of joblib's, whose workers outlive the kill.
    """
    forks.warm_up(sweeps=True)
    random_ = random.Random(seed)
    whole = forks.lrbench(_arguments("sweep"), _cwd(work / "whole"))
    if whole.code:
        return [_failed(whole.said)]
    row = Row("kill: sweep, one process")
    cwd = _cwd(work / "cut")
    problems = []
    while row.tried < count and len(list(cwd.rglob("result.json"))) < 8:
        # So that the sweep ends at about the last kill; half a second passes before it begins.
        after = 0.5 + random_.uniform(0, 1.6 * whole.seconds / count)
        ended = forks.lrbench(_arguments("sweep"), cwd, kill_after=after)
        if ended.code > 0:
            problems.append(f"kill {row.tried}: {ended.said[-600:]}")
        row.tried += ended.killed
    done = forks.lrbench(_arguments("sweep"), cwd)
    if done.code:
        problems.append(done.said[-600:])
    problems += same_sweep(work / "whole" / "sweep", cwd / "sweep")
    late = Row("kill: sweep, during its comparison")
    for number in range(count):
        for name in ("report.html", "report.md", "runs.csv"):
            (cwd / "sweep" / name).unlink(missing_ok=True)
        after = random_.uniform(0.6, done.seconds)
        ended = forks.lrbench(_arguments("sweep"), cwd, kill_after=after)
        late.tried += ended.killed
        if ended.code > 0:
            problems.append(f"kill {number} of a done sweep: {ended.said[-600:]}")
    forks.lrbench(_arguments("sweep"), cwd)
    late_problems = same_sweep(work / "whole" / "sweep", cwd / "sweep")
    for counted, found in ((row, problems), (late, late_problems)):
        counted.survived = 0 if found else counted.tried
        counted.lost = found
    return [row, late, _joblib(work, count, random_)]


def _joblib(work: Path, count: int, random_: random.Random) -> Row:
    """Workers that have begun a job must end with their parent.

    Those that still wait for their first know nothing of lrbench; joblib ends them after 300 s.
    """
    row = Row("kill: sweep, joblib's parent alone")
    extra = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    cwd = _cwd(work / "joblib")
    orphans, idlers = 0, 0
    problems: list[str] = []
    for number in range(count):
        process = processes.start([*_arguments("sweep"), *extra], cwd)
        time.sleep(random_.uniform(2, 9))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)  # the parent alone
            row.tried += 1
        elif process.returncode:
            problems.append(f"kill {number}: {(cwd / 'said').read_text()[-600:]}")
        process.wait()
        orphans += any(_workers(pid) for pid in processes.of_session(process.pid))
        if number % 2 and not processes.wait_until_gone(process.pid, 5):  # else go on at once
            if processes.works(process.pid):
                problems.append(f"kill {number}: workers outlive their parent")
            idlers += 1
            processes.end_session(process.pid)
    problems += processes.finish([*_arguments("sweep"), *extra], cwd)
    problems += same_sweep(work / "whole" / "sweep", cwd / "sweep")
    row.remark = f"{orphans} times with workers at work, {idlers} with idle ones left"
    row.survived = 0 if problems else row.tried
    row.lost = problems
    return row


def _workers(pid: int) -> bool:
    try:
        return b"loky" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _arguments(folder: str) -> list[str]:
    """Two schedules on four seeds."""
    return [
        "-m",
        "scheduler=cosine,plateau",
        "seed=range(4)",
        "model=mlp",
        "trainer.length=12 epochs",
        "trainer.checkpoint_interval_seconds=0.05",
        f"hydra.sweep.dir={folder}",
    ]


def _cwd(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _failed(said: str) -> Row:
    return Row("sweep", tried=1, lost=[f"the undisturbed sweep failed: {said[-800:]}"])


def same_sweep(whole: Path, other: Path) -> list[str]:
    """What differs between two sweeps: runs, tables and words, timing aside."""
    runs = [sorted(p.parent.relative_to(f) for p in f.rglob("result.json")) for f in (whole, other)]
    if runs[0] != runs[1]:
        return [f"{other} has {len(runs[1])} runs of {len(runs[0])}"]
    problems = [f"{name}: {p}" for name in runs[0] for p in same_run(whole / name, other / name)]
    tables = []
    for folder in (whole, other):
        try:
            with (folder / "runs.csv").open() as file:
                rows = [
                    {k: v for k, v in r.items() if k not in TIMED} for r in csv.DictReader(file)
                ]
            words = (folder / "report.md").read_text().splitlines()
        except OSError as error:
            return [*problems, str(error)]
        tables.append((rows, _untimed(words)))
    if tables[0][0] != tables[1][0]:
        problems.append("runs.csv differs")
    if tables[0][1] != tables[1][1]:
        pairs = zip(tables[0][1], tables[1][1], strict=False)
        different = next((f"{a!r} / {b!r}" for a, b in pairs if a != b), "its length")
        problems.append(f"report.md differs: {different}")
    return problems


def _untimed(words: list[str]) -> list[str]:
    """report.md without the two timed columns that end its table of results."""
    found, drop = [], False
    for line in words:
        drop = (drop or line.endswith("| seconds | images/s |")) and line.startswith("|")
        found.append("|".join(line.split("|")[:-3]) if drop else line)
    return found


def long(work: Path, count: int, seed: int) -> list[Row]:
    """`count` short runs in one sweep's process: memory, open files and time per run."""
    del seed
    forks.warm_up(sweeps=True)
    log = work / "measured.jsonl"
    arguments = [
        "-m",
        "scheduler=cosine",
        f"seed=range({count})",
        "model=mlp",
        "trainer.length=1 epoch",
        "hydra.sweep.dir=sweep",
    ]

    def measure() -> None:
        import lrbench.__main__
        from lrbench.run.run import run as real

        def run(*args: object, **kwargs: object) -> object:
            result = real(*args, **kwargs)  # type: ignore[arg-type]
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            handles = len(list(Path("/proc/self/fd").iterdir()))
            with log.open("a") as file:
                file.write(json.dumps([time.monotonic(), pages * 4096, handles]) + "\n")
            return result

        vars(lrbench.__main__)["run"] = run

    ended = forks.lrbench(arguments, work, arm=measure)
    row = Row(f"long: {count} runs in one process", tried=count)
    measured = [json.loads(line) for line in log.read_text().splitlines()]
    row.survived = sum(1 for _ in (work / "sweep").rglob("result.json"))
    times = [b[0] - a[0] for a, b in itertools.pairwise(measured)]
    print(f"    {'runs':>5} {'MiB':>7} {'files':>6} {'median s':>9}")
    every = max(1, count // 10)
    blocks = []
    for end in range(every, len(measured) + 1, every):
        middle = sorted(times[max(0, end - every - 1) : end - 1] or [0.0])
        blocks.append(
            (measured[end - 1][1] / 2**20, measured[end - 1][2], middle[len(middle) // 2])
        )
        print(
            f"    {end:5} {blocks[-1][0]:7.1f} {blocks[-1][1]:6} {blocks[-1][2]:9.3f}", flush=True
        )
    if ended.code or row.survived < count:
        row.lost.append(ended.said[-800:])
    growth = blocks[-1][0] / blocks[0][0] - 1
    row.remark = f"memory {growth:+.1%}, time {blocks[-1][2] / max(blocks[0][2], 1e-9) - 1:+.0%}"
    if growth > 0.05:
        row.lost.append(f"memory grows by {growth:.1%}")
    if blocks[-1][1] > blocks[0][1]:
        row.lost.append(f"open files grow from {blocks[0][1]} to {blocks[-1][1]}")
    shutil.rmtree(work / "sweep")
    return [row]
