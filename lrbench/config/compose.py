"""Composing configs outside Hydra's own command: previews, studies, resumed runs, other programs.

None of it disturbs the Hydra of a program that lrbench is called from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrbench.config import PARTS
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
    from hydra import version
    from hydra._internal.hydra import Hydra
    from hydra._internal.utils import create_config_search_path
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.utils import JobRuntime

    from lrbench.config import foreign_files

    more = []
    if config_dir is not None:
        _check_folder(config_dir)
        more = [f"hydra.searchpath=['file://{config_dir.resolve()}']"]
    here, job = GlobalHydra.instance(), JobRuntime.instance()
    before = here.hydra, version.VersionBase.instance().version_base, job.get("name")
    config = HydraConfig.instance().cfg
    here.clear()
    try:
        version.setbase("1.3")
        with foreign_files.installed():
            Hydra.create_main_hydra2("lrbench", create_config_search_path(str(conf)))
            yield more
    finally:
        here.hydra, version.VersionBase.instance().version_base, name = before
        job.set("name", name)
        HydraConfig.instance().cfg = config


def load(group: str, choice: str, *, config_dir: Path | str | None = None, **changes: Any) -> Any:
    """Build ``conf/{group}/{choice}.yaml`` without a command line, with `changes` to its keys.

    Args:
        config_dir: a folder with more choices, as ``--config-dir`` names it.

    Raises:
        ConfigError: a change does not fit.
        hydra.errors.MissingConfigException: there is no such choice.
    """
    content = read_choice(group, choice, None if config_dir is None else Path(config_dir))
    node: Any = OmegaConf.to_container(content[group], resolve=True)
    return build({**node, **changes}, group)


def read_choice(group: str, choice: str, config_dir: Path | None = None) -> DictConfig:
    """What the file of `choice` says, its defaults included: ``{group: {...}}``, perhaps more.

    Raises:
        ConfigError: `config_dir` is no folder, or the file is not read.
        hydra.errors.MissingConfigException: there is no such choice.
    """
    from hydra.core.object_type import ObjectType
    from hydra.errors import MissingConfigException

    from lrbench.config.foreign_files import FilesLoader

    if config_dir is not None:
        _check_folder(config_dir)
    loader = FilesLoader([CONF, *([] if config_dir is None else [config_dir])])
    if not loader.repository.config_exists(f"{group}/{choice}"):
        options: list[str] = []
        if loader.repository.group_exists(group):
            options = loader.repository.get_group_options(group, ObjectType.CONFIG)
        raise MissingConfigException(
            f"{group}={choice}: there is no such file ({', '.join(options)})",
            f"{group}/{choice}",
            options,
        )
    return loader.compose_file(f"{group}/{choice}")


def change(
    config: Mapping[str, Any], words: Sequence[str], config_dir: Path | None = None
) -> dict[str, Any]:
    """`config`, plain and resolved, with the overrides `words` of a command line.

    Choices of a group (``scheduler=linear``) are read from conf/ or `config_dir`, never from
    where `config` lay.

    Raises:
        ConfigError, HydraException, OmegaConfBaseException: a mistake in `words`.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra.core.override_parser.overrides_parser import OverridesParser

    cfg = OmegaConf.create(dict(config))
    values = []
    for override in OverridesParser.create().parse_overrides(list(words)):
        key, line = override.key_or_group, override.input_line
        if override.is_sweep_override():
            raise ConfigError(f"{line}: one value at a time")
        if key == "experiment":
            raise ConfigError(f"{line}: an experiment begins a run; name what you want to change")
        if key not in PARTS or not isinstance(override.value(), str) or override.is_delete():
            values.append(override)
            continue
        found = read_choice(key, str(override.value()), config_dir)
        if override.package is not None:  # within another node, such as a part of a chain
            OmegaConf.update(cfg, override.package, found[key], merge=False, force_add=True)
            continue
        cfg[key] = found.pop(key)
        cfg = OmegaConf.merge(cfg, found)  # type: ignore[assignment]
    OmegaConf.set_struct(cfg, True)
    ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
    changed: Any = OmegaConf.to_container(cfg, resolve=True)
    return {str(key): value for key, value in changed.items()}


def _check_folder(config_dir: Path) -> None:
    if not config_dir.is_dir():
        raise ConfigError(f"--config-dir {config_dir} is not a folder")
