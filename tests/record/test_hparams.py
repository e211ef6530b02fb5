"""What TensorBoard serves of a folder written with lrbench.record.hparams."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tensorboard import program
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.record_writer import RecordWriter

from lrbench.record import hparams
from lrbench.task.classification import measures

MEASURES = measures(10)

RUNS = {
    "cosine/seed=0": ("cosine", 0.1, 0, "completed", 0.9),
    "cosine/seed=1": ("cosine", 0.1, 1, "completed", 0.8),
    "onecycle/seed=0": ("onecycle", 0.5, 0, "diverged", None),
}


def write_run(folder: Path, name: str) -> None:
    scheduler, lr, seed, status, accuracy = RUNS[name]
    path = folder / name
    path.mkdir(parents=True)
    config = {"optimizer.lr": lr, "seed": seed, "trainer.length": "2 epochs"}
    columns = hparams.run_hparams(config, {"scheduler": scheduler, "model": "mlp"})
    scalars = [
        Summary(value=[Summary.Value(tag=tag, simple_value=0.5) for tag in ("lr", "val/loss")])
    ]
    if accuracy is not None:
        scalars.append(Summary(value=[Summary.Value(tag="test/accuracy", simple_value=accuracy)]))
    summaries = [
        hparams.experiment(columns, MEASURES),
        hparams.session_start(columns, 1000.0),
        hparams.layout(MEASURES),
        *scalars,
        hparams.session_end(str(status), 1007.0),
    ]
    with (path / "events.out.tfevents.1000.host.1").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1000.0, file_version="brain.Event:2").SerializeToString())
        for step, summary in enumerate(summaries):
            event = Event(wall_time=1000.0 + step, step=step, summary=summary)
            writer.write(event.SerializeToString())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("sweep")
    for name in RUNS:
        write_run(folder, name)
    server = program.TensorBoard()
    server.configure(argv=["", "--logdir", str(folder), "--port", "0", "--load_fast", "false"])
    address = server.launch()
    for _ in range(200):  # the first load runs in the background
        if set(get(f"{address}data/runs")) == set(RUNS):
            break
        time.sleep(0.05)
    return address


def get(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def test_no_sub_runs(url: str) -> None:
    assert set(get(f"{url}data/runs")) == set(RUNS)


def test_hparams_table_has_a_session_per_run(url: str) -> None:
    experiment = get(f"{url}data/plugin/hparams/experiment", {"experimentName": ""})
    names = [info["name"] for info in experiment["hparamInfos"]]
    assert names == ["lr", "scheduler", "seed", "length", "model"]  # what differs comes first
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == {
        f"{split}/{name}" for split in ("test", "val") for name in ("accuracy", "loss")
    }
    request = {
        "experimentName": "",
        "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [{"metric": {"tag": "test/accuracy"}, "order": "ORDER_DESC"}],
        "startIndex": 0,
        "sliceSize": 10,
    }
    groups = get(f"{url}data/plugin/hparams/session_groups", request)["sessionGroups"]
    found = {}
    for group in groups:
        (session,) = group["sessions"]
        metrics = {m["name"]["tag"]: m["value"] for m in session["metricValues"]}
        values = group["hparams"]
        found[session["name"]] = (
            values["scheduler"],
            values["lr"],
            values["seed"],
            session["status"],
            metrics.get("test/accuracy"),
        )
        assert session["endTimeSecs"] - session["startTimeSecs"] == 7
    success, failure = "STATUS_SUCCESS", "STATUS_FAILURE"
    assert found == {
        "cosine/seed=0": ("cosine", 0.1, 0, success, pytest.approx(0.9)),
        "cosine/seed=1": ("cosine", 0.1, 1, success, pytest.approx(0.8)),
        "onecycle/seed=0": ("onecycle", 0.5, 0, failure, None),
    }


def test_layout_overlays_lr_and_loss_of_all_runs(url: str) -> None:
    layout = get(f"{url}data/plugin/custom_scalars/layout")
    charts = {c["title"]: c["multiline"]["tag"] for k in layout["category"] for c in k["chart"]}
    assert charts["lr"] == ["^lr$"]
    assert charts["val/loss"] == ["^val/loss$"]
    assert charts["train/loss"] == ["^train/loss$"]
    for name in RUNS:
        run = name.replace("/", "%2F").replace("=", "%3D")
        answer = get(f"{url}data/plugin/custom_scalars/scalars?run={run}&tag=%5Elr%24")
        assert [value for _, _, value in answer["tag_to_events"]["lr"]] == [0.5]


def test_columns_are_the_choices_and_the_swept_keys() -> None:
    config = {"optimizer.lr": 0.1, "seed": 3, "model.depth": 20, "trainer.nesterov": True}
    found = hparams.run_hparams(
        config, {"scheduler": "plateau"}, swept=("optimizer.lr", "model.depth", "scheduler")
    )
    assert found == {"scheduler": "plateau", "lr": 0.1, "seed": 3, "model.depth": 20}


def test_truth_values_stay_truth_values() -> None:
    started = hparams.session_start({"nesterov": True, "depth": 3}, 0.0)
    content = started.value[0].metadata.plugin_data.content
    info = HParamsPluginData.FromString(content).session_start_info
    assert info.hparams["nesterov"].WhichOneof("kind") == "bool_value"
    assert info.hparams["depth"].number_value == 3


def test_summaries_are_marked_as_tensorboards_own_helper_marks_them() -> None:
    data = HParamsPluginData(session_end_info={"end_time_secs": 7.0, "status": "STATUS_SUCCESS"})
    (value,) = hparams.session_end("completed", 7.0).value
    assert value.tag == metadata.SESSION_END_INFO_TAG
    assert value.metadata == metadata.create_summary_metadata(data)
    assert value.tensor == metadata.NULL_TENSOR
    tags = {
        hparams.experiment({}, MEASURES).value[0].tag,
        hparams.session_start({}, 0.0).value[0].tag,
    }
    assert tags == {metadata.EXPERIMENT_TAG, metadata.SESSION_START_INFO_TAG}
