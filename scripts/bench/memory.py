"""Peak memory of a run and of a bare loop: python scripts/bench/memory.py [MODEL ...]

Each in a fresh process, from import to end: the run with its dataset, records, evaluations and a
checkpoint; the bare loop on four batches made beforehand.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import statistics
import sys
import tempfile
from pathlib import Path

from common import JOBS, heading, spread, table, train
from overhead import STEPS, bare

from lrbench.run.checkpoint import save_checkpoint

IMAGES = 20_000  # of the dataset, whose bytes the goal allows for


def peak(case: str, model: str) -> tuple[float, float]:
    """MiB at most resident in this process after `case`, and MiB of the dataset."""
    job = JOBS[model]
    num_images = IMAGES if case == "lrbench" else 4 * job.batch_size + 100
    data = job.data(num_images)
    if case == "lrbench":
        loop = job.loop(data, STEPS[model])
        train(loop)
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder) / "checkpoint.pt", {"model": loop.model.state_dict()})
    else:
        bare(job, data, STEPS[model])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    images = len(data.train) + len(data.val) + len(data.test)
    size = images * math.prod(data.examples.inputs)
    return used / (2**20 if sys.platform == "darwin" else 2**10), size / 2**20


def main(models: list[str], repeats: int) -> None:
    """Print a line per model."""
    heading(f"Peak memory in MiB, medians of {repeats} [extremes]")
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for model in models:
            found: dict[str, list[float]] = {"bare": [], "lrbench": []}
            for _ in range(repeats):
                for case, peaks in found.items():
                    used, dataset = pool.apply(peak, (case, model))
                    peaks.append(used)
            bare_peak, ours = (statistics.median(peaks) for peaks in found.values())
            told = [
                JOBS[model].name,
                *(spread(peaks, ",.0f") for peaks in found.values()),
                f"{dataset:,.0f}",
                f"{(ours - dataset) / bare_peak:.2f}",
            ]
            rows.append(told)
    table(["job", "bare loop", "lrbench", "dataset", "(lrbench - dataset) / bare"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(JOBS), help=f"of {', '.join(JOBS)}")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    main(arguments.models, arguments.repeats)
