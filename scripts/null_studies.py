"""How often a study claims what is not so: python scripts/null_studies.py --studies 200

Makes up studies in which all schedules are equal, at every peak lr and budget, and nothing that the
guide looks into has any effect; then counts the studies whose report says otherwise. Seeds share
noise, accuracies are counts of test images. About 1.5 seconds a study on one core.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

sys.path.append(str(Path(__file__).parents[1] / "tests" / "study"))
from study_runs import Truth, imagine, runs_of, study

from lrbench.compare.settings import Margin
from lrbench.study import guide
from lrbench.study.records import Point
from lrbench.study.report import tracks
from lrbench.study.report.recommendation import recommend

SD = 0.004  # of an accuracy: shared by a seed's runs, and once more for each run
TEST_IMAGES = 360
VAL_IMAGES = 144
FOLDER = Path("null")


def draw(*address: object) -> float:
    """A standard normal number that depends on `address` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(address).encode())).normal())


def null_world(number: int, point: Point, given: Mapping[str, str]) -> Truth:
    """What a run comes to in study `number`: noise alone, whatever its schedule."""
    seed = draw(number, given["trainer.length"], point.seed)
    # A run without a plateau's cut is the same run, which only the cut makes another.
    own = (number, *sorted(o for o in point.overrides if "min_factor" not in o))
    test, val = (0.95 + SD * (seed + draw(*own, what)) for what in ("test", "val"))
    held = float(given.get("scheduler.min_factor", 0.0))
    fires = point.strategy == "plateau" and held < 1
    return Truth(
        test=round(min(test, 1) * TEST_IMAGES) / TEST_IMAGES,
        val=round(min(val, 1) * VAL_IMAGES) / VAL_IMAGES,
        late_gain=0.01 + SD * draw(*own, "late"),
        cuts=(60,) if fires else (),
        gain_at_cut=SD * draw(*own, "cut"),
        norm=float(np.exp(1 + 0.2 * seed + 0.3 * draw(*own, "norm"))),
    )


def errors(number: int) -> list[str]:
    """What study `number` claims though nothing is so."""

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        return null_world(number, point, given)

    outcome = imagine(FOLDER, world, study(budgets=["30%", "100%"]))
    runs = runs_of(outcome, world)
    claimed, margin = [], Margin.of(None, outcome.measure, 0.95)
    for stage in outcome.stages:
        for kind, own in (("tuned", stage.final), ("untuned", stage.untuned)):
            analysis = tracks.track(outcome, stage, own, runs, kind)
            assert analysis is not None
            if any(pair.finding.startswith("beats") for pair in analysis.pairs):
                claimed.append(f"beats, {kind} at {100 * stage.share:g} %")
            full = kind == "tuned" and stage is outcome.full
            if full and recommend(outcome, analysis, runs).sure:
                claimed.append("a sure recommendation")
    for verdict in guide.judge(outcome, runs, margin):
        if verdict.finding == "supported":
            claimed.append(f"supported: {verdict.claim}")
    return claimed


def main() -> None:
    """Count over the studies and print a line per kind of error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first study")
    arguments = parser.parse_args()
    counts: Counter[str] = Counter()
    any_beats = 0
    for number in range(arguments.first, arguments.first + arguments.studies):
        found = errors(number)
        counts.update(found)
        any_beats += any(text.startswith("beats") for text in found)
    kinds = [f"beats, {k} at {b} %" for k in ("tuned", "untuned") for b in (100, 30)]
    kinds += ["a sure recommendation", *(f"supported: {m.CLAIM}" for m in guide.CLAIMS)]
    rows = [(kind, counts[kind]) for kind in kinds]
    for kind, count in [*rows, ("beats, in any of the four comparisons", any_beats)]:
        interval = binomtest(count, arguments.studies).proportion_ci(method="exact")
        low, high = 100 * interval.low, 100 * interval.high
        share = 100 * count / arguments.studies
        print(
            f"{count:4d} of {arguments.studies}  {share:5.1f} %  ({low:.1f} to {high:.1f})  {kind}"
        )


if __name__ == "__main__":
    main()
