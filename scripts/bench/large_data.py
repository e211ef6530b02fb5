"""Images larger than the memory against the same in memory: python scripts/bench/large_data.py

Generates JPEGs, has them decoded (one core, killed, then gone on with on all cores), and trains on
them: in memory, and in a control group whose limit is below the decoded images' size, so that they
stream from the mapped file. Needs root and Linux's control groups (either version) for the limit.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import Job, heading, interleaved, spread, table, train
from PIL import Image

CLASSES = 10
NUM_TEST = 1000  # images; few, since evaluations are not what is measured
VAL_FRACTION = 0.005
ONE_CORE_SHARE = 0.1  # of the images, decoded by one core before the kill
MEASURED_SHARE = 0.8  # of the images: so far all cores are timed, before the files are synced
JOB = Job("lenet", "imagefolder", 64, lr=0.01)
WARM_UP = 200  # updates; meanwhile every chunk of the cache is checked
UPDATES = 1000


def write_class(root: Path, label: int, num_train: int, side: int) -> None:
    """One class of JPEGs: smooth noise, which compresses about as photographs do."""
    noise = np.random.default_rng(label)
    for split, count in (("train", num_train), ("test", NUM_TEST // CLASSES)):
        folder = root / split / f"class_{label}"
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(
                buffer, "JPEG"
            )
            (folder / f"{number:06}.jpg").write_bytes(buffer.getvalue())


def settings(work: Path) -> dict[str, Any]:
    """The dataset's settings."""
    cache = str(work / "cache")
    return {"root": str(work / "images"), "cache": cache, "val_fraction": VAL_FRACTION}


def start(work: Path, task: str, group: Path | None = None) -> subprocess.Popen[str]:
    """This script in a process of its own, in the control group `group`."""

    def join() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

    return subprocess.Popen(
        [sys.executable, __file__, "--task", task, "--work", str(work)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=join,
    )


def journal_lines(work: Path) -> int:
    """Chunks that are decoded so far."""
    journals = list((work / "cache").glob("*/*.partial/journal"))
    return len(journals[0].read_text().splitlines()) if journals else 0


def decode(work: Path, num_images: int, chunk_images: int) -> None:
    """Decode, killed once; print how fast on one core and on all."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    process = start(work, "decode")
    os.sched_setaffinity(0, cores)
    while journal_lines(work) == 0:
        time.sleep(0.01)
    began, first = time.perf_counter(), journal_lines(work)
    while journal_lines(work) * chunk_images < ONE_CORE_SHARE * num_images:
        time.sleep(0.01)
    at_kill = journal_lines(work)
    one = (at_kill - first) * chunk_images / (time.perf_counter() - began)
    process.kill()
    process.wait()
    process = start(work, "decode")
    while journal_lines(work) <= at_kill:
        time.sleep(0.01)
    began, first = time.perf_counter(), journal_lines(work)
    while journal_lines(work) * chunk_images < MEASURED_SHARE * num_images:
        time.sleep(0.01)
    several = (journal_lines(work) - first) * chunk_images / (time.perf_counter() - began)
    process.wait()
    print(
        f"decoded {num_images:,} images: 1 core {one:,.0f} images/s; killed after "
        f"{at_kill * chunk_images:,}, gone on with {len(cores)} cores at {several:,.0f} images/s "
        f"({several / one:.2f} ×)",
        flush=True,
    )


@contextmanager
def limited(num_bytes: int) -> Iterator[Path]:
    """A control group, of whichever version is mounted, whose processes get so much memory."""
    group, limit = Path("/sys/fs/cgroup"), "memory.max"
    if (group / "memory").is_dir():
        group, limit = group / "memory", "memory.limit_in_bytes"
    group /= f"lrbench-bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / limit).write_text(str(num_bytes))
        yield group
    finally:
        group.rmdir()


def measure(work: Path, group: Path | None = None) -> float:
    """Images per second of training in a process of its own."""
    for path in (work / "cache").rglob("images"):  # what an earlier process left in memory
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    process = start(work, "train", group)
    said, _ = process.communicate()
    if process.returncode:
        sys.exit(f"training failed with exit code {process.returncode}: {said}")
    placement, speed = said.split()
    assert placement == ("device" if group is None else "mmap"), placement
    return float(speed)


def main(work: Path, num_images: int, side: int, limit: int, repeats: int) -> None:
    """Generate, decode, train; print a line for each."""
    heading(f"{num_images:,} images of {side} × {side} pixels, {JOB.name}, {UPDATES} updates")
    if not (work / "cache").exists():
        num_train = (num_images - NUM_TEST) // CLASSES
        with ProcessPoolExecutor() as pool:
            jobs = [
                pool.submit(write_class, work / "images", label, num_train, side)
                for label in range(CLASSES)
            ]
            for job in jobs:
                job.result()
        decode(work, num_images, 2**20 // (3 * side**2))
    size = sum(path.stat().st_size for path in (work / "cache").rglob("images"))
    with limited(limit) as group:
        found = interleaved(
            {"in memory": lambda: measure(work), "streamed": lambda: measure(work, group)}, repeats
        )
    ratios = [b / a for a, b in zip(*found.values(), strict=True)]
    rows = [[name, spread(speeds, ",.0f")] for name, speeds in found.items()]
    print(f"decoded {size / 2**20:,.0f} MiB, memory limit {limit / 2**20:,.0f} MiB\n")
    table(["", "images/s"], [*rows, ["ratio", f"{statistics.median(ratios):.2f}"]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--side", type=int, default=64, help="pixels")
    parser.add_argument("--limit", type=int, default=2048, help="MiB of memory when streaming")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--task", choices=["decode", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help="a folder to keep the images in, for later calls")
    given = parser.parse_args()
    if given.task == "decode":
        JOB.data(**settings(given.work))
    elif given.task == "train":
        data = JOB.data(**settings(given.work))
        steps = WARM_UP + UPDATES
        seconds = train(JOB.loop(data, steps, eval_interval="100%"), WARM_UP)
        print(data.placement, UPDATES * JOB.batch_size / seconds)
    else:
        with tempfile.TemporaryDirectory(prefix="lrbench-large-") as folder:
            work = given.work or Path(folder)
            main(work, given.images, given.side, given.limit * 2**20, given.repeats)
