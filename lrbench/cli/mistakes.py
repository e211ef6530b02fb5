"""What a mistake says: one line that names what was written and what would be right."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lrbench.config import GROUPS, ConfigError, flatten
from lrbench.config.checks import nearest

PACKAGES = {  # what lrbench can do without, and the package that brings it
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
    "ray": "hydra-ray-launcher",
    "optuna": "optuna",
}


def load_optuna(asked: str) -> Any:
    """The package Optuna, told to print warnings alone.

    Args:
        asked: the word of the command that asks for it, for the message.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            f"{asked} needs Optuna, which is not installed: pip install {PACKAGES['optuna']}"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Failure(Exception):
    """The work of a command has come to no good end, and nothing in its words was wrong."""


# What a user can cause and mend; anything else is a bug and keeps its traceback.
MISTAKES = (HydraException, OmegaConfBaseException, ValueError, OSError, BrokenExecutor, Failure)


def explain(error: BaseException) -> str:
    """One line for a mistake: what was written, and what would be right.

    What a terminal would not show as it stands is escaped.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in _first_line(error))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        return _missing_choice(str(error.missing_cfg_file), error.options)
    if isinstance(cause, OmegaConfBaseException) and "not in struct" in str(cause):
        return _unknown_key(cause)
    if isinstance(error, OverrideParseException):
        key, _, value = str(error.override).partition("=")
        text = value.replace('"', '\\"')
        quoted = shlex.quote(f'{key}="{text}"')
        return f"{error.override} cannot be understood: if the value is a text, write {quoted}"
    if isinstance(error, BrokenExecutor):  # joblib's, whose message is a paragraph
        return (
            "a process that trained was killed from outside, perhaps because memory ran out: run "
            "the same command again to train what is missing"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "; free some space and run it again" if error.errno == errno.ENOSPC else ""
        return f"{where}{error.strerror}{remedy}"
    if isinstance(error, OmegaConfBaseException) and getattr(error, "full_key", None):
        return f"{error.full_key}: {first}"
    return first


def _missing_choice(asked: str, options: Sequence[str]) -> str:
    group, _, choice = asked.rpartition("/")
    if group == "hydra/launcher" and choice in PACKAGES:
        return f"{group}={choice} is not installed: pip install {PACKAGES[choice]}"
    while group.count("/") and group.split("/")[0] in GROUPS:  # keras/cosine is of scheduler
        group, _, folder = group.rpartition("/")
        choice = f"{folder}/{choice}"
    known = [option for option in options if not option.startswith("_")]
    close = nearest(choice, known)
    own = "" if close else "; one of your own needs --config-dir DIR"
    return f"{group}={choice}: no such {group}{close} ({', '.join(known)}){own}"


def _unknown_key(cause: OmegaConfBaseException) -> str:
    full_key = str(getattr(cause, "full_key", None) or cause.key)
    siblings = OmegaConf.to_container(cause.parent_node, resolve=False)  # type: ignore[arg-type]
    group, _, key = full_key.rpartition(".")
    known = [k for k in flatten(siblings) if not k.endswith("_target_")]
    if not group:  # the groups and the keys beside them
        known = sorted({k.partition(".")[0] for k in known} - {"hydra"})
    everything = OmegaConf.to_container(cause.parent_node._get_root(), resolve=False)  # type: ignore[union-attr, arg-type]
    elsewhere = [k for k in flatten(everything) if k.endswith(f".{key}") and k[:6] != "hydra."]
    if len(elsewhere) == 1:
        closest = f"; did you mean {elsewhere[0]}?"
    else:
        closest = nearest(key, known) or nearest(key, [k.rpartition(".")[2] for k in known])
    return f"{full_key}: no such key{closest} ({', '.join(known)})"
