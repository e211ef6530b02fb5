"""One call per record: TensorBoard events, history.csv and the progress display agree."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING

from lrbench.files.checksum import file_crc
from lrbench.files.result import HISTORY_COLUMNS, history_columns
from lrbench.files.run_folder import EVENTS, HISTORY
from lrbench.record import tfrecord
from lrbench.record.display import Display
from lrbench.record.trackers import Sink
from lrbench.task import Measure

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0  # how long a number is held back at most from whoever watches the files
_OWN_EVENTS = re.compile(re.escape(EVENTS) + r"(\d{1,15})\.[\w-]*\.\d+\.lrbench")

KEYS = ("bytes", "crc32")  # of a file: its size and their checksum
Position = Mapping[str, Mapping[str, int]]  # `KEYS` of each file by its name


class Recorder:
    """Writes a run's numbers to its folder; the x axis is always optimizer updates.

    Numbers are rounded to float32 (what TensorBoard stores) once, here, so that a cell of
    history.csv and its point in the event file are the same number.

    Args:
        folder: the run folder.
        position: what `position()` returned at the checkpoint from which the run is resumed.
            Whatever was written after it is cut off, so that each update stands in the files
            once; None starts anew and removes the files of an earlier attempt.
        next_step: the first update that this recorder will see; a TensorBoard that is already
            watching drops what it showed from there on.
        measures: those that history.csv has columns for.
        display: shows the progress; None: nothing does.
        groups: the parameter groups whose lrs have columns.
        sinks: where trackers follow the run.

    Raises:
        ValueError: a file of the run is not what it was at the checkpoint, or is a link, or
            `position` names a file that no recorder writes.
        OSError: a file cannot be written, here or in any method; the error names it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        position: Position | None,
        next_step: int,
        measures: Sequence[Measure],
        display: Display | None,
        groups: Sequence[str] = (),
        sinks: Sequence[Sink] = (),
    ) -> None:
        self._display, self._sinks = display, list(sinks)
        columns = history_columns(measures, groups)
        # train_loss is TensorBoard's train/loss, and lr/head is itself.
        further = columns[len(HISTORY_COLUMNS) :]
        self._tags = [n if n.startswith("lr/") else n.replace("_", "/", 1) for n in further]
        self._last_flush = time.monotonic()
        former = _cut_back(folder, position or {})
        self._history = _Summed(folder / HISTORY, *former.pop(HISTORY, (0, 0)))
        if self._history.num_bytes == 0:
            self._write_line(columns)
        self._former = former  # the event files of earlier processes
        # TensorBoard reads a folder's files in the order of their names, which sort by time.
        last = max((int(name.split(".")[3]) for name in former), default=0)
        stamp = max(int(time.time()), last + 1)
        host = re.sub(r"[^\w-]", "_", socket.gethostname())
        name = f"{EVENTS}{stamp}.{host}.{os.getpid()}.lrbench"
        self._events_file = _Summed(folder / name)
        self._write_event(Event(file_version="brain.Event:2"))
        self._write_event(Event(step=next_step, session_log=SessionLog(status=SessionLog.START)))

    def advance(self, step: int, total_steps: int) -> None:
        """Show that `step` updates of so many have been taken; nothing is written."""
        if self._display is not None:
            self._display.advance(step, total_steps)

    def record(
        self, step: int, epoch: float | None, seconds: float, values: Mapping[str, float | None]
    ) -> None:
        """Write `values` (tag to number; None is left out) as they stood after `step` updates.

        Args:
            epoch: `step` in epochs; None where epochs are unknown.
            seconds: wall time of the run so far.
        """
        rounded = {tag: np.float32(v) for tag, v in values.items() if v is not None}
        summary = Summary(value=[Summary.Value(tag=t, simple_value=v) for t, v in rounded.items()])
        self._write_event(Event(step=step, summary=summary))
        lr, momentum, *cells = (
            str(rounded.get(tag, "")) for tag in ("lr", "momentum", *self._tags)
        )
        place = "" if epoch is None else f"{epoch:.6g}"
        self._write_line([str(step), place, lr, momentum, f"{seconds:.3f}", *cells])
        if time.monotonic() - self._last_flush >= FLUSH_SECONDS:
            self.flush()
        if self._display is not None:
            self._display.update(step, values)
        self._tell(lambda sink: sink.log(step, {t: float(v) for t, v in rounded.items()}))

    def record_test(self, step: int, values: Mapping[str, float]) -> None:
        """Write the test's `values` (measure to number), which history.csv has no columns for."""
        points = [Summary.Value(tag=f"test/{m}", simple_value=v) for m, v in values.items()]
        self._write_event(Event(step=step, summary=Summary(value=points)))
        self._tell(lambda sink: sink.log(step, {f"test/{m}": v for m, v in values.items()}))

    def end(self, status: str) -> None:
        """Tell the trackers how the run ended."""
        self._tell(lambda sink: sink.close(status))
        self._sinks.clear()

    def _tell(self, work: Callable[[Sink], None]) -> None:
        """Do `work` with each tracker; one that fails is not told again."""
        for sink in tuple(self._sinks):
            try:
                work(sink)
            except Exception as error:
                self._sinks.remove(sink)
                reason = " ".join(str(error).split())
                log.warning("the tracker failed, and the run goes on without it: %s", reason)

    def add(self, summary: Summary) -> None:
        """Write a summary without a step, such as those of `lrbench.record.hparams`."""
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
        """Write the files to the disk; returns each one's size and CRC-32, for the checkpoint."""
        self.flush()
        self._history.sync()
        self._events_file.sync()
        now = {file.path.name: file.position for file in (self._history, self._events_file)}
        return {
            name: dict(zip(KEYS, entry, strict=True))
            for name, entry in {**self._former, **now}.items()
        }

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, _kind: object, error: object, _trace: object) -> None:
        self.end("interrupted")  # where it was not told how it ended
        for file in (self._history, self._events_file):
            try:
                file.close()
            except OSError:  # a disk that has failed one write fails the rest of it, too
                if error is None:
                    raise

    def _write_event(self, event: Any) -> None:
        event.wall_time = time.time()
        self._events_file.write(tfrecord.record(event.SerializeToString()))

    def _write_line(self, cells: Iterable[str]) -> None:
        self._history.write((",".join(cells) + "\n").encode())


