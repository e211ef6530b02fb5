"""How Hydra's configs are loaded: files of other folders choose settings, not what Hydra runs.

Hydra acts on its own node of the config before lrbench sees it: it imports the classes of
callbacks and of loggers, calls what they name, and sets environment variables. On the command line
that is the user's affair. A file in ``--config-dir``, perhaps from someone else, is plain data for
one of lrbench's groups, and of Hydra's node it may set `FREE` alone.
"""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra._internal.defaults_list
import hydra._internal.hydra
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.config_repository import (
    CachingConfigRepository,
    ConfigRepository,
    IConfigRepository,
)
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.structured_config_source import StructuredConfigSource
from hydra._internal.defaults_list import Overrides, _create_defaults_list
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lrbench.config import GROUPS, ConfigError, flatten, sweeps, trust
from lrbench.config.plain_yaml import ReadError, parse_yaml

FOREIGN_GROUPS = (*GROUPS, "study")  # what a folder of the user's own may hold files for
# Of Hydra's node, what any file may set: str stands for a text.
FREE: Mapping[str, Any] = {
    "mode": str,
    "run": {"dir": str},
    "sweep": {"dir": str, "subdir": str},
    "sweeper": {"params": dict},
}
MOST_BYTES = 2**20  # of a config file
MOST_COMPOSED = 64  # of a sweep's jobs, that are kept for others that have another seed
_SEED = re.compile(r"seed=(0|[1-9]\d{0,8})")
# Overrides that may say whether a command is a run or a sweep.
_SETS_MODE = re.compile(r"[+~]*(experiment|hydra\.(mode|searchpath))\b")


