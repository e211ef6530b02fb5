"""Faults by the hundred, and a table of what they cost: python scripts/torture.py kill-cosine disk

Parts, of which several can be named: kill-cosine (warmup_decay, onecycle, plateau), processes,
decode, sweep, signals, disk, damage, same, long. Exit code 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from faults import Row, damage, disk, kill, same, signalled, sweeps

os.environ.setdefault("OMP_NUM_THREADS", "1")

Part = Callable[[Path, int, int], list[Row]]
PARTS: dict[str, tuple[Part, int]] = {  # and how often, unless told otherwise
    **{f"kill-{s}": (partial(kill.kill, strategy=s), 50) for s in kill.STRATEGIES},
    "processes": (kill.kill_processes, 12),
    "decode": (kill.decode, 30),
    "sweep": (sweeps.sweep, 10),
    "signals": (signalled.signals, 5),
    "disk": (disk.disk, 12),
    "damage": (damage.damage, 10),
    "same": (same.same, 2),
    "long": (sweeps.long, 500),
}


def main() -> None:
    """Run the parts asked for and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=[], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--count", type=int, help="how often (default: by part)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--keep", type=Path, help="work here, and leave what was made")
    given = parser.parse_args()
    # In the background a shell has its commands ignore Ctrl-C, and these pass it on to theirs.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown:
        parser.error(f"{unknown[0]} is no part ({', '.join(PARTS)})")
    lost = 0
    print(f"{'fault':50} {'tried':>6} {'survived':>9} {'data lost':>10}", flush=True)
    for name in given.parts or PARTS:
        part, count = PARTS[name]
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"lrbench-{name}-") as temporary:
            work = Path(temporary)
            if given.keep is not None:
                work = given.keep.resolve() / name
                work.mkdir(parents=True)
            rows = part(work, given.count or count, given.seed)
        for row in rows:
            print(f"{row.fault:50} {row.tried:6} {row.survived:9} {len(row.lost):10}  {row.remark}")
            lost += len(row.lost)
            for line in row.lost:
                print(f"    {line}")
        print(f"    ({name}: {time.perf_counter() - began:.0f} s)", flush=True)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
