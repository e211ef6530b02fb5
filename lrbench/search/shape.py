"""The shape of lr that a fitted law of the loss curve forecasts the lowest final loss for."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from lrbench.forecast.fit import Fit
from lrbench.forecast.laws import Array

ALMOST = 0.05  # how near to 0 and to 1 a ratio of neighbouring factors begins, to have a slope
STEP = 1e-2  # of slopes, as the laws gather drops, which makes their values jump by a little


def laid_out(values: Array, *, total: int, warmup: int, peak: float) -> Array:
    """The lr of every update, (total,): a linear warmup, then lines through `values`, (K,).

    The first value is that of update `warmup`, the last that of the run's end, the others evenly
    between.
    """
    at = np.linspace(warmup, total, len(values))
    step = np.arange(total)
    return peak * np.interp(step, at, values) * np.minimum(1.0, (step + 1) / (warmup + 1))


def best_shape(fit: Fit, *, total: int, warmup: int, peak: float, knots: int) -> Array:
    """Factors of the peak lr, (knots,), that begin with 1 and never rise.

    Args:
        fit: a law; see `lrbench.forecast`.
        total: updates of the run.
    """

    def values(free: Array) -> Array:
        return np.concatenate([[1.0], np.cumprod(expit(free))])

    def loss(free: Array) -> float:
        lr = laid_out(values(free), total=total, warmup=warmup, peak=peak)
        return float(fit.losses(lr, [total])[0])

    done = np.linspace(0, 1, knots)
    found = []
    for start in (1 - done, np.minimum(1, (1 - done) / 0.3), np.minimum(1, (1 - done) / 0.6)):
        ratios = np.maximum(start[1:], ALMOST) / start[:-1]
        free = logit(np.clip(ratios, ALMOST, 1 - ALMOST))
        bounds = [(-12, 12)] * len(free)
        found.append(minimize(loss, free, method="L-BFGS-B", bounds=bounds, options={"eps": STEP}))
    return values(min(found, key=lambda result: float(result.fun)).x)
