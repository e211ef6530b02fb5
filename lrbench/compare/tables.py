"""The tables that every form of the report shares: cells as text, numbers rounded for reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lrbench.compare.analysis import REFERENCE, Analysis
from lrbench.compare.conditions import number
from lrbench.compare.inference import ALPHA
from lrbench.compare.rows import AtLr, Mean, Pair, Reached, Standing
from lrbench.compare.settings import metric_name
from lrbench.compare.verdict import interval, losses
from lrbench.task.measure import POINTS, Measure

NOTHING = "–"
MAX_OTHER_METRICS = 3  # columns beside the metric that is compared


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        headers: one per column; the first column names the row.
        rows: cells, as many as headers.
        strong: numbers of the rows to stress.
        caption: what the columns mean.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int]
    caption: str


def results(analysis: Analysis, *, brief: bool = False) -> Table:
    """One row per strategy, best first; `brief` for a terminal of 80 columns."""
    measure, name, standings = analysis.measure, analysis.name, analysis.standings
    percent = measure.unit == POINTS
    short = name.replace("accuracy", "acc.").replace("validation", "val.") + ", %" * percent

    may_lose = {loss.strategy: loss.may_lose for loss in losses(analysis)}

    def told(value: float) -> str:
        return measure.number(value) if brief else measure.value(value)

    def score(s: Standing) -> str:
        if math.isnan(s.completed_score.value):
            return "all diverged"
        return _value(s.completed_score, measure, unit=not brief)

    Cell = Callable[[Standing], str]
    columns: list[tuple[str, bool, Cell]] = [
        ("strategy", True, lambda s: s.strategy),
        ("runs", True, _brief_runs if brief else _runs),
        (short if brief else name, True, score),
        ("may lose at most", False, lambda s: measure.number(may_lose[s.strategy])),
        ("median", True, lambda s: told(s.median_score)),
        ("sd" if brief else "sd over seeds", True, lambda s: measure.number(s.sd_score)),
        ("worst seed", False, lambda s: told(s.worst_score)),
    ]
    if len({s.lr for s in standings if not math.isnan(s.lr)}) > 1 or analysis.sensitivity:
        columns.insert(2, ("lr", True, lambda s: number(s.lr)))
    for metric, own in _other_metrics(analysis):
        columns.append(
            (metric_name(metric), False, lambda s, m=metric, o=own: _value(s.means[m], o))  # type: ignore[misc]
        )
    middle = list(analysis.targets)[len(analysis.targets) // 2 :][:1]
    for target in analysis.targets:
        header = f"to {target}" if brief else f"{analysis.axis} to {target}"
        columns.append(
            (header, [target] == middle, lambda s, t=target: _reached(s.targets[t], brief))  # type: ignore[misc]
        )
    unit = analysis.group.members[0].run.result.unit or "units"
    columns += [
        ("seconds", False, lambda s: _plain(s.seconds, 3)),
        (f"{unit}/s", False, lambda s: _count(s.units_per_second)),
    ]
    # The verdict on each strategy: first on paper, last where a narrow terminal may wrap it.
    columns.insert(
        len(columns) if brief else 1, ("against the best", True, lambda s: s.mark or NOTHING)
    )
    chosen = [(header, cell) for header, always, cell in columns if always or not brief]
    return Table(
        title="Results",
        headers=tuple(header for header, _ in chosen),
        rows=tuple(tuple(cell(standing) for _, cell in chosen) for standing in standings),
        strong=frozenset(i for i, standing in enumerate(standings) if standing.mark == "best"),
        caption=_results_caption(analysis),
    )


def _results_caption(analysis: Analysis) -> str:
    measure = analysis.measure
    targets = ", ".join(f"{name}: {measure.value(v)}" for name, v in analysis.targets.items())
    guess = (
        f"as guessing ({measure.value(measure.guess)})"
        if measure.guess is not None
        else "as the worst there is, without a value"
    )
    comma = "," * bool(measure.in_unit)
    reached = (
        f"{analysis.axis.capitalize()} to a target: median over all runs, with its 95 % "
        f"interval by the sign test, of the first evaluation at which {analysis.val_name}, made "
        f"monotone, is as good ({targets}); in brackets how many runs reached it, if not "
        "all. "
        if targets
        else ""
    )
    return (
        f"{analysis.name.capitalize()} and other measures: mean ± 95 % t-interval over completed "
        f"runs. Median and worst seed: over all runs, a diverged one {guess}. Sd over "
        f"seeds{measure.in_unit}{comma} is the strategy's stability. {reached}Seconds and speed: "
        "median. "
        '"Not distinguishable" is lack of evidence, "equivalent" is evidence of a difference '
        "within the margin."
    )


def _other_metrics(analysis: Analysis) -> list[tuple[str, Measure]]:
    """Metrics to show beside the one that is compared, with their measures."""
    known = analysis.standings[0].means
    wanted = [
        (f"{split}_{m.name}", m) for m in analysis.group.measures for split in ("test", "val")
    ]
    wanted.append((f"best_val_{analysis.measure.name}", analysis.measure))
    tested = any(metric.startswith("test_") for metric in known)
    shown = [
        (metric, measure)
        for metric, measure in wanted
        if metric in known and metric != analysis.metric
        and not (tested and metric.startswith("val_"))
    ]  # fmt: skip
    return shown[:MAX_OTHER_METRICS]


def phases(analysis: Analysis) -> Table | None:
    """How each strategy goes through the early, the middle and the late part of the run."""
    if not any(mean.num for s in analysis.standings for mean in s.phases.values()):
        return None
    measure = analysis.measure
    constant = any(s.strategy == REFERENCE for s in analysis.standings)
    losses = any("val_loss" in s.means for s in analysis.standings)
    of = "loss" if losses else measure.label
    columns: list[tuple[str, Callable[[Standing], str]]] = [
        ("strategy", lambda s: s.strategy),
        (f"early: val. {of}", lambda s: _with_half(s.phases["early_loss"])),
        ("middle: spread", lambda s: _with_half(s.phases["middle_spread"])),
        (
            f"late: {measure.label} gain",
            lambda s: _value(s.phases["late_gain"], measure, unit=False),
        ),
    ]
    if losses and measure.name != "loss":
        columns.insert(3, ("late: loss gain", lambda s: _with_half(s.phases["late_loss_gain"])))
    columns.append(
        (f"late gain over {REFERENCE}",
         lambda s: _value(s.late_gain_over_constant, measure, unit=False))
        if constant
        else ("gain since mid-run", lambda s: _value(s.phases["half_gain"], measure, unit=False))
    )  # fmt: skip
    caption = (
        "Mean ± 95 % t-interval over the runs whose curve gets so far. Early: area under the "
        f"validation {of} over the first third, divided by its width. Middle: standard deviation "
        f"of the change of validation {of} between neighbouring evaluations, from a third to four "
        f"fifths. Late: by how much {analysis.val_name} gets better{measure.in_unit} over the last "
        "fifth; beside it "
        + (f"how much more than {REFERENCE} on the same seeds." if constant
           else "the gain since the strategy's own mid-run point. No run has a constant lr: "
           f"scheduler={REFERENCE} would show what the last fifth brings without annealing.")
    )  # fmt: skip
    rows = tuple(tuple(cell(s) for _, cell in columns) for s in analysis.standings)
    return Table("Three phases", tuple(h for h, _ in columns), rows, frozenset(), caption)


def pairs(analysis: Analysis) -> Table:
    """Every strategy, a row, against every other, a column."""
    names = [standing.strategy for standing in analysis.standings]
    found = {(pair.a, pair.b): pair for pair in analysis.pairs}
    rows = tuple(
        (a, *(_against(found.get((a, b)), found.get((b, a)), analysis) for b in names))
        for a in names
    )
    alpha = 100 * (1 - (analysis.family.alpha or ALPHA))
    how = (
        "Differences are taken seed by seed"
        if analysis.group.paired
        else "Not paired: equal seeds are not known to mean equal weights and batches"
    )
    caption = (
        f"The row's strategy against the column's{analysis.measure.in_unit}. {how}; all intervals "
        f"hold together with {alpha:.3g} % certainty (Tukey's, with variances of their own where "
        "strategies vary unequally). Better, worse: the interval leaves out 0. Same: it lies "
        f"within ± {analysis.margin.text}, and neither diverged. Can't tell: neither. Runs that "
        "diverged are in no difference. More of each pair: pairs.csv."
    )
    return Table("Each against each", ("", *(f"vs {name}" for name in names)), rows, frozenset(),
                 caption)  # fmt: skip


def _against(ahead: Pair | None, behind: Pair | None, analysis: Analysis) -> str:
    """A cell: what is known of a strategy against another, one of the two pairs being theirs."""
    pair, sign = (ahead, 1) if ahead else (behind, -1)
    if pair is None:
        return ""
    test, measure = pair.test, analysis.measure
    if math.isnan(test.low):
        return NOTHING if test.num == 0 else f"can't tell ({measure.number(sign * test.mean)})"
    low, high = sorted((sign * test.low, sign * test.high))
    if pair.finding.startswith("beats"):
        span = interval(measure, test.low, test.high)
        same = ", yet same" * ("equivalent" in pair.finding)
        return f"{'better' if ahead else 'worse'} by {span}{same}"
    word = "can't tell"
    if pair.finding.startswith("diverges"):
        word = "diverges less" if (pair.finding == "diverges less") == bool(ahead) else (
            "diverges more"
        )  # fmt: skip
    elif pair.finding in ("equivalent", "identical"):
        word = "same" if pair.finding == "equivalent" else "identical"
    return f"{word} ({interval(measure, low, high)})"


def sensitivity(analysis: Analysis) -> Table | None:
    """Strategies against peak lrs, or None where the lr was not swept."""
    if not analysis.sensitivity:
        return None
    lrs = sorted({row.lr for row in analysis.sensitivity})
    at = {(row.strategy, row.lr): row for row in analysis.sensitivity}
    rows = tuple(
        (s.strategy, *(_at_lr(at.get((s.strategy, lr)), analysis.measure) for lr in lrs))
        for s in analysis.standings
    )
    counted = "left out" if analysis.measure.guess is None else "as guessing"
    caption = (
        f"Mean {analysis.name} over seeds, a diverged run {counted} (×: how many diverged). "
        "◂: the lr chosen on validation."
    )
    headers = ("strategy", *(f"lr={number(lr)}" for lr in lrs))
    return Table("Peak learning rate", headers, rows, frozenset(), caption)


def _at_lr(row: AtLr | None, measure: Measure) -> str:
    if row is None:
        return NOTHING
    diverged = f" ×{row.num_diverged}" if row.num_diverged else ""
    return f"{measure.value(row.score)}{diverged}{' ◂' if row.best else ''}"


def _runs(standing: Standing) -> str:
    return (
        f"{standing.num_completed} + {standing.num_diverged} diverged"
        if standing.num_diverged
        else str(standing.num_completed)
    )


def _brief_runs(standing: Standing) -> str:
    return f"{standing.num_completed}" + (
        f" + {standing.num_diverged} ×" if standing.num_diverged else ""
    )


def _value(mean: Mean, measure: Measure, *, unit: bool = True) -> str:
    """``92.00 ± 1.96 %``: a mean of `measure` and its interval's half."""
    if math.isnan(mean.value):
        return NOTHING
    if math.isnan(mean.high):
        return measure.value(mean.value) if unit else measure.number(mean.value)
    text = measure.number(mean.value)
    half = f" ± {measure.number(mean.high - mean.value)}"
    return measure.value(mean.value).replace(text, text + half, 1) if unit else text + half


