"""A sweep's whole time, one run after another and two at once: python scripts/bench/parallel.py

``experiment=four_way`` (4 schedules x 5 seeds of resnet8 on digits, and the comparison) by Hydra's
own launcher, each run with all threads, and by joblib, a process per core with one thread each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import heading, interleaved, spread, table


def sweep(*overrides: str) -> float:
    """Wall time of the whole command, in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lrbench", "experiment=four_way", *overrides]
        began = time.perf_counter()
        subprocess.run(
            [*command, f"hydra.sweep.dir={folder}/sweep"], stdout=subprocess.DEVNULL, check=True
        )
        seconds = time.perf_counter() - began
        results = [json.loads(p.read_text()) for p in Path(folder).rglob("result.json")]
        assert len(results) == 20
        SPEEDS.setdefault(overrides, []).append(
            statistics.median(r["units_per_second"] for r in results)
        )
    return seconds


SPEEDS: dict[tuple[str, ...], list[float]] = {}


def main(repeats: int) -> None:
    """Print both times and their ratio."""
    heading(f"Seconds of experiment=four_way, medians of {repeats} [extremes]", "joblib")
    joblib = "hydra/launcher=joblib"
    cases = {"one after another": lambda: sweep(), joblib: lambda: sweep(joblib)}
    found = interleaved(cases, repeats)
    one, several = found.values()
    ratios = [a / b for a, b in zip(one, several, strict=True)]
    rows = [
        [name, spread(seconds, ".1f"), spread(speeds, ",.0f")]
        for (name, seconds), speeds in zip(found.items(), SPEEDS.values(), strict=True)
    ]
    table(["", "seconds", "images/s of a run"], [*rows, ["ratio", spread(ratios, ".2f"), ""]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    main(parser.parse_args().repeats)
