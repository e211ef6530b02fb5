"""Reading logs that are no text: TensorBoard's events, W&B's offline files, MLflow's stores.

Only data are read: a protocol buffer, JSON, SQL tables opened read-only.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lrbench.files.reading import ReadError, plain_text, read_bytes
from lrbench.importer.raw import MAX_LOG, NOT_FINITE, RawRun, flat, flat_yaml, from_records, wide

SQLITE, WANDB = b"SQLite format 3\0", b":W&B\xe1\xbe"
SPLIT_FOLDERS = ("train", "validation", "val", "test", "eval")
_LENGTH = struct.Struct("<Q")
_BLOCK, _HEADER = 32_768, 7  # bytes of LevelDB's log format, in which W&B writes


def is_events(head: bytes) -> bool:
    """Whether a file that begins with `head` holds TensorBoard's events."""
    return b"brain.Event:" in head[12:64]


def read_events(path: Path, name: str) -> list[RawRun]:
    """The scalars of one event file; a file cut in the middle of a record gives those before it.

    The run is the file's folder; of folders named train, validation, … it is the one above, and
    the names of their series begin with theirs.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.util.tensor_util import make_ndarray

    data = read_bytes(path, MAX_LOG)
    run = name.rpartition("/")[0]
    above, _, folder = run.rpartition("/")
    prefix = f"{folder}/" if folder in SPLIT_FOLDERS else ""
    tags: dict[str, int] = {}
    ids: list[int] = []
    steps: list[int] = []
    values: list[float] = []
    config: dict[str, Any] = {}
    at, end = 0, len(data)
    while at + 12 <= end:  # length, its checksum, the record, its checksum
        (size,) = _LENGTH.unpack_from(data, at)
        begins, at = at + 12, at + size + 16
        if at - 4 > end:
            break
        try:
            event = Event.FromString(data[begins : at - 4])
        except Exception:  # protobuf's DecodeError: what follows cannot be framed either
            break
        step = event.step
        for value in event.summary.value:
            tag = value.tag
            if value.HasField("simple_value"):
                number = value.simple_value
            elif value.HasField("tensor") and not value.tensor.tensor_shape.dim:
                if value.tensor.dtype not in (1, 2, 3, 9):  # float, double, int32, int64
                    continue
                number = float(make_ndarray(value.tensor))
            else:
                if tag == "args/text_summary" and value.tensor.string_val:
                    config = flat_yaml(value.tensor.string_val[0].decode(errors="replace"))
                continue
            ids.append(tags.setdefault(tag, len(tags)))
            steps.append(step)
            values.append(number)
    names = [prefix + tag for tag in tags]
    rows = wide(names, np.array(ids, dtype=np.intp), np.array(steps), np.array(values))
    cut = ("its last event was half-written: left out",) if at > end else ()
    where = above if prefix else run
    return [RawRun(name=where, tool="TensorBoard", rows=rows, config=config, notes=cut)]


def read_wandb(path: Path, name: str) -> list[RawRun]:
    """The history and the config in an offline ``.wandb`` file."""
    data = read_bytes(path, MAX_LOG)
    records: list[dict[str, Any]] = []
    config: dict[str, Any] = {}
    title, ended = "", False
    cut: tuple[str, ...] = ()
    try:
        for record in _log_records(data):
            for number, content in _fields(record):
                if number == 2:  # history
                    records.append(_items(content, 1))
                elif number == 5:  # config
                    config |= _items(content, 1)
                elif number == 17:  # run
                    own = dict(_fields(content))
                    config |= _items(own.get(4, b""), 1)
                    title = bytes(own.get(8) or own.get(1) or b"").decode(errors="replace")
                elif number == 18:  # exit
                    ended = dict(_fields(content)).get(1, 0) == 0
    except (IndexError, struct.error, ValueError):
        cut = ("the file is damaged or half-written from some record on: left out",)
    config.pop("_wandb", None)
    folder = name.rpartition("/")[0]
    label = f"{folder.rpartition('/')[0]}/{plain_text(title, 80)}" if title else folder
    return [
        RawRun(name=label.strip("/"), tool="W&B", rows=from_records(records), config=flat(config),
               notes=cut, ended=ended)
    ]  # fmt: skip


def _log_records(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log: fragments of blocks, each with checksum, length and kind."""
    at, parts = _HEADER, b""
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:
            at += left
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        fragment = data[at + _HEADER : at + _HEADER + size]
        if len(fragment) < size:
            raise ValueError("half-written")
        at += _HEADER + size
        parts = fragment if kind in (1, 2) else parts + fragment  # whole or first; middle, last
        if kind in (1, 4):
            yield parts


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: number, and a whole number, 8 or 4 bytes, or bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size, at = (8, at) if kind == 1 else (4, at) if kind == 5 else _varint(data, at)
        yield number, data[at : at + size]
        at += size


