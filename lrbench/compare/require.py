"""Requirements on a verdict, for programs: ``wsd beats cosine``, ``loss(cosine) <= 0.5``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lrbench.compare.find import CompareError

if TYPE_CHECKING:
    from lrbench.compare.analysis import Analysis
    from lrbench.compare.report import Report, Section

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


def unmet(requirement: Requirement, report: Report) -> str:
    """Why `requirement` does not hold in every group that has its strategies; empty: it does.

    Raises:
        CompareError: no group has them.
    """
    named = [({s.strategy for s in section.analysis.standings}, section)
             for section in report.sections]  # fmt: skip
    held = [section for known, section in named if requirement.names <= known]
    if not held:
        known = sorted(set().union(*(known for known, _ in named)))
        raise CompareError(
            f"require={requirement.text!r}: no group has {' and '.join(sorted(requirement.names))};"
            f" there are {', '.join(known)}"
        )
    broken = [f"{section.label}: {why}".removeprefix(": ")
              for section in held if (why := _unmet(requirement, section))]  # fmt: skip
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