class _Summed:
    """A file that is appended to, with the size and the CRC-32 of its whole content.

    Without `num_bytes` it is new, and there must be none of its name.
    """

    def __init__(self, path: Path, num_bytes: int = 0, crc: int = 0) -> None:
        self.path = path
        self.num_bytes = num_bytes
        self._crc = crc
        self._file = path.open("ab" if num_bytes else "xb")

    @property
    def position(self) -> tuple[int, int]:
        """Size in bytes, and CRC-32."""
        return self.num_bytes, self._crc

    def write(self, content: bytes) -> None:
        self._do(self._file.write, content)
        self.num_bytes += len(content)
        self._crc = zlib.crc32(content, self._crc)

    def flush(self) -> None:
        self._do(self._file.flush)

    def sync(self) -> None:
        self._do(os.fsync, self._file.fileno())

    def close(self) -> None:
        self._do(self._file.close)

    def _do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Call `work`; an error names this file."""
        try:
            work(*arguments)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


class SilentRecorder(Recorder):
    """Writes and shows nothing, in a process whose run another process records."""

    def __init__(self) -> None:
        pass

    def advance(self, step: int, total_steps: int) -> None: ...

    def record(
        self, step: int, epoch: float | None, seconds: float, values: Mapping[str, float | None]
    ) -> None: ...

    def record_test(self, step: int, values: Mapping[str, float]) -> None: ...

    def add(self, summary: Summary) -> None: ...

    def text(self, tag: str, step: int, text: str) -> None: ...

    def position(self) -> dict[str, dict[str, int]]:
        return {}


def _cut_back(folder: Path, position: Position) -> dict[str, tuple[int, int]]:
    """Cut the recorder's files in `folder` back to `position`, and remove those it does not name.

    No other file is touched, and nothing at all if anything is wrong.

    Returns:
        size and CRC-32 of each file that is kept.
    """
    kept: dict[str, tuple[int, int]] = {}
    for name, entry in position.items():
        size, crc = (entry.get(key) if isinstance(entry, dict) else None for key in KEYS)
        known = name == HISTORY or _OWN_EVENTS.fullmatch(str(name))
        if not known or type(size) is not int or type(crc) is not int:
            raise ValueError(f"the checkpoint in {folder} names {name!r}, which is no run's record")
        path = folder / name
        _require_plain(path)
        found = path.stat().st_size if path.exists() else 0
        remedy = "put it back as it was, or train in another folder"
        if not 0 < size <= found:
            raise ValueError(
                f"{path} has {found} bytes but the checkpoint was made with {size}: it was cut or "
                f"deleted since; {remedy}"
            )
        if file_crc(path, size) != crc:
            raise ValueError(
                f"{path} is damaged: its first {size} bytes are not those that the checkpoint was "
                f"made with; {remedy}"
            )
        kept[name] = size, crc
    others = [p for p in folder.iterdir() if p.name == HISTORY or _OWN_EVENTS.fullmatch(p.name)]
    for path in others:
        _require_plain(path)
    for path in others:
        if path.name not in kept:
            path.unlink()
    for name, (size, _) in kept.items():
        os.truncate(folder / name, size)
    return kept


def _require_plain(path: Path) -> None:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise ValueError(f"{path} is a link or no regular file: move it elsewhere")
