"""What TensorBoard serves of a folder written with lrbench.record.hparams."""

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import (
    EventMultiplexer,
)
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.hparams import api_pb2, get_experiment, list_session_groups, metadata
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.summary.writer.record_writer import RecordWriter

from lrbench.record import hparams
from lrbench.task.classification import measures

MEASURES = measures(10)

RUNS: dict[
    str, tuple[str, dict[str, Any], str, float | None]
] = {  # strategy, overrides, status, test accuracy
    "cosine/seed=0": ("cosine", {"trainer.max_grad_norm": 1.0}, "completed", 0.9),
    "cosine/seed=1": ("cosine", {"trainer.max_grad_norm": None}, "completed", 0.8),
    "onecycle/seed=0": ("onecycle", {"+model.extra": True}, "diverged", None),
}


def write_run(folder: Path, name: str) -> None:
    scheduler, given, status, accuracy = RUNS[name]
    path = folder / name
    path.mkdir(parents=True)
    seed = int(name[-1])
    config = {"optimizer.lr": 0.1, "seed": seed, "trainer.length": "2 epochs"}
    config |= {key.lstrip("+"): value for key, value in given.items()}
    words = [f"scheduler={scheduler}", *(f"{key}={value}" for key, value in given.items())]
    settings = hparams.run_hparams(config, {"scheduler": scheduler, "model": "mlp"}, words)
    scalars = [
        Summary(value=[Summary.Value(tag=tag, simple_value=0.5) for tag in ("lr", "val/loss")])
    ]
    if accuracy is not None:
        scalars.append(Summary(value=[Summary.Value(tag="test/accuracy", simple_value=accuracy)]))
    summaries = [
        hparams.session_start(settings, 1000.0),
        hparams.layout(MEASURES),
        *scalars,
        hparams.session_end(status, 1007.0),
    ]
    with (path / "events.out.tfevents.1000.host.1").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1000.0, file_version="brain.Event:2").SerializeToString())
        for step, summary in enumerate(summaries):
            event = Event(wall_time=1000.0 + step, step=step, summary=summary)
            writer.write(event.SerializeToString())


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> TBContext:
    """What TensorBoard's plugins are given of a folder with `RUNS`."""
    folder = tmp_path_factory.mktemp("sweep")
    for name in RUNS:
        write_run(folder, name)
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder)).Reload()
    assert set(runs.Runs()) == set(RUNS)  # no sub-runs
    data = MultiplexerDataProvider(runs, str(folder))
    return TBContext(data_provider=data, logdir=str(folder), plugin_name_to_instance={})


def test_hparams_table_has_every_key_and_a_session_per_run(board: TBContext) -> None:
    context = RequestContext()
    backend = Context(board)
    experiment = get_experiment.Handler(context, backend, "", api_pb2.GetExperimentRequest()).run()
    names = [info.name for info in experiment.hparam_infos]
    assert names == [  # what differs comes first
        *("scheduler", "seed", "trainer.max_grad_norm"),
        *("model", "model.extra", "optimizer.lr", "trainer.length"),
    ]
    assert {info.name.tag for info in experiment.metric_infos} == {
        "lr",
        "val/loss",
        "test/accuracy",
    }
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        col_params=[{"metric": {"tag": "test/accuracy"}, "order": api_pb2.ORDER_DESC}],
        slice_size=10,
    )
    answer = list_session_groups.Handler(context, backend, "", request).run()
    found = {}
    for group in answer.session_groups:
        (session,) = group.sessions
        metrics = {metric.name.tag: metric.value for metric in session.metric_values}
        shown = {k: getattr(v, v.WhichOneof("kind")) for k, v in group.hparams.items()}
        values = (shown["scheduler"], shown["seed"], shown.get("trainer.max_grad_norm"))
        found[session.name] = (*values, session.status, metrics.get("test/accuracy"))
        assert session.end_time_secs - session.start_time_secs == 7
    success, failure = api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE
    assert found == {
        "cosine/seed=0": ("cosine", 0, 1.0, success, pytest.approx(0.9)),
        "cosine/seed=1": ("cosine", 1, "null", success, pytest.approx(0.8)),
        "onecycle/seed=0": ("onecycle", 0, None, failure, None),
    }


def test_layout_overlays_lr_and_loss_of_all_runs(board: TBContext) -> None:
    plugin = CustomScalarsPlugin(board)
    layout = json.loads(plugin.layout_impl(RequestContext(), ""))
    charts = {c["title"]: c["multiline"]["tag"] for k in layout["category"] for c in k["chart"]}
    assert charts["lr"] == ["^lr$"]
    assert charts["val/loss"] == ["^val/loss$"]
    assert charts["train/loss"] == ["^train/loss$"]


def test_settings_are_those_of_every_run_and_what_the_command_names() -> None:
    config: dict[str, Any] = {
        "optimizer.lr": 0.1,
        "seed": 3,
        "model.depth": 20,
        "trainer.nesterov": True,
    }
    config |= {"scheduler.parts.a.every": 2, "scheduler.parts.b.every": [3]}
    choices = {"scheduler": "chain", "scheduler@scheduler.parts.a": "step"}
    words = ["++optimizer.lr=0.1", "model.depth=20", "~model.width", "scheduler.parts={}"]
    found = hparams.run_hparams(config, choices, [*words, "scheduler@scheduler.parts.a=step"])
    assert found == {
        **{"scheduler": "chain", "optimizer.lr": 0.1, "seed": 3, "model.depth": 20},
        **{"scheduler.parts.a.every": 2, "scheduler.parts.b.every": "[3]"},
        "scheduler@scheduler.parts.a": "step",
    }


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
    assert hparams.session_start({}, 0.0).value[0].tag == metadata.SESSION_START_INFO_TAG
