"""The tables of a study beyond those of a comparison and of the guide."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lrbench.compare.tables import NOTHING, Table
from lrbench.study.guide import ClaimVerdict
from lrbench.study.records import Stage, StudyOutcome
from lrbench.study.report.tuning import Shortfall, common_range, shortfalls
from lrbench.study.runs import mean
from lrbench.study.settings import GUIDE_ALPHA
from lrbench.task import Measure


def tuning(outcome: StudyOutcome, stage: Stage, error: float) -> Table:
    """One row per strategy and reference: what was chosen, and how much the choice matters.

    Args:
        error: see `lrbench.study.report.tuning.trial_error`.
    """
    measure = outcome.measure
    several = len(outcome.stages) > 1
    strategies = list(outcome.study.strategies)
    low, high = common_range(stage, strategies)
    areas = shortfalls(stage, strategies, error)
    rows = []
    for name, trials in stage.trials.items():
        setting = stage.chosen[name]
        chosen = next((t for t in trials if t.setting == setting), None)
        rated = [t.score for t in trials if not math.isnan(t.score)]
        pruned = sum(trial.pruned for trial in trials)
        knobs = " ".join(f"{key}={value}" for key, value in setting.knobs.items())
        rows.append(
            (
                name if name in strategies else f"{name} (reference)",
                f"{setting.lr:g}",
                knobs or NOTHING,
                measure.value(chosen.score) if chosen else NOTHING,
                f"{len(trials)}" + (f", {pruned} stopped" if pruned else ""),
                str(sum(trial.num_diverged for trial in trials)),
                _lost(areas.get(name), measure),
                measure.value(mean(rated)) if rated else NOTHING,
            )
        )
    headers = (
        "strategy", "peak lr", "knobs", f"validation {measure.label}", "trials", "diverged runs",
        "mean shortfall", "expected from 1 trial",
    )  # fmt: skip
    span = "" if math.isnan(low) else f" from {low:g} to {high:g}"
    caption = (
        f"Chosen by mean final validation {measure.label} over the tuning seeds, "
        f"{measure.divergence}. Mean shortfall: sensitivity to the peak lr{measure.in_unit}; over "
        f"the lrs{span} that every strategy was tried at, the area between its best and its "
        f"{measure.label} as a function of log lr, divided by the range's width: what is lost on "
        "average by picking a peak lr there blindly, with what noise adds to it taken off, and a "
        "95 % interval. Expected from 1 trial: the mean over its "
        "trials. All trials: trials.csv."
    )
    title = f"What was chosen, {stage.length}" if several else "What was chosen"
    told = caption if stage is outcome.full else "As above."
    return Table(title, headers, tuple(rows), frozenset(), told)


def _lost(found: Shortfall | None, measure: Measure) -> str:
    if found is None or math.isnan(found.value):
        return NOTHING
    span = f" ({measure.number(found.low)} to {measure.number(found.high)})"
    return measure.number(found.value) + ("" if math.isnan(found.low) else span)


def guide(verdicts: Sequence[ClaimVerdict]) -> Table:
    """One row per claim."""
    rows = tuple((v.claim, v.finding, str(v.num_seeds)) for v in verdicts)
    caption = (
        "Seeds: the paired seeds that the finding rests on. \"Supported\" needs an interval above "
        "0 and a mean beyond the margin, \"not supported\" an interval below 0 or within the "
        "margin; all else is \"can't tell\". The findings together are wrong in at most "
        f"{100 * GUIDE_ALPHA:g} % of studies."
    )  # fmt: skip
    return Table("Findings", ("claim", "finding", "seeds"), rows, frozenset(), caption)


def forecasts(stage: Stage) -> Table:
    """One row per setting that was foretold, the lowest loss first."""
    found = stage.screened
    assert found is not None
    rows = tuple(
        (
            f"{one.strategy} at {one.lr:g}",
            f"{one.loss:.4f}",
            f"{one.low:.4f} to {one.high:.4f}",
            "left out" if one.left_out else "trained",
        )
        for one in found.forecasts
    )
    caption = (
        f"Final validation loss after {stage.length}, foretold by the {found.law} law from "
        f"{found.num_runs} short runs, with the 95 % interval of each by itself. Left out: more "
        f"than {100 * found.behind:.2g} % behind the lowest (a reference: behind its own lowest), "
        "which is the error of such differences in all of them at once."
    )
    headers = ("schedule and peak lr", "loss", "95 % interval", "")
    strong = frozenset(n for n, one in enumerate(found.forecasts) if not one.left_out)
    return Table(f"Forecasts for {stage.length}", headers, rows, strong, caption)
