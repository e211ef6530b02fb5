"""Numbers and lists as they stand in a sentence."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``, ``1,000 runs``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def shell_line(words: Sequence[str]) -> str:
    """`words` as a command line: ``"trainer.length='5 epochs'"`` where that quotes, else as shlex.

    A shell reads both alike; shlex.join alone writes ``'trainer.length='"'"'5 epochs'"'"''``.
    """
    plain = re.compile(r"""[^"$`\\!]*'[^"$`\\!]*""")
    return " ".join(f'"{w}"' if plain.fullmatch(w) else shlex.quote(w) for w in words)


def alike(told: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names and what is told of each, told once where it differs in nothing but numbers."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, what in told:
        found.setdefault(re.sub(r"\d[\d.,]*(e[-+]\d+)?", "0", what), []).append((name, what))
    once = []
    for same in found.values():
        (name, what), others = same[0], len(same) - 1
        differ = any(text != what for _, text in same)
        more = f" (and {others} more{', with other numbers' if differ else ''})" if others else ""
        once.append((name, f"{what}{more}"))
    return once
