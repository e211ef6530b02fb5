"""The words of a command beside ``python -m lrbench``: its own keys, options, and overrides."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import ConfigError, trust
from lrbench.config.checks import nearest


@dataclass
class Argv:
    """A command line, sorted.

    Attributes:
        own: the command's own keys, as written but without quotes.
        overrides: what is left for Hydra.
    """

    own: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    config_dir: Path | None = None
    help: bool = False


def read_argv(
    argv: Sequence[str],
    own_keys: Collection[str] = (),
    *,
    config_keys: Collection[str] = (),
    ignored: Collection[str] = (),
) -> Argv:
    """Sort the words of a command line; ``trust=MODULE`` is obeyed and not among them.

    Args:
        own_keys: keys that Hydra is not to see.
        config_keys: top-level keys of the config, which are never a typo of an own key.
        ignored: options without effect.

    Raises:
        ConfigError: a word that is neither an option, nor a key with a value, nor an override; or
            MODULE is not the name of one.
    """
    words = Argv()
    rest = iter(trust.take(argv))
    for word in rest:
        key, equals, value = word.partition("=")
        if word in ("-h", "--help"):
            words.help = True
        elif key in ("--config-dir", "-cd"):
            folder = value if equals else next(rest, None)
            if not folder:
                raise ConfigError(f"{key} needs a folder: {key} DIR")
            words.config_dir = Path(folder)
        elif word in ignored:
            continue
        elif word.startswith("-"):
            raise ConfigError(f"{word} is not an option here (--config-dir DIR, --help)")
        elif equals and key in own_keys:
            words.own[key] = _unquoted(value)
        elif equals or word.startswith("~"):
            if key.isidentifier() and key not in config_keys and nearest(key, own_keys):
                # Nearly one of the command's own keys, which Hydra could not suggest.
                raise ConfigError(f"{word}: no such key{nearest(key, own_keys)}")
            words.overrides.append(word)
        else:
            hint = nearest(word, own_keys) or ": write key=value, for example scheduler=onecycle"
            raise ConfigError(f"{word} is not an override{hint}")
    return words


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
