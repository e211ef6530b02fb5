"""One call per record: TensorBoard events, history.csv and the progress display agree."""

from __future__ import annotations

import os
import socket
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from lrbench.files.checksum import file_crc
from lrbench.files.result import HISTORY_COLUMNS, history_columns
from lrbench.record import tfrecord
from lrbench.record.display import Display
from lrbench.task import Measure

FLUSH_SECONDS = 1.0  # at most so much later than the run does a watching TensorBoard see it

Position = Mapping[str, Mapping[str, int]]  # per file: {"bytes": its size, "crc32": of them}


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
        measures: those that history.csv has columns for.
        display: where progress is shown.

    Raises:
        ValueError: a file of the run is not what it was at the checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        *,
        position: Position | None,
        next_step: int,
        measures: Sequence[Measure],
        display: Display,
    ) -> None:
        self._display = display
        columns = history_columns(measures)
        # train_loss is TensorBoard's train/loss.
        self._tags = [name.replace("_", "/", 1) for name in columns[len(HISTORY_COLUMNS) :]]
        self._last_flush = time.monotonic()
        _cut_back(folder, position or {})
        former = {
            name: (entry["bytes"], entry["crc32"]) for name, entry in (position or {}).items()
        }
        history = folder / "history.csv"
        self._history = _Summed(history, *former.pop(history.name, (0, 0)))
        if self._history.num_bytes == 0:
            self._write_line(columns)
        self._former = former  # the event files of earlier processes
        # Names sort by time: TensorBoard reads a folder's files in the order of their names.
        last = max((int(name.split(".")[3]) for name in former), default=0)
        stamp = max(int(time.time()), last + 1)
        self._events_path = (
            folder / f"events.out.tfevents.{stamp}.{socket.gethostname()}.{os.getpid()}"
        )
        self._events_file = _Summed(self._events_path)
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
        lr, momentum, *cells = (
            str(rounded.get(tag, "")) for tag in ("lr", "momentum", *self._tags)
        )
        self._write_line([str(step), f"{epoch:.6g}", lr, momentum, f"{seconds:.3f}", *cells])
        if time.monotonic() - self._last_flush >= FLUSH_SECONDS:
            self.flush()
        self._display.update(step, values)

    def record_test(self, step: int, values: Mapping[str, float]) -> None:
        """Write the test's `values` (measure to number), which history.csv has no columns for."""
        points = [Summary.Value(tag=f"test/{m}", simple_value=v) for m, v in values.items()]
        summary = Summary(value=points)
        self._write_event(Event(step=step, summary=summary))

    def add(self, summary: Summary) -> None:
        """Write a summary that is no curve, such as those of `lrbench.record.hparams`."""
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

    def position(self) -> dict[str, dict[str, int]]:
        """Bring the files to the disk; each one's size and CRC-32, for the checkpoint."""
        self.flush()
        for file in (self._history, self._events_file):
            os.fsync(file.fileno())
        now = {file.path.name: file.position for file in (self._history, self._events_file)}
        return {
            name: {"bytes": num_bytes, "crc32": crc}
            for name, (num_bytes, crc) in {**self._former, **now}.items()
        }

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for file in (self._history, self._events_file):
            try:
                file.close()
            except OSError:  # the disk that failed a write fails the rest of it, too
                if error is None:
                    raise

    def _write_event(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events_file.write(tfrecord.record(event.SerializeToString()))

    def _write_line(self, cells: Iterable[str]) -> None:
        self._history.write((",".join(cells) + "\n").encode())


class _Summed:
    """A file that is appended to and knows the size and the CRC-32 of all that it holds."""

    def __init__(self, path: Path, num_bytes: int = 0, crc: int = 0) -> None:
        self.path = path
        self.num_bytes = num_bytes
        self._crc = crc
        self._file = path.open("ab")
        self.flush, self.fileno, self.close = self._file.flush, self._file.fileno, self._file.close

    @property
    def position(self) -> tuple[int, int]:
        """Size in bytes, and CRC-32."""
        return self.num_bytes, self._crc

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self.num_bytes += len(content)
        self._crc = zlib.crc32(content, self._crc)


class SilentRecorder(Recorder):
    """Writes and shows nothing: for a process whose run is recorded by another."""

    def __init__(self) -> None:
        pass

    def advance(self, step: int) -> None: ...

    def record(
        self, step: int, epoch: float, seconds: float, values: Mapping[str, float | None]
    ) -> None: ...

    def record_test(self, step: int, values: Mapping[str, float]) -> None: ...

    def add(self, summary: Summary) -> None: ...

    def text(self, tag: str, step: int, text: str) -> None: ...

    def position(self) -> dict[str, dict[str, int]]:
        return {}


def _cut_back(folder: Path, position: Position) -> None:
    for path in (folder / "history.csv", *folder.glob("events.out.tfevents.*")):
        if path.name not in position:
            path.unlink(missing_ok=True)
    for name, entry in position.items():
        path, size = folder / name, entry["bytes"]
        found = path.stat().st_size if path.exists() else 0
        remedy = f"delete {folder} and start the run again"
        if found < size:
            raise ValueError(
                f"{path} has {found} bytes but the checkpoint was made with {size}: it was cut or "
                f"deleted since; {remedy}"
            )
        if file_crc(path, size) != entry["crc32"]:
            raise ValueError(
                f"{path} is damaged: its first {size} bytes are not those that the checkpoint was "
                f"made with; {remedy}"
            )
    for name, entry in position.items():
        os.truncate(folder / name, entry["bytes"])
