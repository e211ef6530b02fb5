"""What a study stands on: its settings, the config that its runs share, and its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lrbench.cli import sweep_folders
from lrbench.config import GROUPS, ConfigError, build, duration, search
from lrbench.config.checks import nearest, require
from lrbench.files import run_folder
from lrbench.run.parts import build_part
from lrbench.study.arguments import Arguments
from lrbench.study.records import Point, Setting
from lrbench.study.settings import Study, share


@dataclass(kw_only=True)
class StudyConfig:
    """A study before it begins.

    Attributes:
        overrides: what the command gave for every run, Hydra's own left out.
        for_hydra: what it gave for Hydra: the launcher, the search path.
        folder: the study folder.
        default_lr: `optimizer.lr` as composed.
        length: `trainer.length` as composed.
        choices: Hydra's choices by group, its own too.
    """

    study: Study
    tuner: str
    overrides: tuple[str, ...]
    for_hydra: tuple[str, ...]
    folder: Path
    default_lr: float
    length: str
    choices: Mapping[str, str]
    _composed: dict[tuple[str, ...], DictConfig] = field(default_factory=dict, repr=False)

    def words(self, point: Point) -> list[str]:
        """The overrides that the run of `point` is composed with: the command's, then its own."""
        own = {parse(word).key_or_group for word in point.overrides}
        return [w for w in self.overrides if parse(w).key_or_group not in own] + list(
            point.overrides
        )

    def run_config(self, point: Point) -> dict[str, Any]:
        """The plain config of the run of `point`, as Hydra will compose it.

        Groups are composed once per choice; values are set on a copy, which is far quicker.
        """
        parsed = [parse(word) for word in self.words(point)]
        own = {parse(word).key_or_group for word in point.overrides}
        values = [o for o in parsed if o.key_or_group in own and o.key_or_group not in GROUPS]
        words = tuple(o.input_line or "" for o in parsed if o not in values)
        if words not in self._composed:
            self._composed[words] = self.compose(words)
        cfg = self._composed[words].copy()
        for override in values:
            OmegaConf.update(cfg, override.key_or_group, override.value())
        return run_folder.plain_config(cfg)

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The config of a run with the overrides `words`."""
        return compose("config", [*_search_path(self.for_hydra), *words])

    def lengths(self) -> Iterator[tuple[float, str]]:
        """Each budget's share, and the `trainer.length` that it comes to."""
        for text in self.study.budgets:
            part = share("budgets", text)
            yield part, duration.scaled(self.length, part)

    def point(self, kind: str, strategy: str, setting: Setting, seed: int, length: str) -> Point:
        """The run of `strategy` at `setting`, in ``<length>/<kind>/<strategy>/lr=0.1,seed=0``."""
        dealt = self.study.splits is not None and kind in ("final", "untuned")
        split = self.study.split(seed) if dealt else None
        own = "" if split is None else f",split={split}"
        name = re.sub(r"[/\s]+", "_", f"{setting.label}{own},seed={seed}")
        stage = re.sub(r"\s+", "_", length)
        return Point(
            folder=self.folder / stage / kind / strategy / name,
            strategy=strategy,
            seed=seed,
            overrides=(
                f"scheduler={strategy}",
                f"optimizer.lr={setting.lr!r}",
                *(f"scheduler.{key}={hydra_value(v)}" for key, v in setting.knobs.items()),
                *(() if split is None else (f"dataset.split_seed={split}",)),
                f"seed={seed}",
                f"trainer.length={sweep_folders.quoted(length)}",
            ),
        )


