"""How well recorded curves of language models are foretold; see lrbench/forecast/README.md.

    python scripts/bench/forecast.py CURVES

CURVES is a folder with ``mpl/{25,100}/*.csv`` (github.com/thu-yao-01-luo/MultiPowerLaw) and
``slimpajama_124m/*.csv`` (github.com/fabian-sp/lr-scheduling).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "forecast"))

import recorded_curves
from recorded_curves import FITTED, PREDICTED, multi_power_curve, slimpajama_split

from lrbench.forecast import (
    ANNEALING,
    LOG_BOUND,
    MULTI_POWER,
    ROOT_BOUND,
    Recording,
    fit_bound,
    fit_curve,
    learn,
)

OTHER_CHOICES = (  # of runs to fit, beside the published one
    FITTED,
    ("cosine_24000", "wsd_20000_24000", "wsdcon_3"),
    ("constant_24000", "wsdld_20000_24000", "wsdcon_18"),
    ("cosine_24000", "constant_24000", "wsd_20000_24000", "wsdcon_9", "wsdcon_18"),
)


def curve_laws() -> None:
    """Fit three curves, predict six others; how often the intervals of `learn` hold."""
    for size in (25, 100):
        runs = {name: multi_power_curve(size, name) for name in (*FITTED, *PREDICTED)}
        for law in (MULTI_POWER, ANNEALING):
            begun = time.process_time()
            fit = fit_curve(law, [runs[name] for name in FITTED])
            seconds = time.process_time() - begun
            errors = [
                np.abs(fit.losses(run.lr, run.steps) / run.losses - 1)
                for run in (runs[name] for name in PREDICTED)
            ]
            mean, worst = np.mean([e.mean() for e in errors]), max(e.max() for e in errors)
            print(f"{size} M, {law.name}: mean {mean:.5f}, worst {worst:.4f}; {seconds:.1f} s")
        for names in OTHER_CHOICES:
            fitted = [runs[name] for name in names]
            covered(fitted, [run for run in runs.values() if run.name not in names])


def covered(fitted: Sequence[Recording], others: Sequence[Recording]) -> None:
    """Say how many of the others' final losses lie within the intervals."""
    found = learn(fitted)
    finals = [found.forecast(run.name, run.lr).final for run in others]
    held = sum(low < run.final < high for run, (_, low, high) in zip(others, finals, strict=True))
    print(
        f"  fitted on {len(fitted)}: {found.fit.name}, ± {found.half_width():.2%}, holds "
        f"{held} of {len(others)} final losses"
    )


def bounds() -> None:
    """Fit six WSD-20 % runs, predict all others at peak lrs of 5e-4 and more."""
    fitted, others = slimpajama_split()
    true = np.array([run.final for run in others])
    i, j = np.triu_indices(len(true), 1)
    apart = np.abs(true[i] - true[j]) > 0.02
    for name in (LOG_BOUND, ROOT_BOUND):
        fit = fit_bound(fitted, name)
        loss = np.array([fit.losses(run.lr, run.steps[-1:])[0] for run in others])
        ordered = np.mean(((loss[i] > loss[j]) == (true[i] > true[j]))[apart])
        print(
            f"124 M, {name}, {len(fitted)} → {len(others)} runs: MAE "
            f"{np.abs(loss - true).mean():.4f}, rank correlation {spearmanr(loss, true)[0]:.3f}, "
            f"{ordered:.1%} of {apart.sum()} pairs more than .02 apart in order; its pick is "
            f"{true[loss.argmin()] - true.min():.4f} behind the best"
        )
    covered(fitted, others)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    recorded_curves.FOLDER = Path(sys.argv[1])
    curve_laws()
    bounds()
