"""From overrides to composed configs: one for each combination of the lists among them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lrbench.config import ConfigError, search

SAME_FOR_ALL = ("seed", "model")  # they change no schedule: a list of them is not drawn twice


@dataclass(frozen=True)
class Choice:
    """One composed config and its name on the curve."""

    name: str  # of the scheduler's file: onecycle
    label: str  # with what was varied besides: onecycle, lr=0.1
    dataset: str  # name of the dataset's file
    cfg: DictConfig


def compose(
    overrides: Sequence[str], *, conf: Path, config_dir: Path | None = None
) -> list[Choice]:
    """Compose the config once per combination of the lists in `overrides`.

    The lists of an experiment file (``hydra.sweeper.params``) count where `overrides` does not
    name the key itself.

    Args:
        conf: the folder with config.yaml.
        config_dir: a folder with more choices.

    Raises:
        HydraException, OmegaConfBaseException, ConfigError: a mistake in the overrides or files.
    """
    with search(config_dir, conf) as search_path:
        loader = GlobalHydra.instance().config_loader()
        parser = OverridesParser.create(config_loader=loader)
        parsed = parser.parse_overrides(list(overrides))
        composed = _Composer(search_path)
        cfg = composed(tuple(_variants(override)[0] for override in parsed))
        given = {override.get_key_element() for override in parsed}
        more = [f"{key}={value}" for key, value in _sweep_of(cfg).items() if key not in given]
        parsed += parser.parse_overrides(more)
        lists = [_variants(override) for override in parsed]
        swept = [
            override.get_key_element()
            for override, variants in zip(parsed, lists, strict=True)
            if len(variants) > 1
        ]
        choices = []
        for words in product(*lists):
            with_hydra = composed(words)
            names = with_hydra.hydra.runtime.choices
            cfg = OmegaConf.masked_copy(with_hydra, [str(k) for k in with_hydra if k != "hydra"])
            name = str(names.scheduler)
            choices.append(Choice(name, _label(name, words, swept), str(names.dataset), cfg))
        return choices


class _Composer:
    """Composes overrides and keeps the last result, which may be requested again at once."""

    def __init__(self, search_path: Sequence[str]) -> None:
        self._search_path = tuple(search_path)
        self._last: tuple[tuple[str, ...], DictConfig] | None = None

    def __call__(self, words: tuple[str, ...]) -> DictConfig:
        if self._last is None or self._last[0] != words:
            overrides = [*self._search_path, *words]
            self._last = (words, hydra_compose("config", overrides, return_hydra_config=True))
        return self._last[1]


def _variants(override: Override) -> list[str]:
    """The override as written, or one per value of its list."""
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.get_key_element()
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: the preview takes lists, not intervals")
    values = list(override.sweep_string_iterator())
    if not values:
        raise ConfigError(f"{override.input_line} matches nothing")
    if key in SAME_FOR_ALL:
        values = values[:1]
    return [f"{key}={value}" for value in values]


def _sweep_of(cfg: DictConfig) -> dict[str, Any]:
    """What an experiment file sweeps over."""
    if cfg.hydra.mode is not RunMode.MULTIRUN:
        return {}
    return dict(cfg.hydra.sweeper.get("params") or {})


def _label(name: str, words: Sequence[str], swept: Sequence[str]) -> str:
    parts = [name]
    for word in words:
        key, _, value = word.partition("=")
        if key in swept and key != "scheduler":
            short = key.rpartition(".")[2]
            clash = sum(other.rpartition(".")[2] == short for other in swept) > 1
            text = re.sub(r"\\(.)", r"\1", value).strip("'\"")  # Hydra escapes spaces
            parts.append(f"{key if clash else short}={text}")
    return ", ".join(parts)
