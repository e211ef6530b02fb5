"""How Hydra's configs are loaded: files of other folders choose settings, not what Hydra runs.

Hydra acts on its own node of the config before lrbench sees it: it imports the classes of
callbacks and of loggers, calls what they name, and sets environment variables. On the command line
that is the user's affair; a file in ``--config-dir``, perhaps from someone else, may only set
where runs go and what a sweep varies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lrbench.config import CONF, ConfigError, flatten, trust

FREE = ("mode", "run.dir", "sweep.dir", "sweep.subdir", "sweeper.params")  # any file may set these
# Hydra's own notes on what it composed; the command's overrides are compared for themselves.
NOTES = ("runtime", "overrides", "job.override_dirname")


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which every composition passes through, in every launcher's processes."""

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose, and refuse what only the command line may say.

        Raises:
            ConfigError: a file sets what it may not.
        """
        own = self._only_own_folders(overrides)
        mine = config_name is None or (CONF / f"{config_name}.yaml").is_file()
        if not mine or self._main() != str(CONF):
            raise ConfigError(
                "--config-name and --config-path are not for lrbench: give a folder of your own "
                "files with --config-dir"
            )
        cfg = self._compose(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        if own or trust.HYDRA in trust.trusted():
            return cfg
        parsed = OverridesParser.create().parse_overrides(overrides)
        for_hydra = [o.input_line or "" for o in parsed if o.is_hydra_override()]
        for_task = [o.input_line or "" for o in parsed if not o.is_hydra_override()]
        plain = self._compose(
            config_name, for_hydra, run_mode, from_shell, validate_sweep_overrides
        )
        found, asked = _hydra_settings(cfg), _hydra_settings(plain)
        _check_parameters(cfg.hydra.sweeper.get("params") or {})
        given = cfg.hydra.overrides
        if (list(given.hydra), list(given.task)) != (for_hydra, for_task):
            raise _refused("overrides", given)
        for key in (*found, *asked):
            if found.get(key) != asked.get(key):
                raise _refused(key, found.get(key))
        return cfg

    def _compose(self, config_name: str | None, overrides: list[str], *how: Any) -> DictConfig:
        try:
            return super().load_configuration(config_name, overrides, *how)
        except (HydraException, OmegaConfBaseException, OSError):
            raise
        except Exception as error:  # damaged YAML, and what Hydra does not foresee
            words = " ".join(o for o in overrides if not o.startswith("hydra"))
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"{words} cannot be composed ({reason})") from error

    def get_group_options(
        self,
        group_name: str,
        results_filter: ObjectType | None = ObjectType.CONFIG,
        config_name: str | None = None,
        overrides: list[str] | None = None,
    ) -> list[str]:
        """The choices of a group, without what is only a part of others: ``_warmup``."""
        options = super().get_group_options(group_name, results_filter, config_name, overrides)
        return [option for option in options if not option.startswith("_")]

    def _only_own_folders(self, overrides: list[str]) -> bool:
        """Whether nothing but Hydra's and lrbench's own configs is searched."""
        providers = {entry.provider for entry in self.config_search_path.get_path()}
        searched = any(o.lstrip("+").startswith("hydra.searchpath") for o in overrides)
        return "command-line" not in providers and not searched

    def _main(self) -> str:
        entries = self.config_search_path.get_path()
        return next((e.path for e in entries if e.provider == "main"), "").removeprefix("file://")


@contextmanager
def installed() -> Iterator[None]:
    """Have Hydra use `Loader` for what is begun within."""
    module: Any = hydra._internal.hydra
    before = module.ConfigLoaderImpl
    module.ConfigLoaderImpl = Loader
    try:
        yield
    finally:
        module.ConfigLoaderImpl = before


def _hydra_settings(cfg: DictConfig) -> dict[str, Any]:
    """The leaves of Hydra's node as written, without those in `FREE` and `NOTES`."""
    node = flatten(OmegaConf.to_container(cfg.hydra, resolve=False))
    skipped = tuple(f"{key}." for key in (*FREE, *NOTES))
    return {key: value for key, value in node.items() if not f"{key}.".startswith(skipped)}


def _check_parameters(parameters: Mapping[Any, Any]) -> None:
    """A sweep's parameters become overrides of its jobs, which are for settings alone."""
    for key, value in parameters.items():
        if str(key).strip().lstrip("+~").startswith(("hydra", trust.KEY)):
            raise _refused(f"sweeper.params.{key}", value)


def _refused(key: str, value: Any) -> ConfigError:
    return ConfigError(
        f"hydra.{key}={value} in a config file: write it on the command line, or, if you trust "
        f"those files to run code, {trust.KEY}={trust.HYDRA}"
    )
