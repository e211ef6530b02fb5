"""Signals: Ctrl-C, SIGTERM, a second Ctrl-C, and the preemption of a cluster's job."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from faults import Row, kill, processes, same_run

PREEMPTED = ["-m", "scheduler=cosine", "seed=0", "hydra/launcher=submitit_local"]


def signals(work: Path, count: int, seed: int) -> list[Row]:
    """`count` times each signal at a random moment, then the run must end as an undisturbed one."""
    random_ = random.Random(seed)
    rows = []
    whole = work / "whole"
    problems = processes.finish(_arguments("whole"), work)
    if problems:
        return [Row("signals", tried=1, lost=problems)]
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        row = Row(f"signal: {number.name}, exit code {code}")
        slowest = 0.0
        for trial in range(count):
            name = f"{number.name}-{trial}"
            process = processes.start(_arguments(name), work)
            _until_training(work / name)
            time.sleep(random_.uniform(0, 0.8))
            began = time.monotonic()
            process.send_signal(number)
            ended = process.wait()
            slowest = max(slowest, time.monotonic() - began)
            said = (work / "said").read_text()
            problems = [] if ended == code else [f"exit code {ended}: {said[-500:]}"]
            if "Traceback" in said:
                problems.append(said[-500:])
            problems += processes.finish([f"resume={name}"], work)
            row.add(problems + same_run(whole, work / name), name)
        row.remark = f"gone within {slowest:.2f} s"
        rows.append(row)
    rows.append(_second(work, count))
    rows.append(_preempted(work, count, random_))
    return rows


def _arguments(folder: str) -> list[str]:
    return [
        *kill.arguments("plateau", "resnet8", folder),
        "trainer.length=200 steps",
        "trainer.checkpoint_interval_seconds=60",
    ]


def _until_training(folder: Path) -> None:
    """Wait for the first record of a run."""
    history = folder / "history.csv"
    until = time.monotonic() + 60
    while not list(folder.glob("events.*")) or not history.exists():
        if time.monotonic() > until:
            raise TimeoutError(f"{folder} does not begin to train")
        time.sleep(0.02)


def _second(work: Path, count: int) -> Row:
    """A second Ctrl-C while the first one's checkpoint is far off: in one endless update."""
    row = Row("signal: a second Ctrl-C ends at once")
    for trial in range(count):
        name = f"second-{trial}"
        # One update of this size takes seconds.
        slow = ["model=resnet110", "trainer.batch_size=1200", f"hydra.run.dir={name}"]
        process = processes.start(slow, work)
        _until_training(work / name)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        problems = [] if process.poll() is None else ["the first one did not wait for the update"]
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait()
        took = time.monotonic() - began
        if code != -signal.SIGINT or took > 0.5:
            problems.append(f"exit code {code} after {took:.2f} s")
        row.add(problems, name)
    return row


def _preempted(work: Path, count: int, random_: random.Random) -> Row:
    """submitit's signal, twice a job: each time it saves, is put in the queue again and goes on."""
    row = Row("signal: submitit's preemption requeues")
    settings = [a for a in _arguments("x") if not a.startswith(("scheduler", "hydra"))]
    whole = [*PREEMPTED, *settings, "hydra.sweep.dir=preempted-whole"]
    problems = processes.finish(whole, work)
    if problems:
        return Row(row.fault, tried=1, lost=problems)
    for trial in range(count):
        sweep = work / f"preempted-{trial}"
        run = sweep / "cosine" / "seed=0"
        command = [*PREEMPTED, *settings, f"hydra.sweep.dir={sweep.name}"]
        process = processes.start(command, work)
        problems = []
        for _ in range(2):
            _until_training(run)
            before = set(run.glob("events.*"))
            time.sleep(random_.uniform(0, 0.3))
            _signal_job(process.pid)
            until = time.monotonic() + 60
            while set(run.glob("events.*")) <= before and not (run / "result.json").exists():
                if time.monotonic() > until or process.poll() is not None:
                    break
                time.sleep(0.02)
        code = process.wait()
        said = (work / "said").read_text()
        if code:
            problems.append(f"exit code {code}: {said[-500:]}")
        log = run / "lrbench.log"
        saves = log.read_text().count("SIGUSR2: stopped after update") if log.exists() else 0
        resumed = log.read_text().count("resumed    after update") if log.exists() else 0
        if not saves or resumed != saves:
            problems.append(f"saved {saves} times, resumed {resumed} times")
        problems += same_run(work / "preempted-whole" / "cosine" / "seed=0", run)
        row.add(problems, sweep.name)
    return row


def _signal_job(session: int) -> None:
    """What `LocalJob._interrupt` does: the signal goes to the process that minds the job."""
    for pid in processes.of_session(session):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"submitit.core._submit" in command:
            os.kill(pid, signal.SIGUSR2)
