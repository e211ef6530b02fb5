"""history.csv and the event file hold the same numbers, each update once."""

import csv
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lrbench.record.display import Display
from lrbench.record.recorder import Position, Recorder
from lrbench.task.classification import measures

MEASURES = measures(10)


def new_recorder(folder: Path, position: Position | None = None, next_step: int = 1) -> Recorder:
    folder.mkdir(exist_ok=True)
    display = Display(
        total_steps=100, start_step=0, units_per_step=1, unit="images", primary=MEASURES[0]
    )
    return Recorder(
        folder, position=position, next_step=next_step, measures=MEASURES, display=display
    )


def record(recorder: Recorder, step: int) -> None:
    values = {"lr": 0.1 / step, "momentum": None, "train/loss": 1 / 3 + step, "train/accuracy": 0.1}
    if step % 5 == 0:
        values |= {"val/loss": 2 / 3 + step, "val/accuracy": 0.7}
    recorder.record(step, step / 10, step * 1.5, values)


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_number_equals_the_event_files(tmp_path: Path) -> None:
    with new_recorder(tmp_path) as recorder:
        for step in range(1, 21):
            record(recorder, step)
    rows = history(tmp_path)
    assert tuple(rows[0]) == (
        *("step", "epoch", "lr", "momentum", "seconds"),
        *("train_accuracy", "train_loss", "val_accuracy", "val_loss"),
    )
    scalars = events(tmp_path)
    for column in ["lr", *list(rows[0])[5:]]:
        tag = column.replace("_", "/")
        cells = [(int(r["step"]), np.float32(r[column])) for r in rows if r[column]]
        assert cells == [(s, np.float32(v)) for s, v in scalars.get(tag, [])]
    assert [r["momentum"] for r in rows] == [""] * 20
    assert [int(r["step"]) for r in rows if r["val_loss"]] == [5, 10, 15, 20]
    assert rows[6]["train_loss"] == "7.3333335"  # 7 + 1/3 as TensorBoard stores it
    assert rows[6]["epoch"] == "0.7"
    assert rows[6]["seconds"] == "10.500"


def test_what_is_recorded_is_soon_there_to_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_recorder(tmp_path) as recorder:
        record(recorder, 1)
        monkeypatch.setattr("lrbench.record.recorder.FLUSH_SECONDS", 0.0)
        record(recorder, 2)
        assert [r["step"] for r in history(tmp_path)] == ["1", "2"]
        assert [step for step, _ in events(tmp_path)["lr"]] == [1, 2]


def test_resuming_cuts_off_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with new_recorder(tmp_path) as recorder:
        for step in range(1, 8):
            record(recorder, step)
        position = recorder.position()
        for step in range(8, 11):
            record(recorder, step)  # lost with a kill
    with new_recorder(tmp_path, position, next_step=8) as recorder:
        for step in range(8, 13):
            record(recorder, step)
    assert [int(r["step"]) for r in history(tmp_path)] == list(range(1, 13))
    assert [step for step, _ in events(tmp_path)["lr"]] == list(range(1, 13))
    assert len(list(tmp_path.glob("events.*"))) == 2


def test_starting_afresh_removes_an_earlier_attempt(tmp_path: Path) -> None:
    for last in (9, 4):
        with new_recorder(tmp_path) as recorder:
            for step in range(1, last):
                record(recorder, step)
    assert [int(r["step"]) for r in history(tmp_path)] == [1, 2, 3]
    assert [step for step, _ in events(tmp_path)["lr"]] == [1, 2, 3]


def test_a_file_shorter_than_the_checkpoint_says_is_named(tmp_path: Path) -> None:
    with new_recorder(tmp_path) as recorder:
        record(recorder, 1)
        position = recorder.position()
    size = position["history.csv"]["bytes"]
    (tmp_path / "history.csv").write_text("cut")
    with pytest.raises(ValueError, match=rf"history\.csv has 3 bytes but .* made with {size}"):
        new_recorder(tmp_path, position)


OURS = "events.out.tfevents.1.host.2.lrbench"


