"""Layout, compilation and precision, per model: python scripts/bench/layout.py [MODEL ...]

Updates of the same batches in turns, and what compiling takes before the first update (with an
empty cache: set TORCHINDUCTOR_CACHE_DIR to keep one; --eager leaves compiling out). Any model can
be named; it gets images of 32 px if no other benchmark has it. ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16,
or AVX512_CORE or AVX2, in the environment shows a lesser processor.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from common import JOBS, Job, heading, interleaved, spread, table

CASES = {
    f"{layout}, {'compiled' if compiled else 'eager'}, {precision}": {
        "channels_last": layout == "channels_last",
        "compile": compiled,
        "precision": precision,
    }
    for precision in ("fp32", "bf16")
    for layout, compiled in (("NCHW", False), ("channels_last", False), ("channels_last", True))
}


def updates(job: Job, settings: dict[str, Any]) -> Callable[[], float]:
    """A function that takes one update and returns its seconds; its first call compiles."""
    data = job.data(10 * job.batch_size, channels_last=settings["channels_last"])
    batch = data.train.batch(0, seed=0, batch_size=job.batch_size)
    loop = job.loop(data, 1000, **settings)
    loop.model.train()

    def update() -> float:
        began = time.perf_counter()
        loop.updater(0, *batch)
        return time.perf_counter() - began

    return update


def main(models: Sequence[str], repeats: int, *, compiling: bool) -> None:
    """Print a line per model and case."""
    heading(f"ms of an update, medians of {repeats} in turns [extremes]")
    rows = []
    for model in models:
        job = JOBS.get(model) or Job(model, "cifar10", 64, (32, 3))
        cases, first = {}, {}
        for name, settings in CASES.items():
            if settings["compile"] and not compiling:
                continue
            cases[name] = updates(job, settings)
            first[name] = cases[name]()
        interleaved(cases, 3)  # warm up
        found = interleaved(cases, repeats)
        for name, seconds in found.items():
            milliseconds = spread([1e3 * s for s in seconds], ".1f")
            rows.append([job.name, name, f"{first[name]:.1f}", milliseconds])
    table(["job", "", "first update, s", "ms"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(JOBS), help="of conf/model")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--eager", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", cache)
        main(arguments.models, arguments.repeats, compiling=not arguments.eager)
