"""What a study found, for programs: report.json, described in README.md of lrbench/compare."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.compare import as_json
from lrbench.compare.report import dumped
from lrbench.study.noise import NoiseFloor
from lrbench.study.records import Screened, StudyOutcome

if TYPE_CHECKING:
    from lrbench.study.report import Report


def content(report: Report, outcome: StudyOutcome, floor: NoiseFloor | None) -> dict[str, Any]:
    """The tuned comparisons, the largest budget's first, and what only a study knows."""
    own, chosen = report.recommendation, outcome.full.chosen
    given = outcome.full.allocation
    found = as_json.content(
        [report.tuned, *report.smaller], _again(report.folder), [*report.missing, *report.notes]
    )
    return {
        **found,
        "recommended": own.command,
        "next_steps": list(own.next_steps),
        "noise": None if floor is None else _noise(floor),
        "screened": None if outcome.full.screened is None else _screened(outcome.full.screened),
        "ended": given.ended,
        "tuned": [
            {
                "strategy": name,
                "lr": chosen[name].lr,
                "knobs": dict(chosen[name].knobs),
                "trials": len(outcome.full.trials[name]),
                "seeds": given.num_seeds[name],
                "no_more": given.dropped.get(name, given.ended),
            }
            for name in outcome.study.strategies
        ],
        "guide": [
            {
                "claim": claim.claim,
                "finding": claim.finding,
                "n": claim.num_seeds,
                "sentences": list(claim.sentences),
            }
            for claim in report.guide
        ],
    }


def stopped(folder: Path, floor: NoiseFloor) -> str:
    """The content of a study that ended at its noise floor: it compared nothing."""
    found = as_json.content([], _again(folder), [])
    return dumped({**found, "recommended": "", "noise": _noise(floor)})


def _screened(found: Screened) -> dict[str, Any]:
    behind = found.behind if math.isfinite(found.behind) else None
    return {
        "runs": found.num_runs,
        "updates": found.updates,
        "law": found.law or None,
        "risk": found.risk,
        "behind": behind,
        "unknown": list(found.unknown),
        "forecasts": [asdict(one) for one in found.forecasts],
    }


def _again(folder: Path) -> str:
    return shlex.join(["python", "-m", "lrbench.compare", str(folder)])


def _noise(floor: NoiseFloor) -> dict[str, Any]:
    scale = floor.measure.scale
    return {
        "sentence": floor.sentence,
        "sd": scale * floor.sd,
        "runs": floor.num_runs,
        "resolved": scale * floor.resolved,
        "seeds": floor.num_seeds,
        "needed": floor.needed,
    }
