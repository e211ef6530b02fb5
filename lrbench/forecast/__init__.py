"""Forecasts of loss curves: laws fitted to recorded runs say what other schedules would reach.

Knows neither torch nor training. `learn` fits; its `Forecaster.forecast` says the curve of any lr.
"""

from lrbench.forecast.fit import Recording, fit_bound, fit_curve, lr_of_log, recording
from lrbench.forecast.forecast import Forecast, Forecaster, ForecastError, learn, rank
from lrbench.forecast.laws import ANNEALING, LAWS, LOG_BOUND, MULTI_POWER, convex_bound

__all__ = [
    "ANNEALING",
    "LAWS",
    "LOG_BOUND",
    "MULTI_POWER",
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
