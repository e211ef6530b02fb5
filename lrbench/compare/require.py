"""Requirements on a verdict, for programs: ``wsd beats cosine``, ``loss(cosine) <= 0.5``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.compare.find import CompareError

if TYPE_CHECKING:
    from lrbench.compare.analysis import Analysis
    from lrbench.compare.report import Section

UNMET = 2  # the exit code of a requirement that does not hold
FORMS = "write 'wsd beats cosine' or 'loss(cosine) <= 0.5', in the measure's unit"


@dataclass(frozen=True)
class Requirement:
    """What must hold for sure: `name` beats `other`, or loses at most `limit` against the best."""

    text: str
    name: str
    other: str | None = None
    limit: float = 0.0

    @property
    def names(self) -> set[str]:
        """The strategies that it is about."""
        return {self.name, self.other or self.name}


def parse(text: str) -> Requirement:
    """The requirement that `text` is.

    Raises:
        ValueError: it is none.
    """
    words = text.strip()
    found = re.fullmatch(r"(\S.*?)\s+beats\s+(\S.*)", words)
    if found and found[1] != found[2]:
        return Requirement(words, found[1], other=found[2])
    if found := re.fullmatch(r"loss\((.+)\)\s*<=\s*(\d+\.?\d*(?:[eE][-+]?\d+)?)", words):
        return Requirement(words, found[1].strip(), limit=float(found[2]))
    raise ValueError(f"require={text!r} is not understood: {FORMS}")


def take(words: Iterable[str]) -> tuple[tuple[Requirement, ...], list[str]]:
    """The requirements among the `words` of a command line, and the other words.

    Raises:
        ValueError: ``require=…`` or ``--require …`` without a requirement, or with none of these.
    """
    found, rest, left = [], [], list(words)
    while left:
        word = left.pop(0)
        key, equals, value = word.partition("=")
        if key not in ("require", "--require"):
            rest.append(word)
            continue
        if not equals:
            value = left.pop(0) if left else ""
        found.append(parse(value.strip("'\"")))
    return tuple(found), rest


def enforce(
    requirements: Iterable[Requirement], sections: Mapping[str, Section], command: str
) -> None:
    """End the process with `UNMET` and a line for each of `requirements` that does not hold."""
    broken = [why for found in requirements if (why := unmet(found, sections))]
    if broken:
        sys.stdout.flush()
        print(*(f"{command}: {why}" for why in broken), sep="\n", file=sys.stderr)
        sys.exit(UNMET)


def unmet(requirement: Requirement, sections: Mapping[str, Section]) -> str:
    """Why `requirement` does not hold in every group that has its strategies; empty: it does.

    Args:
        sections: the groups by what they are called; an only one may have no name.

    Raises:
        CompareError: no group has them.
    """
    if not sections:
        return f"require={requirement.text!r} does not hold: nothing was compared"
    known = {label: {s.strategy for s in section.analysis.standings}
             for label, section in sections.items()}  # fmt: skip
    held = [label for label, names in known.items() if requirement.names <= names]
    if not held:
        there = sorted(set().union(*known.values()))
        raise CompareError(
            f"require={requirement.text!r}: no group has {' and '.join(sorted(requirement.names))};"
            f" there are {', '.join(there)}"
        )
    broken = [f"{label}: {why}".removeprefix(": ")
              for label in held if (why := _unmet(requirement, sections[label]))]  # fmt: skip
    return f"require={requirement.text!r} does not hold: {'; '.join(broken)}" if broken else ""


def _unmet(requirement: Requirement, section: Section) -> str:
    analysis: Analysis = section.analysis
    own = [n for n, p in enumerate(analysis.pairs) if requirement.name in (p.a, p.b)]
    if requirement.other is not None:
        (at,) = (n for n in own if requirement.other in (analysis.pairs[n].a, analysis.pairs[n].b))
        pair = analysis.pairs[at]
        holds = pair.a == requirement.name and pair.finding.startswith("beats")
        return "" if holds else section.verdict.pairs[at]
    (loss,) = (n for n in section.verdict.losses if n.strategy == requirement.name)
    if loss.diverged:
        return f"{loss.strategy} diverged on {loss.diverged} of {loss.num_runs} runs"
    if not own or not all(analysis.pairs[n].test.claims for n in own):
        return "nothing can be claimed from these seeds: too few, or the report's 5 % are spent"
    if analysis.measure.scale * loss.may_lose <= requirement.limit:
        return ""
    return f"{loss.strategy} may lose up to {analysis.measure.difference(loss.may_lose)}"
