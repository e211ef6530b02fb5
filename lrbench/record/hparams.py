"""TensorBoard beyond curves: the HParams table and the overlaid charts of the Custom Scalars tab.

Three summaries, each written once into a run's own event file (not, as torch's ``add_hparams``
does, into a sub-run): `session_start` and `layout` when the run begins, `session_end` when it ends.
TensorBoard makes the table's columns from the settings of all runs that it reads, those that differ
first. A header of the columns (``_hparams_/experiment``) is not written: TensorBoard would take any
one run's header for all, and not show a setting that only other runs name.

TensorBoard's own helpers for this need TensorFlow or import half of it; its message types, used
here, do not.
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

SHOWN = (  # of every run
    *("scheduler", "task", "model", "dataset", "optimizer"),
    *("optimizer.lr", "seed", "trainer.length", "trainer.batch_size"),
)

# As in tensorboard.plugins.hparams.metadata, whose import costs a quarter of a second.
PLUGIN_NAME = "hparams"
PLUGIN_DATA_VERSION = 0
SESSION_START_INFO_TAG = "_hparams_/session_start_info"
SESSION_END_INFO_TAG = "_hparams_/session_end_info"

HParam = str | float | bool


def run_hparams(
    config: Mapping[str, Any], choices: Mapping[str, str], overrides: Sequence[str] = ()
) -> dict[str, HParam]:
    """The settings of one run that the HParams table shows.

    Args:
        config: the flattened config (``{"optimizer.lr": 0.1, ...}``).
        choices: Hydra's choice of each config group.
        overrides: the words of the command, each of whose keys is shown (``+optimizer.lr=0.1``).
    """
    given = [word.partition("=")[0].lstrip("+~") for word in overrides]
    found: dict[str, HParam] = {}
    for name in dict.fromkeys((*SHOWN, *given)):
        if name in choices:
            found[name] = str(choices[name])
            continue
        for key, value in config.items():
            if key == name or key.startswith(f"{name}."):
                plain = isinstance(value, bool | int | float | str)
                found[key] = "null" if value is None else value if plain else str(value)
    return found


def charts(measures: Sequence[Measure]) -> dict[str, tuple[str, ...]]:
    """The tags of the Custom Scalars tab by category; each tag becomes a chart."""
    losses = sorted(measures, key=lambda measure: measure.name != "loss")  # the loss comes first
    named = {m.name: m.name[:1].upper() + m.name[1:].replace("_", " ") for m in losses}
    return {
        "Schedule": ("lr", "momentum"),
        **{title: (f"train/{name}", f"val/{name}") for name, title in named.items()},
    }


def session_start(hparams: Mapping[str, HParam], time_seconds: float) -> Summary:
    """The summary that a run with these settings began at `time_seconds` since 1970."""
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
    """The summary that a run ended, as result.json's `status` says; only completed is a success."""
    info = SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if status == "completed" else api_pb2.STATUS_FAILURE,
        end_time_secs=time_seconds,
    )
    return _summary(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def layout(measures: Sequence[Measure]) -> Summary:
    """The summary that draws lr and measures of all runs over each other, a chart per tag."""
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
