"""Fits and forecasts: planted laws, recorded curves, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from recorded_curves import (
    FITTED,
    FOLDER,
    PREDICTED,
    multi_power_curve,
    slimpajama_split,
)
from scipy.stats import spearmanr

from lrbench.forecast import (
    ANNEALING,
    LOG_BOUND,
    MULTI_POWER,
    ROOT_BOUND,
    ForecastError,
    Recording,
    fit_bound,
    fit_curve,
    learn,
    lr_of_log,
    rank,
    recording,
)
from lrbench.forecast.fit import CurveFit
from lrbench.forecast.laws import CurveLaw

recorded = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the recorded curves are not in {FOLDER}"
)
THETA = np.array([2.0, -1.0, -1.2, np.log(0.5), 3.0, 0.6, np.log(0.45)])
TRUTH = CurveFit(MULTI_POWER, THETA, unit=1e-3, updates=600.0)


def schedule(name: str, total: int = 1000, peak: float = 1e-3) -> np.ndarray:
    done = np.arange(total) / total
    factor = {
        "constant": np.ones(total),
        "cosine": 0.5 * (1 + np.cos(np.pi * done)),
        "linear": 1 - done,
        "wsd": np.minimum(1.0, (1 - done) / 0.2),
        "step": np.where(done < 0.5, 1.0, 0.3),
    }[name]
    return peak * factor * np.minimum(1.0, np.arange(1, total + 1) / 50)


def planted(name: str, total: int = 1000, noise: float = 0.0, seed: int = 0) -> Recording:
    lr, steps = schedule(name, total), np.arange(50, total + 1, 10)
    random = np.random.default_rng(seed)
    losses = TRUTH.losses(lr, steps) * np.exp(noise * random.standard_normal(len(steps)))
    return recording(f"{name} {total} {seed}", lr, steps, losses)


def test_a_planted_law_is_found_again() -> None:
    runs = [planted(name) for name in ("cosine", "constant", "step")]
    fit = fit_curve(MULTI_POWER, runs)
    for name in ("linear", "wsd"):
        lr = schedule(name, 2000)
        steps = np.arange(100, 2001, 100)
        np.testing.assert_allclose(fit.losses(lr, steps), TRUTH.losses(lr, steps), rtol=3e-3)


def test_intervals_hold_the_truth_and_rankings_tell_only_what_they_can() -> None:
    names = ("cosine", "constant", "step", "linear", "wsd")
    runs = [planted(name, 600, 1e-3, seed) for seed, name in enumerate(names)]
    found = learn(runs)
    assert set(found.errors) == {"multi-power", "annealing"}
    forecasts = [found.forecast(name, schedule(name, 1200)) for name in names]
    for forecast in forecasts:
        loss, low, high = forecast.final
        assert low < TRUTH.losses(forecast.lr, [1200])[0] < high
        assert low < loss < high
    ranking = rank(found, forecasts)
    assert not ranking[0][1]  # the first cannot be told from itself
    assert ranking[-1][0].name == "constant"
    assert ranking[-1][1]


def test_twins_are_held_out_together() -> None:
    """Two seeds of a schedule: one of them must not foretell the other."""
    runs = [planted(name, 400, 1e-3, seed) for name in ("cosine", "constant", "step")
            for seed in (0, 1)]  # fmt: skip
    errors = learn(runs, ["annealing"]).errors["annealing"]
    assert len(errors) == 6
    np.testing.assert_allclose(errors[::2], errors[1::2], atol=5e-3)


def test_logs_with_gaps_repeats_and_no_warmup_are_read() -> None:
    lr = lr_of_log([40, 20, 30, 30], [0.1, 0.4, 9.0, 0.3], warmup=10, total=50)
    assert len(lr) == 50
    np.testing.assert_allclose(lr[[0, 9, 19, 24, 29, 34, 39, 49]],
                               [0.059, 0.5, 0.4, 0.35, 0.3, 0.2, 0.1, 0.1])  # fmt: skip
    run = recording("x", lr, [30, 20, 20, 40, 50], [2.0, 9.0, 3.0, np.nan, 1.0])
    assert run.steps.tolist() == [20, 30, 50]
    assert run.losses.tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("lr", "steps", "losses", "words"),
    [
        ([], [1], [1.0], "the lrs must be"),
        ([0.1, -0.1], [1, 2], [1.0, 1.0], "none below 0"),
        ([0.1] * 3, [1, 2], [1.0], "as many losses"),
        ([0.1] * 3, [1, 2], [1.0, np.nan], "too few"),
        ([0.1] * 3, [1, 2], [1.0, 0.0], "above 0"),
        ([0.1] * 3, [1, 4], [2.0, 1.0], "give all"),
    ],
)
def test_bad_recordings_are_refused(lr: object, steps: object, losses: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recording("x", lr, steps, losses)  # type: ignore[arg-type]


def test_what_cannot_be_forecast_is_refused() -> None:
    with pytest.raises(ForecastError, match="too few"):
        learn([planted("cosine"), planted("constant")])
    with pytest.raises(ForecastError, match="one schedule only"):
        learn([planted("wsd", total) for total in (300, 600, 900)])
    found = learn([planted(n, 400) for n in ("cosine", "constant", "step")], ["annealing"])
    with pytest.raises(ForecastError, match="is far outside"):
        found.forecast("x", schedule("cosine", 400, 1e-2))
    with pytest.raises(ForecastError, match="longest run"):
        found.forecast("x", schedule("cosine", 4000))


@recorded
@pytest.mark.parametrize(
    ("law", "size", "mean", "worst"),
    [
        (MULTI_POWER, 25, 0.0013, 0.0075),
        (MULTI_POWER, 100, 0.0014, 0.0072),
        (ANNEALING, 25, 0.0013, 0.0065),
        (ANNEALING, 100, 0.0015, 0.0080),
    ],
)
def test_published_errors_are_reached(law: CurveLaw, size: int, mean: float, worst: float) -> None:
    fit = fit_curve(law, [multi_power_curve(size, name) for name in FITTED])
    errors = []
    for name in PREDICTED:
        run = multi_power_curve(size, name)
        errors.append(np.abs(fit.losses(run.lr, run.steps) / run.losses - 1))
    assert np.mean([e.mean() for e in errors]) <= mean
    assert max(e.max() for e in errors) <= worst


@recorded
def test_bounds_rank_runs_of_other_shapes_and_peak_lrs() -> None:
    fitted, others = slimpajama_split()
    true = np.array([run.final for run in others])
    i, j = np.triu_indices(len(true), 1)
    apart = np.abs(true[i] - true[j]) > 0.02
    for name, error, correlation, order in (
        (LOG_BOUND, 0.014, 0.94, 0.95),
        (ROOT_BOUND, 0.008, 0.98, 0.99),
    ):
        fit = fit_bound(fitted, name)
        found = np.array([fit.losses(run.lr, run.steps[-1:])[0] for run in others])
        assert np.abs(found - true).mean() <= error
        assert spearmanr(found, true)[0] >= correlation
        assert np.mean((found[i] > found[j])[apart] == (true[i] > true[j])[apart]) >= order
    best = learn(fitted)
    assert best.fit.name == ROOT_BOUND
    some = range(0, len(others), 6)
    finals = {k: best.forecast(others[k].name, others[k].lr).final for k in some}
    assert np.mean([low < true[k] < high for k, (_, low, high) in finals.items()]) >= 0.9