def _with_half(mean: Mean) -> str:
    """``0.044 ± 0.031``: two digits of the half-width, the mean to the same decimals."""
    half = mean.high - mean.value
    if math.isnan(mean.value):
        return NOTHING
    if math.isnan(half):
        return f"{mean.value:.3g}".replace("-", "−")
    if not 1e-6 < half < 1e6:
        return f"{mean.value:.3g} ± {half:.2g}".replace("-", "−")
    decimals = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean.value:.{decimals}f} ± {half:.{decimals}f}".replace("-", "−")


def _reached(reached: Reached, brief: bool) -> str:
    if not reached.curves:
        return NOTHING
    of, never = ("/", "never") if brief else (" of ", "not reached")
    count = "" if reached.reached == reached.curves else f" ({reached.reached}{of}{reached.curves})"
    span = ""
    if not brief and reached.low < reached.high:
        high = _count(reached.high) if math.isfinite(reached.high) else "never"
        span = f" [{_count(reached.low)} to {high}]"
    return f"{_count(reached.at) if math.isfinite(reached.at) else never}{span}{count}"


def _plain(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}g}"


def _count(value: float) -> str:
    """``12,000``; with decimals where it is small and not whole, such as a number of epochs."""
    if math.isnan(value):
        return NOTHING
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def all_tables(analysis: Analysis) -> Sequence[Table]:
    """Every table that `analysis` has, in the order of the report."""
    found = [results(analysis), sensitivity(analysis), phases(analysis)]
    if analysis.pairs:
        found.insert(1, pairs(analysis))
    return [table for table in found if table is not None]
