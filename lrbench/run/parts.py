"""From a run's config to the parts that it is assembled from, for every command alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from omegaconf import DictConfig

from lrbench.config import PARTS, Call, ConfigError, build, trust
from lrbench.config.checks import nearest
from lrbench.dataset import DatasetConfig
from lrbench.files import run_folder
from lrbench.files.weights import is_weights_file
from lrbench.model import Model
from lrbench.optimizer import Optimizer
from lrbench.scheduler import Scheduler
from lrbench.task import TaskConfig
from lrbench.trainer import Trainer

KEYS = (*PARTS, "seed")
KINDS: Mapping[str, Any] = {
    "model": (Model, Call),
    "dataset": DatasetConfig,
    "optimizer": Optimizer,
    "scheduler": Scheduler,
    "trainer": Trainer,
    "task": TaskConfig,
}


class Parts(NamedTuple):
    """What a config describes, built as far as is possible without torch."""

    seed: int
    settings: Trainer
    scheduler: Scheduler
    dataset: DatasetConfig
    optimizer: Optimizer
    model: Model | Call
    task: TaskConfig


def build_part(cfg: Mapping[str, Any] | DictConfig, group: str) -> Any:
    """The object that the node `group` of the config describes, of the kind that it must be.

    Raises:
        ConfigError: there is no such node, or a key or a value in it is none that there can be.
    """
    if cfg.get(group) is None:
        raise ConfigError(f"{group}: the config has none")
    return build(cfg[group], group, KINDS[group])


def build_parts(cfg: Mapping[str, Any] | DictConfig) -> Parts:
    """The parts of the run that `cfg` describes.

    Raises:
        ConfigError: a key or a value is none that there can be.
    """
    config = run_folder.plain_config(cfg)
    for key, value in config.items():
        if key == trust.KEY:
            raise ConfigError(f"{key}={value} counts on the command line alone, not in a file")
        if key not in KEYS:
            raise ConfigError(f"{key}={value} is not a key ({', '.join(KEYS)}){nearest(key, KEYS)}")
    return Parts(
        seed=checked_seed(config.get("seed")),
        settings=build_part(config, "trainer"),
        scheduler=build_part(config, "scheduler"),
        dataset=build_part(config, "dataset"),
        optimizer=build_part(config, "optimizer"),
        model=_build_model_spec(config),
        task=build_part(config, "task"),
    )


def _build_model_spec(config: dict[str, Any]) -> Model | Call:
    """The model's spec, with the file of weights that may be named for any model."""
    node = config.get("model")
    if not isinstance(node, Mapping) or not is_weights_file(node.get("weights")):
        return cast("Model | Call", build_part(config, "model"))
    own = {key: node[key] for key in ("weights", "weights_digest") if key in node}
    rest = {key: value for key, value in node.items() if key not in own}
    spec: Model | Call = build_part({"model": rest}, "model")
    if isinstance(spec, Call):
        return replace(spec, arguments={**spec.arguments, **own})
    return replace(spec, **own)


def checked_seed(seed: Any) -> int:
    """`seed`, if it can be one.

    Raises:
        ConfigError: it cannot.
    """
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ConfigError(f"seed={seed} must be a whole number from 0 to 2^63 - 1")
    return seed