@contextmanager
def compose_study(arguments: Arguments) -> Iterator[StudyConfig]:
    """Compose what `arguments` ask for; Hydra stays set up within the ``with`` block.

    Raises:
        ConfigError, ValueError, HydraException, OmegaConfBaseException: a mistake in the
            arguments or the files; the message is one line.
    """
    with search(arguments.config_dir) as search_path:
        parsed = [parse(word) for word in (*arguments.job, *arguments.overrides)]
        for_hydra = [
            *search_path,
            *(o.input_line or "" for o in parsed if o.is_hydra_override()),
        ]
        overrides = tuple(o.input_line or "" for o in parsed if not o.is_hydra_override())
        studied = [*_search_path(for_hydra), f"+study={arguments.study}"]
        cfg = compose(
            "config", [*studied, *overrides, *arguments.settings], return_hydra_config=True
        )
        if cfg.hydra.sweeper.get("params"):
            swept = ", ".join(map(str, cfg.hydra.sweeper.params))
            raise ConfigError(
                f"experiment={cfg.hydra.runtime.choices.experiment}: it is a sweep over {swept} by "
                "itself, and a study chooses what it compares: study=..."
            )
        study = build(cfg.study, "study")
        if cfg.get("loop") is not None:  # the guide changes models and reads lrbench's own records
            study = replace(study, guide=None)
        choices = {str(k): str(v) for k, v in cfg.hydra.runtime.choices.items()}
        found = StudyConfig(
            study=study,
            tuner=arguments.tuner,
            overrides=overrides,
            for_hydra=tuple(for_hydra),
            folder=arguments.folder or Path(_folder(arguments, overrides, choices)),
            default_lr=_default_lr(cfg),
            length=build_part(cfg, "trainer").length,
            choices=choices,
        )
        _check_schedulers(found)
        yield found


def _search_path(for_hydra: Sequence[str]) -> list[str]:
    return [word for word in for_hydra if word.lstrip("+").startswith("hydra.searchpath")]


def _folder(arguments: Arguments, overrides: Sequence[str], choices: Mapping[str, str]) -> str:
    """Named after the runs' config: a study with more seeds reuses what is there."""
    experiment = choices.get("experiment", "None")
    parts = ("dataset", "model") if choices["loop"] == "own" else ("loop",)
    named = [experiment] if experiment != "None" else [choices[part] for part in parts]
    shaping = [*overrides, f"study={arguments.study}", f"tuner={arguments.tuner}"]
    return sweep_folders.folder_name(["study", *named], shaping)


def _default_lr(cfg: DictConfig) -> float:
    lr = cfg.optimizer.get("lr")
    number = isinstance(lr, int | float) and not isinstance(lr, bool)
    require(number and lr > 0, "optimizer.lr", lr, "must be a number above 0: a study tunes it")
    return float(lr)


def _check_schedulers(found: StudyConfig) -> None:
    """Compose and build every strategy, with every value of its knobs, before anything runs."""
    study = found.study
    known = GlobalHydra.instance().config_loader().get_group_options("scheduler")
    if study.tuning_draws > 1 and found.tuner != "grid":
        raise ConfigError(
            f"tuner={found.tuner}: a search that learns from its trials is one draw: "
            "study.tuning_draws=1, or tuner=grid"
        )
    if study.splits is not None and "split_seed" not in found.compose(found.overrides).dataset:
        dataset = found.choices["dataset"]
        raise ConfigError(f"study.splits: dataset={dataset} has no split_seed: study.splits=null")
    for name in study.knobs:
        if name not in known and "/" not in name:
            raise ConfigError(f"study.knobs.{name}: no such scheduler{nearest(name, known)}")
    for name in (*study.strategies, *study.references):
        words = [*found.overrides, f"scheduler={name}"]
        tried: list[list[str]] = [[]]
        if study.knob_trials or found.tuner == "optuna":
            knobs = study.knobs.get(name, {})
            tried += [
                [f"scheduler.{key}={hydra_value(value)}"]
                for key, values in knobs.items()
                for value in values
            ]
        for more in tried:
            try:
                build_part(found.compose([*words, *more]), "scheduler")
            except ValueError as error:
                raise ConfigError(f"{' '.join([name, *more])}: {error}") from error


def hydra_value(value: Any) -> str:
    """`value` in Hydra's override grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(hydra_value, value))}]"
    return sweep_folders.quoted(value) if isinstance(value, str) else repr(value)


@cache
def parse(word: str) -> Override:
    """One override of the command line, read."""
    return OverridesParser.create().parse_override(word)
