"""One call per record: TensorBoard events, history.csv and the progress display agree."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from lrbench import tfrecord
from lrbench.display import Display

FLUSH_SECONDS = 1.0  # at most so much later than the run does a watching TensorBoard see it
HISTORY_TAGS = {
    "lr": "lr",
    "momentum": "momentum",
    "train_loss": "train/loss",
    "train_accuracy": "train/accuracy",
    "val_loss": "val/loss",
    "val_accuracy": "val/accuracy",
}
HISTORY_COLUMNS = ("step", "epoch", *HISTORY_TAGS, "seconds")


class Recorder:
    """Writes a run's numbers to its folder; the x axis is always optimizer updates.

    Numbers are rounded to float32 (what TensorBoard stores) once, here, so that a cell of
    history.csv and its point in the event file are the same number.

    Args:
        folder: the run folder.
        position: what `position()` returned at the checkpoint being resumed. Whatever was
            written after it is cut off, so that each update stands in the files once; None
            starts afresh and removes an earlier attempt's files.
        next_step: the first update that this recorder will see; tells a TensorBoard that is
            already watching to drop what it showed from there on.
        display: where progress is shown.

    Raises:
        ValueError: a file of the run is shorter than the checkpoint says.
    """

    def __init__(
        self,
        folder: Path,
        *,
        position: Mapping[str, int] | None,
        next_step: int,
        display: Display,
    ) -> None:
        self._display = display
        self._last_flush = time.monotonic()
        _cut_back(folder, position or {})
        self._sizes = dict(position or {})
        history = folder / "history.csv"
        self._history: IO[str] = history.open("a", newline="")
        if history.stat().st_size == 0:
            self._history.write(",".join(HISTORY_COLUMNS) + "\n")
        # Names sort by time: TensorBoard reads a folder's files in the order of their names.
        last = max(
            (int(name.split(".")[3]) for name in self._sizes if "tfevents" in name), default=0
        )
        stamp = max(int(time.time()), last + 1)
        self._events_path = (
            folder / f"events.out.tfevents.{stamp}.{socket.gethostname()}.{os.getpid()}"
        )
        self._events_file = self._events_path.open("wb")
        self._write_event(Event(file_version="brain.Event:2"))
        self._write_event(Event(step=next_step, session_log=SessionLog(status=SessionLog.START)))

    def advance(self, step: int) -> None:
        """Show that `step` updates have been taken; nothing is written."""
        self._display.advance(step)

    def record(
        self, step: int, epoch: float, seconds: float, values: Mapping[str, float | None]
    ) -> None:
        """Write `values` (tag to number; None is left out) as they stood after `step` updates.

        Args:
            seconds: wall time of the run so far.
        """
        rounded = {tag: np.float32(v) for tag, v in values.items() if v is not None}
        summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in rounded.items()])
        self._write_event(Event(step=step, summary=summary))
        cells = [str(rounded.get(tag, "")) for tag in HISTORY_TAGS.values()]
        self._history.write(",".join([str(step), f"{epoch:.6g}", *cells, f"{seconds:.3f}"]) + "\n")
        if time.monotonic() - self._last_flush >= FLUSH_SECONDS:
            self.flush()
        self._display.update(step, values)

    def record_test(self, step: int, loss: float, accuracy: float) -> None:
        """Write the test result, which history.csv has no column for."""
        values = {"test/loss": loss, "test/accuracy": accuracy}
        summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in values.items()])
        self._write_event(Event(step=step, summary=summary))

    def add(self, summary: Summary) -> None:
        """Write a summary that is no curve, such as those of `lrbench.hparams`."""
        self._write_event(Event(summary=summary))

    def text(self, tag: str, step: int, text: str) -> None:
        """Write a line for TensorBoard's Text tab."""
        metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()])
        value = Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
        self._write_event(Event(step=step, summary=Summary(value=[value])))

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._history.flush()
        self._events_file.flush()
        self._last_flush = time.monotonic()

    def position(self) -> dict[str, int]:
        """Bring the files to the disk and return each one's size, for the checkpoint."""
        self.flush()
        for file in (self._history, self._events_file):
            os.fsync(file.fileno())
        self._sizes["history.csv"] = os.fstat(self._history.fileno()).st_size
        self._sizes[self._events_path.name] = os.fstat(self._events_file.fileno()).st_size
        return dict(self._sizes)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._history.close()
        self._events_file.close()

    def _write_event(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events_file.write(tfrecord.record(event.SerializeToString()))


def _cut_back(folder: Path, position: Mapping[str, int]) -> None:
    for path in (folder / "history.csv", *folder.glob("events.out.tfevents.*")):
        if path.name not in position:
            path.unlink(missing_ok=True)
    for name, size in position.items():
        path = folder / name
        found = path.stat().st_size if path.exists() else 0
        if found < size:
            raise ValueError(
                f"{path} has {found} bytes but the checkpoint was made with {size}: it was cut or "
                f"deleted since; delete {folder} and start the run again"
            )
        os.truncate(path, size)