def _items(message: Any, field: int) -> dict[str, Any]:
    """The keys and values of a record of W&B's whose items are in `field`."""
    found: dict[str, Any] = {}
    for number, item in _fields(message):
        if number != field:
            continue
        keys, value = [], None
        for part, content in _fields(item):
            if part in (1, 2):
                keys.append(content.decode(errors="replace"))
            elif part == 5:  # zigzag
                value = (content >> 1) ^ -(content & 1)
            elif part == 6:
                (value,) = struct.unpack("<d", content)
            elif part in (8, 16):
                value = json.loads(content)
        found[".".join(key for key in keys if key)] = value
    numbers = {"NaN", "Infinity", "-Infinity"}
    return {k: NOT_FINITE if isinstance(v, str) and v in numbers else v for k, v in found.items()}


def is_mlflow(path: Path) -> bool:
    """Whether the SQLite file at `path` has MLflow's tables."""
    try:
        with closing(_open(path)) as store:
            tables = {row[0] for row in store.execute("SELECT name FROM sqlite_master")}
    except sqlite3.Error:
        return False
    return {"runs", "metrics", "params"} <= tables


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def read_mlflow_database(path: Path, name: str) -> list[RawRun]:
    """The runs in an MLflow database, those that were deleted left out."""
    runs = "SELECT run_uuid, name, status FROM runs WHERE lifecycle_stage = 'active'"
    points = (
        "SELECT key, step, CASE WHEN is_nan THEN NULL ELSE value END FROM metrics "
        "WHERE run_uuid = ? ORDER BY timestamp, step"
    )
    found = []
    try:
        with closing(_open(path)) as store:
            for run, title, status in store.execute(runs).fetchall():
                metrics = store.execute(points, (run,)).fetchall()
                params = store.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,))
                config = _typed(dict(params.fetchall()))
                found.append(_mlflow_run(f"{name}/{title or run}", metrics, config, status))
    except sqlite3.Error as error:
        raise ReadError(f"is no database that can be read ({error})") from error
    return found


STATUS = {3: "FINISHED", 4: "FAILED", 5: "KILLED"}  # as the file store's meta.yaml counts


def read_mlflow_folder(path: Path, name: str) -> list[RawRun]:
    """The run of an MLflow file store whose ``meta.yaml`` is at `path`."""
    meta = flat_yaml(read_bytes(path).decode(errors="replace"))
    config = {}
    for file in sorted((path.parent / "params").glob("*")):
        config[file.name] = read_bytes(file).decode(errors="replace")
    metrics: list[tuple[int, str, int, float]] = []
    for file in sorted((path.parent / "metrics").rglob("*")):
        if file.is_file():
            key = file.relative_to(path.parent / "metrics").as_posix()
            for line in read_bytes(file, MAX_LOG).decode(errors="replace").splitlines():
                parts = line.split()
                if len(parts) in (3, 4) or len(parts) == 6:  # timestamp, value, step, data set
                    metrics.append((int(parts[0]), key, int(parts[2]), float(parts[1])))
    metrics.sort(key=lambda point: (point[0], point[2]))
    folder = path.parent.relative_to(path.parents[1]).as_posix()
    label = f"{name.removesuffix('/meta.yaml').removesuffix(folder)}{meta.get('run_name', folder)}"
    status = STATUS.get(meta.get("status", 0), "RUNNING")
    return [_mlflow_run(label, [point[1:] for point in metrics], _typed(config), status)]


def _mlflow_run(
    name: str, metrics: list[tuple[str, int, float | None]], config: dict[str, Any], status: str
) -> RawRun:
    names = list(dict.fromkeys(key for key, _, _ in metrics))
    ids = np.array([names.index(key) for key, _, _ in metrics], dtype=np.intp)
    steps = np.array([step for _, step, _ in metrics], dtype=float)
    values = np.array([np.nan if v is None else v for _, _, v in metrics], dtype=float)
    rows = wide(names, ids, steps, values) if metrics else pd.DataFrame({"step": []})
    return RawRun(name=plain_text(name), tool="MLflow", rows=rows, config=config,
                  ended=status == "FINISHED")  # fmt: skip


def _typed(params: dict[str, str]) -> dict[str, Any]:
    """MLflow stores every parameter as a text; those that spell a number are one."""
    from lrbench.config.plain_yaml import parse_scalar

    return {key: parse_scalar(value) for key, value in params.items()}
