"""What a comparison found, for programs: the content of report.json, described in README.md."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import lrbench
from lrbench.compare.analysis import Analysis
from lrbench.compare.answer import rows
from lrbench.compare.read import Problem
from lrbench.compare.rows import Mean, Pair, Standing
from lrbench.compare.verdict import Loss, Verdict

if TYPE_CHECKING:
    from lrbench.compare.report import Section

FORMAT = 1


def content(
    sections: Iterable[Section], command: str, problems: Iterable[Problem]
) -> dict[str, Any]:
    """The whole report; values and differences are in the measure's unit (points, not shares)."""
    return {
        "format": FORMAT,
        "lrbench": lrbench.__version__,
        "command": command,
        "groups": [_group(section.analysis, section.verdict) for section in sections],
        "problems": [{"name": p.name, "what": p.what} for p in problems],
    }


def _group(analysis: Analysis, verdict: Verdict) -> dict[str, Any]:
    measure, scale = analysis.measure, analysis.measure.scale
    found = {row.name: row for row in rows(analysis) if row.is_schedule}
    matter = [row for row in rows(analysis) if not row.is_schedule]
    return {
        "group": analysis.group.label,
        "verdict": verdict.headline,
        "metric": analysis.metric,
        "higher_is_better": measure.higher_is_better,
        "unit": measure.unit,
        "margin": _number(scale * analysis.margin.size),
        "paired": analysis.group.paired,
        "runs": len(analysis.chosen),
        "seeds": sorted({int(seed) for seed in analysis.chosen["seed"]}),
        "alpha": analysis.family.alpha,
        "covers": analysis.family.covers,
        "strategies": [
            _strategy(standing, loss, scale)
            | {"loss": _span(found[loss.strategy], scale) if found else None}
            for standing, loss in zip(analysis.standings, verdict.losses, strict=True)
        ],
        "pairs": [
            _pair(pair, scale) | {"sentence": sentence}
            for pair, sentence in zip(analysis.pairs, verdict.pairs, strict=True)
        ],
        "matters": [{"what": row.name, **_span(row, scale)} for row in matter],
        "remarks": list(verdict.remarks),
    }


def _strategy(standing: Standing, loss: Loss, scale: float) -> dict[str, Any]:
    score: Mean = standing.completed_score
    return {
        "strategy": standing.strategy,
        "lr": _number(standing.lr),
        "rank": standing.rank,
        "runs": standing.num_runs,
        "diverged": standing.num_diverged,
        "diverges_at_most": _number(loss.largest_rate),
        "mean": _number(scale * score.value),
        "low": _number(scale * score.low),
        "high": _number(scale * score.high),
        "sd": _number(scale * standing.sd_score),
        "may_be_best": loss.may_be_best,
        "may_lose": _number(scale * loss.may_lose),
    }


def _pair(pair: Pair, scale: float) -> dict[str, Any]:
    test = pair.test
    return {
        "a": pair.a,
        "b": pair.b,
        "finding": pair.finding,
        "difference": _number(scale * test.mean),
        "low": _number(scale * test.low),
        "high": _number(scale * test.high),
        "n": test.num,
        "claims": test.claims,
    }


def _span(row: Any, scale: float) -> dict[str, float | None]:
    return {key: _number(scale * getattr(row, key)) for key in ("at", "low", "high")}


def _number(value: float) -> float | None:
    """What JSON can hold: null where there is no number."""
    return float(value) if math.isfinite(value) else None
