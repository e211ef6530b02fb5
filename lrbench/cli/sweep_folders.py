"""What ``python -m lrbench`` says to Hydra in the user's stead: folders' names, and resuming."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from lrbench.cli.argv import Argv, Options, read_argv
from lrbench.config import GROUPS, ConfigError
from lrbench.files import run_folder

_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
OPTIONS: Options = {  # of Hydra's, those that make sense here
    spelling: (f"--{name}", takes)
    for name, short, takes in (
        ("multirun", "m", False),
        ("run", "r", False),
        ("cfg", "c", True),
        ("package", "p", True),
        ("info", "i", _INFO),
        ("shell-completion", "sc", False),
        ("resolve", "", False),
        ("hydra-help", "", False),
        ("version", "", False),
    )
    for spelling in (f"--{name}", *([f"-{short}"] if short else []))
}

CONFIG_KEYS = (*GROUPS, "seed", *run_folder.STEERING)


@dataclass(frozen=True)
class Prepared:
    """A command line of ``python -m lrbench``, ready for Hydra.

    Attributes:
        argv: the words for Hydra.
        changes: where a run is resumed, overrides of its recorded config.
        config_dir: the folder of the user's own files.
    """

    argv: list[str]
    changes: list[str] = field(default_factory=list)
    config_dir: Path | None = None


def prepare(argv: Sequence[str]) -> Prepared:
    """Rewrite the arguments of ``python -m lrbench`` where Hydra alone does not know what is meant.

    - ``trust=MODULE`` is obeyed and taken out: no config file can say it.
    - Options stand first, wherever they were: argparse takes overrides in one stretch only.
    - ``resume=FOLDER`` runs in FOLDER. Hydra composes nothing of what lies there, and the command's
      other overrides are kept for the recorded config.
    - A sweep (``-m``) gets a folder named after the command, so that repeating the command finds
      it again.

    Raises:
        ConfigError: FOLDER is no run folder, or a word is none that there can be.
        TrustError: MODULE is no name of a module.
    """
    words = read_argv(argv, ("resume",), options=OPTIONS, config_keys=CONFIG_KEYS)
    overrides = OverridesParser.create().parse_overrides(words.overrides)
    given = {override.key_or_group: override for override in overrides}
    resumed = words.own.get("resume", "null")  # as written: Hydra's grammar would see seed=0 in it
    if resumed not in ("", "null"):
        return _resume(words, overrides, resumed)
    # An experiment may be a sweep by itself, with a folder of its own: that is its YAML's affair
    # until more than its name is given.
    settings = [key for key in given if not key.startswith(("hydra", *run_folder.STEERING))]
    added: list[str] = []
    sweeps = "--multirun" in words.options or "experiment" in given
    if sweeps and settings != ["experiment"] and "hydra.sweep.dir" not in given:
        added.append(f"hydra.sweep.dir={quoted(sweep_dir(overrides))}")
    return Prepared([*_flags(words), *words.overrides, *added], config_dir=words.config_dir)


def _flags(words: Argv) -> list[str]:
    """The options of `words`, as Hydra reads them."""
    found = ["--help"] if words.help else []
    for name, value in words.options.items():
        found += [name] if value is None else [name, value]
    return found if words.config_dir is None else [*found, "--config-dir", str(words.config_dir)]


def _resume(words: Argv, overrides: Sequence[Override], folder: str) -> Prepared:
    if not Path(folder, run_folder.CONFIG).is_file():
        raise ConfigError(f"resume={folder} is not a run folder: it has no {run_folder.CONFIG}")
    if "--multirun" in words.options:
        raise ConfigError(f"resume={folder} goes on with one run: leave -m out")
    for_hydra = [o.input_line or "" for o in overrides if o.key_or_group.startswith("hydra")]
    groups = [(re.split(r"[./]", o.key_or_group)[0], o.input_line or "") for o in overrides]
    steering = [line for group, line in groups if group in run_folder.STEERING]
    changes = [line for group, line in groups if group not in ("hydra", *run_folder.STEERING)]
    added = [f"resume={quoted(folder)}", f"hydra.run.dir={quoted(folder)}"]
    own = Argv(options=words.options, help=words.help)
    return Prepared([*_flags(own), *for_hydra, *steering, *added], changes, words.config_dir)


def quoted(text: str) -> str:
    """`text` as a value in Hydra's override grammar."""
    return "'" + text.replace("'", "\\'") + "'"


def sweep_dir(overrides: Sequence[Override]) -> str:
    """``outputs/sweep-<fixed choices>-<hash of the settings>``."""
    steering = ("hydra", *run_folder.STEERING)
    settings = [o for o in overrides if not o.key_or_group.startswith(steering)]
    fixed = [
        str(o.value())
        for group in ("experiment", "dataset", "model")
        for o in settings
        if o.key_or_group == group and not o.is_sweep_override()
    ]
    return folder_name(["sweep", *fixed], [o.input_line or "" for o in settings])


def folder_name(parts: Sequence[str], settings: Sequence[str]) -> str:
    """``outputs/<parts>-<hash of the settings>``: the same for the same command."""
    digest = hashlib.sha256("\n".join(sorted(settings)).encode())
    name = re.sub(r"[^\w.-]+", "_", "-".join(parts))[:100]
    return f"outputs/{name}-{digest.hexdigest()[:6]}"
