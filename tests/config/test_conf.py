"""Every file in conf/ composes, and what it describes can be built."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lrbench.config import build
from lrbench.dataset import DatasetConfig
from lrbench.optimizer import Optimizer
from lrbench.scheduler import Scheduler
from lrbench.trainer import Trainer

CONF = Path(__file__).parents[2] / "conf"
KINDS = {
    "dataset": DatasetConfig,
    "optimizer": Optimizer,
    "scheduler": Scheduler,
    "trainer": Trainer,
}


def choices(group: str) -> list[str]:
    folder = CONF / group
    return sorted(str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.yaml"))


@pytest.mark.parametrize(
    ("group", "choice"),
    [(g, c) for g in (*KINDS, "model") for c in choices(g) if not Path(c).name.startswith("_")],
)
def test_every_choice_builds(group: str, choice: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [f"{group}={choice}"])
    for place in ("root", "path", "target"):
        if OmegaConf.is_missing(cfg.dataset, place):
            cfg.dataset[place] = "mine"
    built = build(cfg[group], group)
    if group in KINDS:
        assert isinstance(built, KINDS[group])


@pytest.mark.parametrize("choice", choices("experiment"))
def test_every_experiment_builds(choice: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [f"experiment={choice}"])
    for group, kind in KINDS.items():
        assert isinstance(build(cfg[group], group), kind)


def test_the_flagship_is_what_it_is_said_to_be() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["experiment=cifar10_resnet18", "scheduler=onecycle"])
    assert cfg.dataset.name == "cifar10"
    assert cfg.scheduler._target_ == "lrbench.scheduler.OneCycle"
    assert (cfg.trainer.precision, cfg.trainer.compile) == ("bf16_if_native", "auto")
    assert cfg.trainer.channels_last is True