@pytest.mark.parametrize("name", ["../victim", "victim", "events.out.tfevents.1.host.2", OURS])
def test_a_checkpoint_cuts_no_file_but_the_recorders(tmp_path: Path, name: str) -> None:
    """Another name than a recorder gives is refused, and so is a link of the right name."""
    folder = tmp_path / "run"
    with new_recorder(folder) as recorder:
        position = recorder.position()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    if name == OURS:
        (folder / name).symlink_to(victim)
    elif not (folder / name).exists():
        (folder / name).write_text("precious")
    forged: Any = {**position, name: {"bytes": 1, "crc32": zlib.crc32(b"p")}}
    with pytest.raises(ValueError, match=r"is no run's record|is a link or no regular file"):
        new_recorder(folder, forged)
    assert (folder / name).read_text() == victim.read_text() == "precious"
    for entry in (7, {"bytes": "1", "crc32": 2}, {}):
        forged = {**position, "history.csv": entry}
        with pytest.raises(ValueError, match=r"names 'history\.csv', which is no run's record"):
            new_recorder(folder, forged)


def test_starting_anew_removes_no_file_of_anybody_else(tmp_path: Path) -> None:
    names = ("events.out.tfevents.1.host.2", "events.out.tfevents.lrbench", "notes.csv")
    for name in names:
        (tmp_path / name).write_text("precious")
    (tmp_path / "elsewhere").mkdir()
    with new_recorder(tmp_path):
        pass
    assert all((tmp_path / name).read_text() == "precious" for name in names)
    link = tmp_path / "elsewhere" / "history.csv"
    link.symlink_to(tmp_path / "notes.csv")
    with pytest.raises(ValueError, match=r"history\.csv is a link or no regular file"):
        new_recorder(tmp_path / "elsewhere")
    assert link.read_text() == "precious"


@pytest.mark.parametrize("host", ["rack/7\nüx", "", "node.domain"])
def test_any_name_of_a_host_names_an_event_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    with new_recorder(tmp_path) as recorder:
        record(recorder, 1)
        position = recorder.position()
    assert len(events(tmp_path)["lr"]) == 1
    with new_recorder(tmp_path, position, next_step=2) as recorder:
        record(recorder, 2)
    assert len(events(tmp_path)["lr"]) == 2


def test_a_full_disk_is_told_with_the_files_name(tmp_path: Path) -> None:
    recorder = new_recorder(tmp_path)
    full = open("/dev/full", "wb")  # noqa: SIM115
    for file in (recorder._history, recorder._events_file):
        file._file = full
    for write in (recorder.flush, lambda: recorder.__exit__(None, None, None)):
        record(recorder, 1)
        with pytest.raises(OSError, match="No space left") as caught:
            write()
        assert caught.value.filename == str(tmp_path / "history.csv")


@pytest.mark.parametrize("kind", ["history.csv", "events.*"])
def test_a_flipped_bit_is_found_when_the_run_is_resumed(tmp_path: Path, kind: str) -> None:
    with new_recorder(tmp_path) as recorder:
        for step in range(1, 4):
            record(recorder, step)
        position = recorder.position()
        record(recorder, 4)
    with new_recorder(tmp_path, position, next_step=4) as recorder:  # nothing is wrong yet
        record(recorder, 4)
        position = recorder.position()
    assert {name: (entry["bytes"], entry["crc32"]) for name, entry in position.items()} == {
        path.name: (path.stat().st_size, zlib.crc32(path.read_bytes()))
        for path in tmp_path.iterdir()
    }
    (path,) = sorted(tmp_path.glob(kind))[:1]
    data = bytearray(path.read_bytes())
    at = data.index(b"0.1") if kind == "history.csv" else len(data) // 2
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: its first \d+ bytes"):
        new_recorder(tmp_path, position, next_step=5)
    assert path.read_bytes() == data


def test_text_and_test_results_reach_tensorboard(tmp_path: Path) -> None:
    with new_recorder(tmp_path) as recorder:
        recorder.text("schedule", 3, "cut to 0.1")
        recorder.record_test(20, {"accuracy": 0.875, "loss": 0.25})
    accumulator = EventAccumulator(str(tmp_path))
    accumulator.Reload()
    (text,) = accumulator.Tensors("schedule")
    assert (text.step, text.tensor_proto.string_val) == (3, [b"cut to 0.1"])
    assert events(tmp_path)["test/accuracy"] == [(20, 0.875)]
    assert not (tmp_path / "history.csv").read_text().splitlines()[1:]


def test_infinite_losses_are_written_as_such(tmp_path: Path) -> None:
    with new_recorder(tmp_path) as recorder:
        recorder.record(1, 0.1, 1.0, {"lr": 0.1, "train/loss": math.nan})
    assert history(tmp_path)[0]["train_loss"] == "nan"
    assert math.isnan(events(tmp_path)["train/loss"][0][1])
