"""The words of a command line, sorted: options, the command's own keys, and overrides."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lrbench.config import ConfigError, trust
from lrbench.config.checks import nearest

# Each spelling of an option, its name, and what follows: nothing, a value, or perhaps one of these.
Options = Mapping[str, tuple[str, bool | tuple[str, ...]]]
HELP: Options = {"--help": ("--help", False), "-h": ("--help", False)}
CONFIG_DIR: Options = {"--config-dir": ("--config-dir", True), "-cd": ("--config-dir", True)}


@dataclass
class Argv:
    """A command line, sorted.

    Attributes:
        own: the command's own keys, as written but without quotes.
        overrides: what is left for Hydra.
        options: the other options by name, with their values.
    """

    own: dict[str, str] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    config_dir: Path | None = None
    help: bool = False
    options: dict[str, str | None] = field(default_factory=dict)


def read_argv(
    argv: Sequence[str],
    own_keys: Collection[str] = (),
    *,
    command: str = "lrbench",
    options: Options | None = None,
    config_keys: Collection[str] = (),
    ignored: Collection[str] = (),
) -> Argv:
    """Sort the words of a command line; ``trust=MODULE`` is obeyed and not among them.

    Args:
        own_keys: keys that Hydra is not to see.
        command: its name, for messages.
        options: those of the command beside ``--help`` and ``--config-dir``.
        config_keys: top-level keys of the config, which are never a typo of an own key.
        ignored: options without effect.

    Raises:
        ConfigError: a word that is neither an option, nor a key with a value, nor an override; or
            MODULE is not the name of one.
    """
    known: Options = {**HELP, **CONFIG_DIR, **(options or {})}
    words = Argv()
    rest = list(trust.take(argv))
    while rest:
        word = rest.pop(0)
        key, equals, value = word.partition("=")
        if word in ignored:
            continue
        if word.startswith("-") and key in known:
            name, takes = known[key]
            follows = takes is True or (takes and bool(rest) and rest[0] in takes)
            given = value if equals else rest.pop(0) if follows and rest else None
            if (takes is True and not given) or (equals and not takes):
                raise ConfigError(
                    f"{key} needs a value: {key} {'DIR' if name == '--config-dir' else 'VALUE'}"
                    if takes
                    else f"{word}: {key} takes no value"
                )
            words.options[name] = given
        elif word.startswith("-"):
            names = dict.fromkeys(name for name, _ in known.values())
            close = nearest(key, [*known, *ignored])
            raise ConfigError(f"{word} is not an option of {command}{close} ({', '.join(names)})")
        elif equals and key in own_keys:
            words.own[key] = _unquoted(value)
        elif equals or word.startswith("~"):
            if key.isidentifier() and key not in config_keys and nearest(key, own_keys):
                # Nearly one of the command's own keys, which Hydra could not suggest.
                raise ConfigError(f"{word}: no such key{nearest(key, own_keys)}")
            words.overrides.append(word)
        else:
            hint = nearest(word, own_keys) or (
                ": write key=value, for example scheduler=onecycle, with quotes around what holds "
                "spaces: 'trainer.length=5 epochs'"
            )
            raise ConfigError(f"{word} is not an override{hint}")
    words.help = words.options.pop("--help", ...) is None
    folder = words.options.pop("--config-dir", None)
    words.config_dir = None if folder is None else Path(folder)
    return words


def names_folder(word: str) -> bool:
    """Whether a word is the path of a folder; those of a sweep's runs hold = (cosine/seed=0)."""
    key, equals, _ = word.partition("=")
    if word[:1] in ("-", "~"):
        return False
    return not equals or ("/" in key and not key.lstrip("+").startswith("hydra/"))


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value
