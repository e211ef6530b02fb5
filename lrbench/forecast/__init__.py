"""Forecasts of loss curves: laws fitted to recorded runs say what other schedules would reach.

Knows neither torch nor training. `learn` fits; its `Forecaster.forecast` says the curve of any lr.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrbench.forecast.fit import Recording, fit_bound, fit_curve, lr_of_log, recording
    from lrbench.forecast.forecast import Forecast, Forecaster, ForecastError, learn, rank
    from lrbench.forecast.laws import (
        ANNEALING,
        LAWS,
        LOG_BOUND,
        MULTI_POWER,
        ROOT_BOUND,
        convex_bound,
    )

_HOMES = {  # imported when they are first used: scipy takes a second
    **dict.fromkeys(("Recording", "fit_bound", "fit_curve", "lr_of_log", "recording"), "fit"),
    **dict.fromkeys(("Forecast", "ForecastError", "Forecaster", "learn", "rank"), "forecast"),
    **dict.fromkeys(("ANNEALING", "LAWS", "LOG_BOUND", "MULTI_POWER"), "laws"),
    **dict.fromkeys(("ROOT_BOUND", "convex_bound"), "laws"),
}
__all__ = [
    "ANNEALING",
    "LAWS",
    "LOG_BOUND",
    "MULTI_POWER",
    "ROOT_BOUND",
    "Forecast",
    "ForecastError",
    "Forecaster",
    "Recording",
    "convex_bound",
    "fit_bound",
    "fit_curve",
    "learn",
    "lr_of_log",
    "rank",
    "recording",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
