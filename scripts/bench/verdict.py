"""How many runs a verdict takes, with all seeds for all and with seeds where they decide.

    python scripts/bench/verdict.py                       made-up scores, several truths
    python scripts/bench/verdict.py --folder STUDY        runs of a study with looks=[], or a sweep

Scores are normal; the unit is the standard deviation of the difference of two runs. Both designs
see the same scores and may err in 5 % of studies. Counted are runs on fresh seeds; tuning is the
same in both.
"""

from __future__ import annotations

import argparse
import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from lrbench.compare import inference
from lrbench.compare.find import find
from lrbench.compare.read import collect
from lrbench.config import CONF, build
from lrbench.files.result import RunResult
from lrbench.study.allocation import allocate
from lrbench.study.settings import Study
from lrbench.task import Measure

VALUE = Measure(name="value", higher_is_better=True)
NAMES = ("cosine", "warmup_decay", "onecycle", "plateau")
Array = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Means of the four strategies and the margin; differences of two runs have an sd of 1."""

    name: str
    means: tuple[float, ...]
    margin: float


WORLDS = (
    World("all alike, margin out of reach", (0, 0, 0, 0), 0.3),
    World("all alike, margin 2 sd", (0, 0, 0, 0), 2.0),
    World("one leads by 1 sd", (1, 0, 0, 0), 0.3),
    World("one leads by 1.5 sd", (1.5, 0, 0, 0), 0.3),
    World("one leads by 2 sd", (2, 0, 0, 0), 0.3),
    World("each 1 sd behind the one before", (3, 2, 1, 0), 0.3),
    World("two lead by 2 sd, margin out of reach", (2, 2, 0, 0), 0.3),
)


def planned(margin: float | None, **changes: object) -> Study:
    """conf/study/four_way.yaml with four strategies of these names."""
    node = yaml.safe_load((CONF / "study" / "four_way.yaml").read_text())
    node |= {"strategies": list(NAMES), "guide": None, "margin": margin, **changes}
    built = build(node, "study")
    assert isinstance(built, Study)
    return built


@dataclass(frozen=True)
class Outcome:
    """What one design says of one study."""

    runs: int
    beaten: frozenset[int]
    equivalent: bool

    def right(self, world: World) -> bool:
        """Whether it says all that is so: who is worse than the best, or that all are alike."""
        best = max(world.means)
        worse = {i for i, mean in enumerate(world.means) if mean < best}
        return self.beaten == worse if worse else self.equivalent

    def false(self, world: World) -> bool:
        """Whether it says something that is not so."""
        best = max(world.means)
        return any(world.means[i] == best for i in self.beaten) or (
            self.equivalent and best - min(world.means) > world.margin
        )


def fixed(table: Array, margin: float) -> Outcome:
    """All seeds for all: one look at scores (seeds, strategies)."""
    found = inference.paired(table)
    beaten = frozenset(map(int, np.flatnonzero(~found.may_be_best)))
    pairs = combinations(range(table.shape[1]), 2)
    alike = all(found.between(i, j, margin).negligible for i, j in pairs)
    return Outcome(table.size, beaten, alike)


def sequential(study: Study, table: Array) -> Outcome:
    """Seeds where they decide, of the same scores."""
    found = allocate(study, dict(zip(study.strategies, table.T.tolist(), strict=True)), VALUE)
    beaten = frozenset(study.strategies.index(name) for name in found.dropped)
    return Outcome(sum(found.num_seeds.values()), beaten, "equivalent" in found.ended)


def simulated(world: World, num_studies: int, rng: np.random.Generator) -> tuple[str, ...]:
    """A row of the table."""
    study = planned(world.margin)
    num = len(study.final_seeds)
    scores = rng.normal(0, math.sqrt(0.5), (num_studies, num, len(NAMES))) + np.array(world.means)
    steps = [sequential(study, own) for own in scores]
    once = cache(lambda n: [fixed(own[:n], world.margin) for own in scores])

    def share(found: list[Outcome], what: str) -> float:
        return 100 * float(np.mean([getattr(one, what)(world) for one in found]))

    power, runs = share(steps, "right"), float(np.mean([one.runs for one in steps]))
    sizes = range(inference.ENOUGH, num)
    as_good = num
    if power:
        more = bisect_left(sizes, True, key=lambda n: share(once(n), "right") >= power)
        as_good = inference.ENOUGH + more
    return (
        world.name,
        f"{num * len(NAMES)}",
        f"{runs:.1f}",
        f"{100 * runs / (num * len(NAMES)):.0f} %",
        f"{as_good} × {len(NAMES)}: {100 * runs / (as_good * len(NAMES)):.0f} %",
        f"{share(once(num), 'right'):.1f} / {power:.1f} %",
        f"{share(once(num), 'false'):.1f} / {share(steps, 'false'):.1f} %",
    )


HEADERS = (
    "truth", "runs, fixed", "runs, where they decide", "share", "of the fixed design as good",
    "power, fixed / here", "false claims, fixed / here",
)  # fmt: skip


def recorded(folder: Path) -> None:
    """What the runs of a folder cost, and what they would have cost with seeds where they decide.

    Each strategy must have stood at one setting, and all seeds.
    """
    own: dict[str, list[RunResult]] = {name: [] for name in NAMES}
    for run in sorted(collect(find([folder])).runs, key=lambda run: run.seed):
        own.setdefault(run.strategy, []).append(run.result)
    own = {name: results for name, results in own.items() if results}
    measure, most = next(iter(own.values()))[0].measures[0], min(map(len, own.values()))
    scores = {
        name: [
            math.nan if value is None or not result.completed else value
            for result in results
            for value in [result.value(f"test_{measure.name}")]
        ]
        for name, results in own.items()
    }
    study = planned(None, strategies=list(own), final_seeds=list(range(most)))
    found = allocate(study, scores, measure)
    print(f"{found.ended}; no more seeds: {dict(found.dropped) or 'none'}")
    counts = {"all seeds for all": dict.fromkeys(own, most), "where they decide": found.num_seeds}
    for name, given in counts.items():
        made = [result for n, results in own.items() for result in results[: given[n]]]
        steps, seconds = sum(r.steps for r in made), sum(r.seconds or 0 for r in made)
        print(f"{name:18} {len(made):4d} runs {steps:9,} updates {seconds:7.0f} s  {dict(given)}")


def main() -> None:
    """Print the table, or what a real study's runs say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--world", type=int, help="one truth alone, from 0 on")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.folder is not None:
        recorded(arguments.folder)
        return
    study = planned(1.0)
    print(f"looks at {study.planned_looks} seeds, futility {study.futility}")
    print("| " + " | ".join(HEADERS) + " |")
    for number, world in enumerate(WORLDS):
        if arguments.world in (None, number):
            row = simulated(world, arguments.studies, np.random.default_rng(number))
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
