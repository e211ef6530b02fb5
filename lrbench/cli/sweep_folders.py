"""The command line around Hydra: sweep folders that read well, and resuming."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
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
STEERING = tuple(f"{key}=" for key in run_folder.STEERING)


def prepare(argv: Sequence[str]) -> list[str]:
    """Rewrite the arguments of ``python -m lrbench`` where Hydra alone does not know what is meant.

    - ``trust=MODULE`` is obeyed and taken out: no config file can say it.
    - Options stand first, wherever they were: argparse takes overrides in one stretch only.
    - ``resume=FOLDER`` runs in FOLDER.
    - A sweep (``-m``) gets a folder named after the command, so that repeating the command finds
      it again, and in it one subfolder per job that names every swept key.

    Raises:
        ConfigError: FOLDER is no run folder.
        TrustError: MODULE is no name of a module.
    """
    words = read_argv(argv, options=OPTIONS)
    arguments = [*flags(words), *words.overrides]
    plain = words.overrides
    resumed = [a.partition("=")[2].strip("'\"") for a in plain if a.startswith("resume=")]
    if resumed and resumed[-1] not in ("", "null"):
        return _resume(arguments, plain, resumed[-1])
    overrides = OverridesParser.create().parse_overrides(plain)
    given = {override.key_or_group: override for override in overrides}
    swept = [o.key_or_group for o in overrides if o.is_sweep_override()]
    # An experiment may be a sweep by itself, with a folder of its own: that is its YAML's affair
    # until more than its name is given.
    settings = [key for key in given if not key.startswith(("hydra", *run_folder.STEERING))]
    added: list[str] = []
    sweeps = {"-m", "--multirun"} & set(arguments) or "experiment" in given
    if sweeps and settings != ["experiment"] and "hydra.sweep.dir" not in given:
        added.append(f"hydra.sweep.dir={quoted(sweep_dir(overrides))}")
    if sweeps and set(swept) - {"scheduler", "seed"} and "hydra.sweep.subdir" not in given:
        added.append(f"hydra.sweep.subdir={quoted(sweep_subdir(swept))}")
    return [*arguments, *added]


def flags(words: Argv) -> list[str]:
    """The options of `words`, as Hydra reads them."""
    found = ["--help"] if words.help else []
    for name, value in words.options.items():
        found += [name] if value is None else [name, value]
    return found if words.config_dir is None else [*found, "--config-dir", str(words.config_dir)]


def _resume(arguments: list[str], plain: list[str], folder: str) -> list[str]:
    hidden = Path(folder) / ".hydra"
    if not (hidden / "config.yaml").is_file():
        raise ConfigError(f"resume={folder} is not a run folder: it has no .hydra/config.yaml")
    changes = [a for a in plain if not a.startswith((*STEERING, "hydra"))]
    begun: list[str] = []
    if changes:  # compose the run's own overrides with the new ones, which win
        parser = OverridesParser.create()
        new = {override.key_or_group for override in parser.parse_overrides(changes)}
        made_with = parser.parse_overrides(run_folder.recorded_overrides(Path(folder)))
        begun = [o.input_line or "" for o in made_with if o.key_or_group not in new]
    # The folder's own name may hold what Hydra's grammar takes for its own: seed=0.
    rest = [a for a in arguments if not a.startswith("resume=")]
    added = [*begun, f"resume={quoted(folder)}", f"hydra.run.dir={quoted(folder)}"]
    return [*rest, *added]


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
    name = re.sub(r"[^\w.-]+", "_", "-".join(parts))
    return f"outputs/{name}-{digest.hexdigest()[:6]}"


def sweep_subdir(swept: Sequence[str]) -> str:
    """One folder per strategy, in it one per job: ``onecycle/lr=0.1,seed=0``.

    The values are interpolations that Hydra fills in for each job.
    """
    parts = []
    for key in swept:
        if key in GROUPS and key != "scheduler":
            parts.append(f"{key}=${{hydra:runtime.choices.{key}}}")
        elif key not in ("scheduler", "seed"):
            short = key.rpartition(".")[2]
            clash = sum(other.rpartition(".")[2] == short for other in swept) > 1
            parts.append(f"{key if clash else short}=${{{key}}}")
    return "/".join(["${hydra:runtime.choices.scheduler}", ",".join([*parts, "seed=${seed}"])])
