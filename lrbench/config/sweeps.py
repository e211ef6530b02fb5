"""What Hydra leaves open about a sweep: its lists, its jobs' folders, its launcher's own folder."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lrbench.config import PARTS, ConfigError

AUTO = "auto"  # hydra.sweep.subdir: named after what is swept
MOST_BYTES = 150  # of a folder's name; file systems take 255
# Hears of the config of every job that a sweep composes in this process.
listener: Callable[[DictConfig], None] | None = None
SUBMITIT = "${hydra.sweep.dir}/.submitit/%j"  # where submitit keeps its pickles, by default


def first_choice(override: Override, is_group: Callable[[str], bool]) -> str:
    """`override` as written; of several choices of a group the first one.

    A sweep's config is composed once before those of its jobs, and other overrides may set keys
    that only the choices have.
    """
    chosen = override.is_discrete_sweep() and is_group(override.key_or_group)
    if not chosen or override.is_hydra_override():
        return override.input_line or ""
    first = next(iter(override.sweep_string_iterator()), None)
    if first is None:
        raise _empty(override)
    return f"{override.get_key_element()}={first}"


def overrides_of(cfg: DictConfig, loader: ConfigLoader | None) -> dict[str, Override]:
    """What a sweep was asked for, by key: an experiment's parameters, then the command line."""
    parameters = cfg.hydra.sweeper.get("params") or {}
    words = [*(f"{k}={v}" for k, v in parameters.items()), *cfg.hydra.overrides.task]
    parser = OverridesParser.create(config_loader=loader)
    return {override.get_key_element(): override for override in parser.parse_overrides(words)}


def check_lists(cfg: DictConfig, loader: ConfigLoader) -> None:
    """Refuse a list without a value.

    Raises:
        ConfigError: ``seed=range(3,0)``: there would be no job, and nothing to say of it.
    """
    for override in overrides_of(cfg, loader).values():
        empty = override.is_discrete_sweep() and not any(True for _ in override.sweep_iterator())
        if empty:
            raise _empty(override)


def _empty(override: Override) -> ConfigError:
    return ConfigError(f"{override.input_line} lists no value, so the sweep would have no run")


def make_launcher_private(cfg: DictConfig) -> None:
    """Give submitit a folder that nobody else can have filled: it unpickles what it finds there."""
    launcher = OmegaConf.to_container(cfg.hydra.launcher, resolve=False)
    if isinstance(launcher, dict) and launcher.get("submitit_folder") == SUBMITIT:
        fresh = f".submitit/{secrets.token_hex(8)}/"
        cfg.hydra.launcher.submitit_folder = SUBMITIT.replace(".submitit/", fresh)


def name_folder(
    cfg: DictConfig, master: DictConfig, words: Sequence[str], loader: ConfigLoader
) -> None:
    """Name the folder of the job `cfg`, unless the user has: ``onecycle/lr=0.1,seed=0``.

    Args:
        master: the config of the whole sweep.
        words: the job's overrides.
    """
    if OmegaConf.to_container(cfg.hydra.sweep, resolve=False).get("subdir") != AUTO:  # type: ignore[union-attr]
        return
    asked = overrides_of(master, loader)
    swept = [
        override
        for override in OverridesParser.create(config_loader=loader).parse_overrides(list(words))
        if (key := override.get_key_element()) not in asked or asked[key].is_sweep_override()
    ]
    strategy = _safe(str(cfg.hydra.runtime.choices.get("scheduler")), keep="/")
    keys = [_key(override) for override in swept]
    parts = []
    for override, key in zip(swept, keys, strict=True):
        if key not in ("scheduler", "seed") and not override.is_hydra_override():
            short = key if "@" in key else key.rpartition(".")[2]
            clash = sum(other.rpartition(".")[2] == short for other in keys) > 1
            parts.append(f"{key if clash else short}={_text(override)}")
    name = _safe(",".join([*parts, f"seed={OmegaConf.select(cfg, 'seed')}"]))
    cfg.hydra.sweep.subdir = f"{strategy}/{name}"


def _key(override: Override) -> str:
    package = "" if override.package is None else f"@{override.package}"
    return f"{override.key_or_group}{package}"


def _text(override: Override) -> str:
    value = None if override.is_delete() else override.value()
    return "null" if value is None else str(value)


def _safe(name: str, keep: str = "") -> str:
    """`name` as that of a folder; what had to be changed or cut ends in a hash of all of it."""
    safe = re.sub(rf"[^\w.,=+@ \[\]{{}}:'{keep}-]", "_", name)
    if safe == name and len(name.encode()) <= MOST_BYTES and not name.startswith("."):
        return name
    short = safe.encode()[:MOST_BYTES].decode(errors="ignore").strip(". ")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def refuse_collision(cfg: DictConfig, words: Sequence[str], jobs: dict[str, Any]) -> None:
    """Refuse a job whose folder is another job's of other settings, or is a file.

    Args:
        jobs: the folders so far, and what is trained in each; this job is added.

    Raises:
        ConfigError: it is.
    """
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    place = content["hydra"]["sweep"]["subdir"]
    if "${hydra" in str(place):  # known only when the job begins
        return
    folder = str(OmegaConf.select(cfg, "hydra.sweep.subdir"))
    path = Path(str(OmegaConf.select(cfg, "hydra.sweep.dir")), folder)
    if path.exists() and not path.is_dir():
        raise ConfigError(
            f"{path} is a file, where the folder of a run of this sweep would be: move it away, or "
            "choose another folder with hydra.sweep.dir=..."
        )
    own = {key: content.get(key) for key in (*PARTS, "loop", "seed")}
    if jobs.setdefault(folder, own) != own:
        raise ConfigError(
            f"{' '.join(words)} would be trained in {folder}, as another run of this sweep: name "
            f"whatever is swept in hydra.sweep.subdir, or leave that out"
        )