class Repository(ConfigRepository):
    """Hydra's access to config files; those of folders that are not lrbench's are checked."""

    def __deepcopy__(self, memo: Any) -> Repository:
        """A repository of its own with the same sources, which hold no state.

        Hydra copies one for each question, with everything it holds: 48 times for ``--help``.
        """
        other = object.__new__(Repository)
        other.sources = list(self.sources)
        return other

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Read a config file.

        Raises:
            ConfigError: it is not for one of lrbench's groups, no plain data, or speaks of Hydra.
        """
        if ".." in config_path.split("/") or not config_path.isprintable():
            raise ConfigError(f"{config_path!r} is no name of a config file")
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        checked = source is not None and _is_foreign(source) and not _trusted()
        if checked and source is not None:
            if config_path.split("/")[0] not in FOREIGN_GROUPS:
                raise _refused(f"{config_path} is no file of {', '.join(FOREIGN_GROUPS)}")
            if source.scheme() == "file":
                _check_text(Path(source.path, f"{config_path.removesuffix('.yaml')}.yaml"))
        result = self._read(source, config_path)
        if checked and result is not None:
            for default in result.defaults_list or ():
                named = getattr(default, "group", None) or getattr(default, "path", None) or ""
                for name in (named.lstrip("/"), default.package or ""):
                    if re.match(r"(_global_\.)?hydra\b", name) or "${" in name:
                        raise _refused(f"defaults: {named} in {config_path}")
        return result

    def _read(self, source: ConfigSource | None, config_path: str) -> ConfigResult | None:
        """The content of a file, which is parsed once a process as long as it stays as it is.

        A sweep composes each of its runs twice, of some twenty files each time.
        """
        if source is None or source.scheme() != "file":
            return super().load_config(config_path)
        path = Path(source.path, f"{config_path.removesuffix('.yaml')}.yaml")
        state = path.stat()
        key = source.provider, path, state.st_mtime_ns, state.st_size
        if key not in _FILES:
            _FILES[key] = pickle.dumps(super().load_config(config_path))
        result: ConfigResult | None = pickle.loads(_FILES[key])
        return result


_FILES: dict[tuple[str, Path, int, int], bytes] = {}  # of a `ConfigResult`, which Hydra changes


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which every composition passes through, in every launcher's processes."""

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self.repository = Repository(config_search_path)
        self._jobs: dict[str, Any] = {}  # of a sweep: each folder, and what is trained there
        self._composed: dict[str, DictConfig] = {}  # of some of its jobs

    def __getstate__(self) -> dict[str, Any]:
        """What a launcher hands to the process of each job."""
        return {**self.__dict__, "_composed": {}}

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """Compose a config; that of a whole sweep with the first of several choices of a group.

        Raises:
            ConfigError: a file sets what only the command line may say, or a list is empty.
        """
        if run_mode is RunMode.MULTIRUN and not validate_sweep_overrides:
            # Hydra asks for the mode alone, before it composes everything once more.
            foreign = any(_is_foreign(source) for source in self.repository.sources)
            if not foreign and not any(_SETS_MODE.match(word) for word in overrides):
                return OmegaConf.create({"hydra": {"mode": None}})
        how = (config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        if run_mode is not RunMode.MULTIRUN:
            return self._compose(*how)
        parsed = OverridesParser.create(config_loader=self).parse_overrides(overrides)
        first = [sweeps.first_choice(o, self.repository.group_exists) for o in parsed]
        cfg = self._compose(config_name, first, *how[2:])
        cfg.hydra.overrides.task = [o.input_line for o in parsed if not o.is_hydra_override()]
        sweeps.check_lists(cfg, self)
        sweeps.make_launcher_private(cfg)
        return cfg

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Compose the config of a sweep's job, in a folder that names whatever is swept.

        Raises:
            ConfigError: another job of the sweep has the same folder.
        """
        config = self._load_job(master_config, sweep_overrides)
        sweeps.name_folder(config, master_config, sweep_overrides, self)
        sweeps.refuse_collision(config, sweep_overrides, self._jobs)
        if sweeps.listener is not None:
            sweeps.listener(config)
        return config

    def _load_job(self, master: DictConfig, words: list[str]) -> DictConfig:
        """Compose the config of a job; of those that differ in their seed alone, only the first.

        Composing takes about 0.1 s, and a sweep's jobs are composed one after another, before the
        first one begins.
        """
        seeds = [word for word in words if _SEED.fullmatch(word)]
        if len(seeds) != 1:
            return super().load_sweep_config(master, words)
        asked = master.hydra.overrides.hydra, ["seed" if w in seeds else w for w in words]
        key = str((master.hydra.job.config_name, *asked))
        if key not in self._composed:
            if len(self._composed) == MOST_COMPOSED:
                self._composed.clear()
            self._composed[key] = super().load_sweep_config(master, words)
        config = copy.deepcopy(self._composed[key])
        OmegaConf.copy_cache(from_config=master, to_config=config)
        config.seed = int(seeds[0].removeprefix("seed="))
        job, task = config.hydra.job, config.hydra.overrides.task
        task[:] = [seeds[0] if _SEED.fullmatch(word) else word for word in task]
        parsed = OverridesParser.create(config_loader=self).parse_overrides(list(task))
        job.override_dirname = get_overrides_dirname(parsed, **job.config.override_dirname)
        return config

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

    def _compose(self, config_name: str | None, overrides: list[str], *how: Any) -> DictConfig:
        try:
            return super().load_configuration(config_name, overrides, *how)
        except (HydraException, OmegaConfBaseException, OSError, ConfigError):
            raise
        except Exception as error:  # damaged YAML, and what Hydra does not foresee
            words = " ".join(o for o in overrides if not o.startswith("hydra"))
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"{words} cannot be composed ({reason})") from error

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        """One file, with its content where it belongs in the config.

        Raises:
            ConfigError: it sets more of Hydra's node than `FREE`, or has a key with a dot.
        """
        result = super()._load_single_config(default, repo)
        path = default.config_path or ""
        # lrbench's own main files, and what is Hydra's by name; a foreign file is neither.
        exempt = default.primary or "/" not in path or path.startswith("hydra/")
        if not (exempt or _trusted()):
            content = OmegaConf.to_container(result.config, resolve=False)
            if isinstance(content, dict) and "hydra" in content:
                _check_free(content.pop("hydra"), FREE, "hydra")
            _check_keys(content, path)
        return result


class FilesLoader(Loader):
    """Composes single files of `folders`, the first of which is lrbench's own, and nothing else.

    It looks for no plugins and leaves Hydra's global state alone.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.repository = object.__new__(Repository)
        providers = ["main", *["command-line"] * (len(folders) - 1)]
        self.repository.sources = [
            *(
                FileConfigSource(p, str(f.resolve()))
                for p, f in zip(providers, folders, strict=True)
            ),
            StructuredConfigSource("schema", "structured://"),
        ]

    def compose_file(self, config_path: str) -> DictConfig:
        """The file at `config_path` with its defaults, where it belongs in a config."""
        base = version.VersionBase.instance()
        before, base.version_base = base.version_base, version._get_version("1.3")
        try:
            repo = CachingConfigRepository(self.repository)
            # Not `create_defaults_list`, which refuses a file that overrides what it does not hold,
            # as a dataset's overrides the task.
            defaults, _ = _create_defaults_list(
                repo=repo,
                config_name=config_path,
                overrides=Overrides(repo=repo, overrides_list=[]),
                prepend_hydra=False,
                skip_missing=False,
            )
            return self._compose_config_from_defaults_list(defaults, repo)
        finally:
            base.version_base = before


@contextmanager
def installed() -> Iterator[None]:
    """Have Hydra use `Loader` for what is begun within, and make no map that nobody reads."""
    module: Any = hydra._internal.hydra
    lists: Any = hydra._internal.defaults_list
    before = module.ConfigLoaderImpl, lists._create_interpolation_map
    module.ConfigLoaderImpl = Loader
    lists._create_interpolation_map = _choices_where_a_default_names_one
    try:
        yield
    finally:
        module.ConfigLoaderImpl, lists._create_interpolation_map = before


_create_interpolation_map = hydra._internal.defaults_list._create_interpolation_map


def _choices_where_a_default_names_one(
    overrides: Overrides, defaults_list: list[InputDefault], self_added: bool
) -> DictConfig | None:
    """The choices so far, of which Hydra makes a config for each file, to look into it seldom."""
    if not any(default.is_interpolation() for default in defaults_list):
        return None
    return _create_interpolation_map(overrides, defaults_list, self_added)


def _is_foreign(source: ConfigSource) -> bool:
    return source.provider == "command-line" or source.provider.startswith("hydra.searchpath")


def _trusted() -> bool:
    return trust.HYDRA in trust.trusted()


def _check_text(path: Path) -> None:
    """Refuse a file that is too large, or whose aliases could describe an endless text."""
    if path.stat().st_size > MOST_BYTES:
        raise ConfigError(f"{path} has more than {MOST_BYTES:,} bytes")
    try:
        parse_yaml(path.read_text(encoding="utf-8"))
    except (ReadError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} {error}") from error


def _check_keys(content: Any, path: str) -> None:
    """Refuse keys with dots, which look like nested ones and are not."""
    nested: Sequence[Any] = content if isinstance(content, list) else ()
    if isinstance(content, dict):
        for key in content:
            if "." in str(key) and path.split("/")[0] != "study":
                nested_key = ": ".join(str(key).split("."))
                raise ConfigError(f"{key} in {path}: a key holds no dots; write {nested_key}")
        nested = list(content.values())
    for item in nested:
        _check_keys(item, path)


def _check_free(node: Any, free: Any, place: str) -> None:
    """Refuse what `free` does not name or is of another kind."""
    if free is dict and isinstance(node, dict):
        for key, value in node.items():
            sane = re.fullmatch(r"[+~]*[\w./@-]+", str(key))
            own = str(key).lstrip("+~").startswith(("hydra", trust.KEY)) or "@hydra" in str(key)
            if not sane or own or isinstance(value, dict):
                raise _refused(f"{place}.{key}={value}")
    elif isinstance(free, Mapping) and isinstance(node, dict):
        for key, value in node.items():
            if key not in free:
                leaf, setting = next(iter(flatten({key: value}).items()))
                raise _refused(f"{place}.{leaf}={setting}")
            _check_free(value, free[key], f"{place}.{key}")
    elif free is not str or not isinstance(node, str):
        raise _refused(f"{place}={node}")


def _refused(what: str) -> ConfigError:
    return ConfigError(
        f"{what} in a config file: write it on the command line, or, if you trust those files to "
        f"run code, {trust.KEY}={trust.HYDRA}"
    )
