"""One run in two processes against one process: python scripts/bench/ddp.py [MODEL]

Images per second of the same updates (same global batch, same results within float error), in the
ways that two CPU cores can be used. Random images of the dataset's size; evaluations not counted;
eager, since several processes on a CPU do not compile by default.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys

from common import CPU, JOBS, heading, interleaved, spread, table, train

from lrbench.trainer import distributed

WAYS = {  # processes, threads of each
    "1 process × 1 thread": (1, 1),
    "1 process × 2 threads": (1, 2),
    "2 processes × 1 thread": (2, 1),
}
WARM_UP = 2  # updates before those that count


def train_here(model: str, num_steps: int) -> None:
    """Train in this process, as one of however many; the first prints images per second."""
    job = JOBS[model]
    data = job.data(20 * job.batch_size)
    with distributed.connected(CPU):
        train(job.loop(data, WARM_UP, eval_interval="100%", compile=False))
        seconds = train(job.loop(data, num_steps, eval_interval="100%", compile=False))
    if distributed.rank() == 0:
        print(num_steps * job.batch_size / seconds)


def measure(model: str, num_steps: int, processes: int, threads: int) -> float:
    """Images per second of that many processes, started as torchrun would start them."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment["WORLD_SIZE"] = str(processes)
    started = [
        subprocess.Popen(
            [sys.executable, __file__, model, "--steps", str(num_steps), "--here"],
            env=environment | ({"RANK": str(rank)} if processes > 1 else {}),
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        sys.exit("a process failed")
    return float(said[0])


def main() -> None:
    """Print a row per way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", nargs="?", default="lenet", choices=("lenet",))  # no BatchNorm
    parser.add_argument("--steps", type=int, default=15, help="updates that count")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--here", action="store_true", help="be one of the processes")
    arguments = parser.parse_args()
    model, num_steps = arguments.model, arguments.steps
    if arguments.here:
        train_here(model, num_steps)
        return
    heading(f"{JOBS[model].name}: {num_steps} updates, median of {arguments.repeats} [range]")
    speeds = interleaved(
        {way: lambda n=n: measure(model, num_steps, *n) for way, n in WAYS.items()},  # type: ignore[misc]
        arguments.repeats,
    )
    first = statistics.median(next(iter(speeds.values())))
    rows = [
        [way, spread(found, ",.0f"), f"{statistics.median(found) / first:.2f}"]
        for way, found in speeds.items()
    ]
    table(["", "images/s", "ratio"], rows)


if __name__ == "__main__":
    main()
