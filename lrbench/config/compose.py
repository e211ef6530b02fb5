"""Composing configs with Hydra outside its own command: previews, studies, other programs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lrbench.config.builder import CONF, build
from lrbench.config.checks import ConfigError


@contextmanager
def search(config_dir: Path | None, conf: Path = CONF) -> Iterator[list[str]]:
    """Hydra set up on `conf`, for `hydra.compose` within a ``with`` block.

    Yields:
        overrides to compose with, which add the choices in `config_dir`.

    Raises:
        ConfigError: `config_dir` is no folder.
    """
    from hydra import initialize_config_dir

    from lrbench.config import foreign_files

    more = []
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ConfigError(f"--config-dir {config_dir} is not a folder")
        more = [f"hydra.searchpath=['file://{config_dir.resolve()}']"]
    with (
        foreign_files.installed(),
        initialize_config_dir(str(conf), job_name="lrbench", version_base="1.3"),
    ):
        yield more


def load(group: str, choice: str, **changes: Any) -> Any:
    """Build ``conf/{group}/{choice}.yaml`` without a command line, with `changes` to its keys.

    Raises:
        ConfigError: a change does not fit.
        hydra.errors.MissingConfigException: there is no such choice.
    """
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose("config", [f"{group}={choice}"])[group]
    return build({**OmegaConf.to_container(node, resolve=True), **changes}, group)  # type: ignore[dict-item]
