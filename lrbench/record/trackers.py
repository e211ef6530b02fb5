"""Trackers that follow a run live, beside its own files: Weights & Biases and MLflow.

A tracker is no part of what a run is, and one that fails is left alone: the run goes on.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lrbench.config.checks import require_choice

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where a tracker writes the numbers of one run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take `values`, by TensorBoard's tags, as they were after `step` updates."""

    def close(self, status: str) -> None:
        """End the run: ``completed``, ``diverged`` or ``interrupted``."""


@dataclass(frozen=True, kw_only=True)
class Tracker(ABC):
    """What a config says of a tracker."""

    project: str  # under which the runs are listed

    package = ""  # that it needs

    def __post_init__(self) -> None:
        if importlib.util.find_spec(self.package) is None:
            raise ValueError(
                f"_target_={type(self).__name__} needs the package {self.package}: pip install "
                f"{self.package}"
            )

    @abstractmethod
    def open(self, folder: Path, config: Mapping[str, Any], tags: Mapping[str, str]) -> Sink:
        """Begin to follow the run in `folder`, or go on.

        Args:
            config: the flattened config.
            tags: the choices of the config's groups, such as the scheduler's name.
        """


def opened(
    tracker: Tracker, folder: Path, config: Mapping[str, Any], tags: Mapping[str, Any]
) -> list[Sink]:
    """The sink of `tracker` for the run in `folder`; none, and a warning, where it fails."""
    named = {key: str(value) for key, value in tags.items() if value is not None}
    try:
        return [tracker.open(folder, config, named)]
    except Exception as error:
        reason = " ".join(str(error).split())
        log.warning("the tracker cannot be opened, and the run goes on without it: %s", reason)
        return []


@dataclass(frozen=True, kw_only=True)
class WandB(Tracker):
    """Weights & Biases (``pip install wandb``); offline, its files lie in the run folder."""

    mode: str  # online, offline

    package = "wandb"

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, ("online", "offline"))
        super().__post_init__()

    def open(self, folder: Path, config: Mapping[str, Any], tags: Mapping[str, str]) -> Sink:
        import wandb

        run = wandb.init(
            project=self.project,
            mode=self.mode,  # type: ignore[arg-type]
            dir=str(folder),
            name=str(folder),
            config=dict(config),
            tags=[f"{key}={value}"[:64] for key, value in tags.items()],
            settings=wandb.Settings(silent=True, console="off"),
        )
        return _WandBRun(run)


class _WandBRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, status: str) -> None:
        self._run.summary["status"] = status
        self._run.finish(exit_code=0 if status == "completed" else 1)


@dataclass(frozen=True, kw_only=True)
class MLflow(Tracker):
    """MLflow (``pip install mlflow``); a run is found again by its folder."""

    uri: str  # of a store or a server

    package = "mlflow"

    def open(self, folder: Path, config: Mapping[str, Any], tags: Mapping[str, str]) -> Sink:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(self.uri)
        found = client.get_experiment_by_name(self.project)
        experiment = found.experiment_id if found else client.create_experiment(self.project)
        place = str(folder.absolute())
        same = f"tags.folder = '{place}'"
        known = [] if "'" in place else client.search_runs([experiment], same, max_results=1)
        if known:
            run_id = known[0].info.run_id
        else:
            labels = {**tags, "folder": place}
            run_id = client.create_run(experiment, tags=labels, run_name=folder.name).info.run_id
            for key, value in config.items():
                client.log_param(run_id, key, str(value)[:500])
        return _MLflowRun(client, run_id)


class _MLflowRun:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._id = client, run_id

    def log(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self, status: str) -> None:
        ended = {"completed": "FINISHED", "diverged": "FAILED"}.get(status, "KILLED")
        self._client.set_terminated(self._id, ended)
