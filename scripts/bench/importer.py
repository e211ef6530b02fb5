"""How fast logs are imported: 100 runs of 10,000 points each, as CSV and as TensorBoard's events.

Run: python scripts/bench/importer.py [runs [points]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from lrbench.importer import import_runs
from lrbench.record import tfrecord

COLUMNS = ("lr", "train_loss", "val_loss")


def main(runs: int = 100, points: int = 10_000) -> None:
    """Write the logs, import them, and print the seconds of each kind."""
    values = np.random.default_rng(0).random((points, len(COLUMNS)))
    table = pd.DataFrame(values, columns=COLUMNS, index=pd.Index(range(points), name="step"))
    events = [Event(file_version="brain.Event:2")]
    for step, row in enumerate(values):
        tags = zip(COLUMNS, row, strict=True)
        summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in tags])
        events.append(Event(step=step, summary=summary))
    contents = {
        "log.csv": table.to_csv().encode(),
        "events.out.tfevents.1.x": b"".join(tfrecord.record(e.SerializeToString()) for e in events),
    }
    for name, content in contents.items():
        with tempfile.TemporaryDirectory() as folder:
            for run in range(runs):
                (Path(folder) / f"logs/cosine/{run}").mkdir(parents=True)
                (Path(folder) / f"logs/cosine/{run}/{name}").write_bytes(content)
            wall, busy = time.perf_counter(), time.process_time()
            found = import_runs(f"{folder}/logs", f"{folder}/to", pattern="{strategy}/{seed}")
            wall, busy = time.perf_counter() - wall, time.process_time() - busy
            assert len(found.runs) == runs
        what = f"{runs} runs of {points:,} points of {len(COLUMNS)} series"
        print(f"{name}: {what}: {wall:.1f} s, of which {busy:.1f} s on the processor")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
