"""The tables that every form of the report shares: cells as text, numbers rounded for reading."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lrbench.compare.analysis import REFERENCE, Analysis
from lrbench.compare.groups import number
from lrbench.compare.settings import METRICS
from lrbench.compare.verdict import p_value, percent, points, span

NOTHING = "–"
Row = dict[str, Any]


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
    metric = METRICS[analysis.settings.metric]
    short = metric.replace("accuracy", "acc.").replace("validation", "val.")
    columns: list[tuple[str, bool, Callable[[Row], str]]] = [
        ("strategy", True, lambda r: r["strategy"]),
        ("runs", True, _brief_runs if brief else _runs),
        (f"{short}, %" if brief else metric, True, _brief_score if brief else _score),
        ("median", True, lambda r: percent(r["median_score"]).removesuffix(" %" if brief else "")),
        ("sd" if brief else "sd over seeds", True, lambda r: points(r["sd_score"])),
        ("worst seed", False, lambda r: percent(r["worst_score"])),
    ]
    if analysis.sensitivity is not None or analysis.summary["lr"].nunique() > 1:
        columns.insert(2, ("lr", True, lambda r: number(r["lr"])))
    if analysis.settings.metric != "test_accuracy":
        columns.append(("test accuracy", False, lambda r: percent(r["test_accuracy"])))
    columns += [
        ("test loss", False, lambda r: _with_half(r, "test_loss")),
        ("best val. accuracy", False, lambda r: percent(r["best_val_accuracy"])),
    ]
    middle = list(analysis.targets)[len(analysis.targets) // 2]
    for target in analysis.targets:
        header = f"to {target}" if brief else f"updates to {target}"
        columns.append((header, target == middle, lambda r, t=target: _reached(r, t, brief)))  # type: ignore[misc]
    columns += [
        ("seconds", False, lambda r: _plain(r["seconds"], 3)),
        ("images/s", False, lambda r: _count(r["units_per_second"])),
    ]
    # The verdict on each strategy: first on paper, last where a narrow terminal may wrap it.
    columns.insert(len(columns) if brief else 1, ("against the best", True, _mark))
    chosen = [(header, cell) for header, always, cell in columns if always or not brief]
    rows = analysis.summary.to_dict("records")
    targets = ", ".join(f"{name}: {percent(a)}" for name, a in analysis.targets.items())
    caption = (
        f"{metric.capitalize()} and test loss: mean ± 95 % t-interval over completed runs. Median "
        "and worst seed: over all runs, a diverged one as guessing "
        f"({percent(analysis.chance)}; {analysis.chance_source}). Sd over seeds, in points, is the "
        "strategy's stability. Updates to a target: median over all runs of the first evaluation "
        f"at that validation accuracy ({targets}); in brackets how many runs reached it, if not "
        "all. Seconds and images/s: median. \"Not distinguishable\" is lack of evidence, "
        "\"equivalent\" is evidence of a difference within the margin."
    )  # fmt: skip
    return Table(
        title="Results",
        headers=tuple(header for header, _ in chosen),
        rows=tuple(tuple(cell(row) for _, cell in chosen) for row in rows),
        strong=frozenset(i for i, row in enumerate(rows) if row["mark"] == "best"),
        caption=caption,
    )


def phases(analysis: Analysis) -> Table:
    """How each strategy goes through the early, the middle and the late part of the run."""
    rows = analysis.summary.to_dict("records")
    constant = REFERENCE in analysis.summary["strategy"].tolist()
    reference = (
        (f"late gain over {REFERENCE}", "late_gain_over_constant")
        if constant
        else ("gain since mid-run", "half_gain")
    )
    headers = (
        "strategy",
        "early: val. loss",
        "middle: spread",
        "late: loss gain",
        "late: accuracy gain",
        reference[0],
    )
    cells = tuple(
        (
            row["strategy"],
            _with_half(row, "early_loss"),
            _with_half(row, "middle_spread"),
            _with_half(row, "late_loss_gain"),
            _points_with_half(row, "late_gain"),
            _points_with_half(row, reference[1]),
        )
        for row in rows
    )
    caption = (
        "Mean ± 95 % t-interval over the runs whose curve gets so far. Early: area under the "
        "validation loss over the first third, divided by its width. Middle: standard deviation of "
        "the change of validation loss between neighbouring evaluations, from a third to four "
        "fifths. Late: fall of the validation loss, and rise of the validation accuracy in points, "
        "over the last fifth; beside it "
        + (f"how much more than {REFERENCE} on the same seeds." if constant
           else "the rise since the strategy's own mid-run point. No run has a constant lr: "
           f"scheduler={REFERENCE} would show what the last fifth brings without annealing.")
    )  # fmt: skip
    return Table("Three phases", headers, cells, frozenset(), caption)


def pairs(analysis: Analysis) -> Table:
    """One row per pair of strategies."""
    rows = analysis.pairs.to_dict("records")
    margin = 100 * analysis.settings.margin
    headers = (
        "pair", "seeds", "difference", "95 % interval", "Holm p", "P(A > B)", "correlation",
        f"equivalence p (± {margin:g})",
    )  # fmt: skip
    cells = tuple(
        (
            f"{row['a']} − {row['b']}",
            str(row["num_pairs"]),
            points(row["difference"]),
            NOTHING
            if math.isnan(row["difference_low"])
            else span(row["difference_low"], row["difference_high"])
            + ("*" if row["interval"] == "t" else ""),
            p_value(row["holm_p"]),
            _decimals(row["probability"]),
            _decimals(row["correlation"]),
            p_value(row["equivalence_holm_p"]),
        )
        for row in rows
    )
    starred = any(row["interval"] == "t" for row in rows)
    caption = (
        "Paired by seed, in points. Interval: bootstrap of the mean difference (expanded "
        "percentile). p: permutation test, exchange of the two strategies within each seed, "
        "Holm-corrected over the pairs. P(A > B): share of seeds on which the first is better, a "
        "tie counting half. Correlation of the two over seeds: what pairing gains. Equivalence p: "
        f"two one-sided t tests against ± {margin:g} points, Holm-corrected."
        + (" *: t-interval, for fewer than five pairs carry no bootstrap." if starred else "")
    )
    strong = frozenset(i for i, row in enumerate(rows) if row["finding"].startswith("beats"))
    return Table("Pairs of strategies", headers, cells, strong, caption)


def sensitivity(analysis: Analysis) -> Table | None:
    """Strategies against peak lrs, or None where the lr was not swept."""
    table = analysis.sensitivity
    if table is None:
        return None
    lrs = sorted(table["lr"].unique())
    cells = []
    for strategy in analysis.summary["strategy"]:
        at = {row["lr"]: row for row in table[table["strategy"] == strategy].to_dict("records")}
        cells.append((strategy, *(_at_lr(at[lr]) if lr in at else NOTHING for lr in lrs)))
    caption = (
        f"Mean {METRICS[analysis.settings.metric]} over seeds, a diverged run as guessing (×: how "
        "many diverged). ◂: the lr chosen on validation."
    )
    headers = ("strategy", *(f"lr={number(float(lr))}" for lr in lrs))
    return Table("Peak learning rate", headers, tuple(cells), frozenset(), caption)


def _at_lr(row: Row) -> str:
    diverged = f" ×{row['num_diverged']}" if row["num_diverged"] else ""
    return f"{percent(row['score'])}{diverged}{' ◂' if row['best'] else ''}"


def _mark(row: Row) -> str:
    return row["mark"] or NOTHING


def _runs(row: Row) -> str:
    return (
        f"{row['num_completed']} + {row['num_diverged']} diverged"
        if row["num_diverged"]
        else str(row["num_completed"])
    )


def _brief_runs(row: Row) -> str:
    return f"{row['num_completed']}" + (
        f" + {row['num_diverged']} ×" if row["num_diverged"] else ""
    )


def _brief_score(row: Row) -> str:
    return _score(row).removesuffix(" %")


def _score(row: Row) -> str:
    mean, high = row["completed_score"], row["completed_score_high"]
    if math.isnan(mean):
        return "all diverged"
    half = "" if math.isnan(high) else f" ± {100 * (high - mean):.2f}"
    return f"{100 * mean:.2f}{half} %"


def _with_half(row: Row, name: str) -> str:
    """``0.044 ± 0.031``: two digits of the half-width, the mean to the same decimals."""
    mean, half = row[name], row[f"{name}_high"] - row[name]
    if math.isnan(mean):
        return NOTHING
    if math.isnan(half):
        return f"{mean:.3g}".replace("-", "−")
    if not 1e-6 < half < 1e6:
        return f"{mean:.3g} ± {half:.2g}".replace("-", "−")
    decimals = max(0, 1 - math.floor(math.log10(half)))
    return f"{mean:.{decimals}f} ± {half:.{decimals}f}".replace("-", "−")


def _points_with_half(row: Row, name: str) -> str:
    mean, high = row[name], row[f"{name}_high"]
    if math.isnan(mean):
        return NOTHING
    return points(mean) + ("" if math.isnan(high) else f" ± {points(high - mean)}")


def _reached(row: Row, target: str, brief: bool) -> str:
    steps, reached, runs = (
        row[f"{name}_{target}"] for name in ("steps_to", "reached", "curves")
    )  # fmt: skip
    if not runs:
        return NOTHING
    of, never = ("/", "never") if brief else (" of ", "not reached")
    count = "" if reached == runs else f" ({reached}{of}{runs})"
    return f"{_count(steps) if math.isfinite(steps) else never}{count}"


def _decimals(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _plain(value: float, digits: int) -> str:
    return NOTHING if math.isnan(value) else f"{value:.{digits}g}"


def _count(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:,.0f}"


def all_tables(analysis: Analysis) -> Sequence[Table]:
    """Every table that `analysis` has, in the order of the report."""
    found = [results(analysis), sensitivity(analysis), phases(analysis)]
    if len(analysis.pairs):
        found.insert(1, pairs(analysis))
    return [table for table in found if table is not None]
