"""What screening leaves out, on planted truths: python scripts/bench/screen.py --studies 200

Loss curves whose law, parameters and best setting are known, with a deviation from the law of each
setting and the noise of runs. Each study has five schedules at five peak lrs; the short runs of
`study.screen=true` are made of them, and what `lrbench.study.screen` then leaves out is held
against the truth. The table in lrbench/study/README.md is this script's.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrbench.forecast import ANNEALING, MULTI_POWER, Recording, recording
from lrbench.forecast.fit import BoundFit, CurveFit
from lrbench.study.records import Screened
from lrbench.study.screen import foretell

Array = NDArray[np.float64]
LENGTH, WARMUP, EVERY = 2000, 100, 20  # updates; of evaluations, 20 a run
SHARES = (0.125, 0.25, 0.5)  # as in conf/study/four_way.yaml
LRS = tuple(8e-3 * 2.0**power for power in range(-2, 3))
SHAPES: dict[str, Callable[[Array], Array]] = {
    "cosine": lambda done: 0.5 * (1 + np.cos(np.pi * done)),
    "linear": lambda done: 1 - done,
    "wsd": lambda done: np.minimum(1, (1 - done) / 0.2),
    "constant": np.ones_like,
    "exponential": lambda done: 0.01**done,
}
LAWS = ("multi-power", "annealing", "root-bound")
Truth = Callable[[Array, Any], Array]  # losses after so many updates of an lr


def schedule(name: str, peak: float, length: int) -> Array:
    """The lr of every update, (length,), with a linear warmup of 5 %."""
    warmup = round(length * WARMUP / LENGTH)
    step = np.arange(length)
    done = np.clip((step - warmup) / (length - warmup), 0, 1)
    return np.asarray(peak * SHAPES[name](done) * np.minimum(1, (step + 1) / (warmup + 1)))


def truth_of(law: str, rng: np.random.Generator) -> Truth:
    """Curves by `law` whose best peak lr lies somewhere in or near the grid."""
    unit, updates = max(LRS), float(LENGTH)
    if law == "root-bound":
        theta = np.array([rng.uniform(1, 2), rng.uniform(0.05, 0.15), 0.0])
        theta[2] = theta[1] / math.sqrt(8e-3 * rng.uniform(0.4, 2.5)) * 2 / 3
        return BoundFit(theta, law).losses
    found = MULTI_POWER if law == "multi-power" else ANNEALING
    shape = found.usual(updates) + found.spread * rng.normal(size=len(found.spread))
    theta = np.concatenate([[rng.uniform(1, 2), math.log(rng.uniform(0.1, 0.4)), 0.0], shape])
    theta[2] = theta[1] + math.log(rng.uniform(0.3, 3))
    fit = CurveFit(found, theta, unit, updates)
    if law == "multi-power":
        return fit.losses
    best, bend = math.log(8e-3 * rng.uniform(0.4, 2.5)), rng.uniform(0.01, 0.04)
    return lambda lr, steps: (  # the law itself does not know that too high an lr costs
        fit.losses(lr, steps) * (1 + bend * (math.log(lr.max()) - best) ** 2)
    )


@dataclass(frozen=True)
class Outcome:
    """One study: whether the true best was left out, what that cost, how much was left out."""

    law: str
    missed: bool
    regret: float
    share: float
    schedules: int
    best_law: str


def study(law: str, rng: np.random.Generator, misfit: float, noise: float) -> Outcome:
    """Screen one planted problem.

    Args:
        misfit: relative deviation of each setting's losses from the law.
        noise: relative deviation of each run.
    """
    truth = truth_of(law, rng)
    own = {(name, lr): math.exp(misfit * rng.normal()) for name in SHAPES for lr in LRS}
    finals = {}
    for name, lr in own:
        finals[name, lr] = float(truth(schedule(name, lr, LENGTH), np.array([LENGTH]))[0])
        finals[name, lr] *= own[name, lr]
    names = list(SHAPES)
    runs: list[Recording] = []
    for j, share in enumerate(SHARES):
        length = round(share * LENGTH)
        every = max(1, length // 20)
        steps = np.arange(every, length + 1, every)
        for i, lr in enumerate(LRS):
            name = names[(i + j) % len(names)]
            lrs = schedule(name, lr, length)
            losses = truth(lrs, steps) * own[name, lr] * math.exp(noise * rng.normal())
            losses = losses * np.exp(noise / 2 * rng.normal(size=len(steps)))
            runs.append(recording(f"{name} {lr:g} {length}", lrs, steps, losses))
    nothing = Screened(
        num_runs=len(runs), updates=0.0, law="", behind=math.inf, risk=0.05, forecasts=(),
        unknown=(),
    )  # fmt: skip
    found = foretell(nothing, runs, {key: schedule(*key, LENGTH) for key in own})
    left = found.left_out
    best = min(finals, key=lambda key: finals[key])
    kept = min(value for key, value in finals.items() if key not in left)
    gone = [n for n in SHAPES if all((n, lr) in left for lr in LRS)]
    return Outcome(
        law, best in left, kept / finals[best] - 1, len(left) / len(own), len(gone), found.law
    )


def main() -> None:
    """Print a line for each law and deviation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    asked = parser.parse_args()
    for misfit, noise in ((0.0, 0.002), (0.003, 0.003), (0.006, 0.003)):
        for law in LAWS:
            rng = np.random.default_rng(0)
            began = time.process_time()
            found = [study(law, rng, misfit, noise) for _ in range(asked.studies)]
            seconds = (time.process_time() - began) / asked.studies
            missed = sum(one.missed for one in found)
            worst = max(one.regret for one in found)
            print(
                f"{law}, misfit {100 * misfit:g} %, noise {100 * noise:g} %: best left out in "
                f"{missed} of {len(found)}, at worst {100 * worst:.2f} % behind it; left out "
                f"{100 * np.mean([one.share for one in found]):.0f} % of settings, "
                f"{np.mean([one.schedules for one in found]):.1f} of {len(SHAPES)} schedules "
                f"altogether; {seconds:.1f} s each",
                flush=True,
            )


if __name__ == "__main__":
    main()
