"""Range checks whose messages name the key, the value and what would be right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class ConfigError(ValueError):
    """A mistake in the configuration, told in one line."""


def require(ok: bool, name: str, value: object, rule: str) -> None:
    """Raise ``ValueError: {name}={value} {rule}`` unless `ok`.

    Write the condition so that NaN fails it: ``require(lr > 0, "lr", lr, "must be above 0")``.
    """
    if not ok:
        raise ValueError(f"{name}={value} {rule}")


def require_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise a ValueError that lists `choices`, nearest name first asked, unless `value` is one."""
    choices = list(choices)
    if value not in choices:
        raise ValueError(
            f"{name}={value} is not one of {', '.join(choices)}{nearest(value, choices)}"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean X?"`` for the known name closest to `name`, or ``""``."""
    match = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""
