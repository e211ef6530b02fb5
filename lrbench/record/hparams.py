"""TensorBoard beyond curves: the HParams table and the overlaid charts of the Custom Scalars tab.

Four summaries, to be written once each into a run's own event file (not, as torch's
``add_hparams`` does, into a sub-run): `experiment`, `session_start` and `layout` when the run
begins, `session_end` when it ends. The final metrics need no summary of their own: the table shows
the last point of each tag of `metrics`.

TensorBoard's own helpers for this want TensorFlow or import half of it; its message types, used
here, don't.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_FLOAT, DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalars
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from lrbench.task import Measure

FIRST = ("scheduler", "lr", "seed")  # columns to see at once

# As in tensorboard.plugins.hparams.metadata, whose import costs a quarter of a second.
PLUGIN_NAME = "hparams"
PLUGIN_DATA_VERSION = 0
EXPERIMENT_TAG = "_hparams_/experiment"
SESSION_START_INFO_TAG = "_hparams_/session_start_info"
SESSION_END_INFO_TAG = "_hparams_/session_end_info"

HParam = str | float | bool


def run_hparams(
    config: Mapping[str, Any], choices: Mapping[str, str], swept: Sequence[str] = ()
) -> dict[str, HParam]:
    """The columns of the HParams table for one run: scheduler, lr, seed, and what it ran on.

    Args:
        config: the flattened config (``{"optimizer.lr": 0.1, ...}``).
        choices: Hydra's choice of each config group.
        swept: further keys to show, such as those a sweep varies.
    """
    named = ("scheduler", "model", "dataset", "optimizer")
    found: dict[str, HParam] = {name: str(choices[name]) for name in named if name in choices}
    keys = {"lr": "optimizer.lr", "seed": "seed", "length": "trainer.length"}
    keys |= {"batch_size": "trainer.batch_size"} | {key: key for key in swept if key not in named}
    shown = set()
    for name, key in keys.items():
        value = config.get(key)
        if value is not None and key not in shown:
            shown.add(key)
            found[name] = value if isinstance(value, bool | int | float | str) else str(value)
    return found


def metrics(measures: Sequence[Measure]) -> list[str]:
    """The tags whose last points the HParams table shows."""
    return [f"{split}/{measure.name}" for split in ("test", "val") for measure in measures]


def charts(measures: Sequence[Measure]) -> dict[str, tuple[str, ...]]:
    """The Custom Scalars tab: each category's tags, a chart each."""
    losses = sorted(measures, key=lambda measure: measure.name != "loss")  # the loss comes first
    named = {m.name: m.name[:1].upper() + m.name[1:].replace("_", " ") for m in losses}
    return {
        "Schedule": ("lr", "momentum"),
        **{title: (f"train/{name}", f"val/{name}") for name, title in named.items()},
    }


def experiment(hparams: Mapping[str, HParam], measures: Sequence[Measure]) -> Summary:
    """Names and types of the table's columns, and the metrics it shows.

    TensorBoard sorts columns by name and shows five; those said to differ, which are `FIRST` and
    the swept keys (with a dot in their name), come before the others. Equal in every run of a
    sweep, so that it does not matter whose TensorBoard reads first.
    """
    return _summary(
        EXPERIMENT_TAG,
        HParamsPluginData(
            experiment=api_pb2.Experiment(
                hparam_infos=[
                    api_pb2.HParamInfo(
                        name=name, type=_type(value), differs=name in FIRST or "." in name
                    )
                    for name, value in hparams.items()
                ],
                metric_infos=[
                    api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag))
                    for tag in metrics(measures)
                ],
            )
        ),
    )


def session_start(hparams: Mapping[str, HParam], time_seconds: float) -> Summary:
    """A run begins with these settings, at `time_seconds` since 1970."""
    info = SessionStartInfo(start_time_secs=time_seconds)
    for name, value in hparams.items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[name].number_value = value
        else:
            info.hparams[name].string_value = value
    return _summary(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def session_end(status: str, time_seconds: float) -> Summary:
    """A run ends: `status` is result.json's; what did not complete counts as failed."""
    info = SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if status == "completed" else api_pb2.STATUS_FAILURE,
        end_time_secs=time_seconds,
    )
    return _summary(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def layout(measures: Sequence[Measure]) -> Summary:
    """The Custom Scalars tab: lr and measures of all runs overlaid, a chart per tag."""
    content = layout_pb2.Layout(
        category=[
            layout_pb2.Category(
                title=title,
                chart=[
                    layout_pb2.Chart(
                        title=tag, multiline=layout_pb2.MultilineChartContent(tag=[f"^{tag}$"])
                    )
                    for tag in tags
                ],
            )
            for title, tags in charts(measures).items()
        ]
    )
    return Summary(
        value=[
            Summary.Value(
                tag=custom_scalars.CONFIG_SUMMARY_TAG,
                metadata=custom_scalars.create_summary_metadata(),
                tensor=TensorProto(
                    dtype=DT_STRING,
                    tensor_shape=TensorShapeProto(),
                    string_val=[content.SerializeToString()],
                ),
            )
        ]
    )


def _summary(tag: str, data: HParamsPluginData) -> Summary:
    data.version = PLUGIN_DATA_VERSION
    plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=data.SerializeToString())
    empty = TensorShapeProto(dim=[TensorShapeProto.Dim(size=0)])
    value = Summary.Value(
        tag=tag,
        metadata=SummaryMetadata(plugin_data=plugin),
        tensor=TensorProto(dtype=DT_FLOAT, tensor_shape=empty),
    )
    return Summary(value=[value])


def _type(value: HParam) -> int:
    if isinstance(value, bool):
        return int(api_pb2.DATA_TYPE_BOOL)
    if isinstance(value, int | float):
        return int(api_pb2.DATA_TYPE_FLOAT64)
    return int(api_pb2.DATA_TYPE_STRING)
