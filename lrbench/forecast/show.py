"""A ranking of forecasts as a table, a CSV, JSON and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lrbench.cli.console import line
from lrbench.draw import figure as drawing
from lrbench.draw import palette
from lrbench.files.atomic import atomic_write
from lrbench.forecast.forecast import Forecast, Forecaster
from lrbench.forecast.runs import Recorded

Ranking = Sequence[tuple[Forecast, bool]]
MOST_DRAWN = 8  # forecasts in one picture
CSV_COLUMNS = ("schedule", "step", "lr", "loss", "low", "high")


def basis(recorded: Recorded, forecaster: Forecaster) -> str:
    """What the forecasts rest on, in one line."""
    tried = ", ".join(f"{name} {score:.2%}" for name, score in forecaster.scores.items())
    count = len(forecaster.errors[forecaster.fit.name])
    return (
        f"{recorded.measure} of {len(forecaster.runs)} runs; {forecaster.fit.name} law, chosen for "
        f"its error on {count} runs held out ({tried})"
    )


def verdict(forecaster: Forecaster, ranking: Ranking) -> str:
    """Which schedule is forecast to be the best, and whether that can be told."""
    ties = [forecast.name for forecast, told in ranking[1:] if not told]
    best, least = ranking[0][0], forecaster.least_difference()
    if not ties:
        return f"{best.name} is forecast to be the best, by more than the error ({least:.2%})"
    return (
        f"can't tell {best.name} from {', '.join(ties)}: they differ by less than {least:.2%}, "
        "which is the error of such a difference; train these"
    )


def show(
    recorded: Recorded, forecaster: Forecaster, ranking: Ranking, written: Sequence[Path]
) -> None:
    """Print the table and what is to be said of it."""
    console = Console(highlight=False)
    for note in recorded.notes:
        line(console, note)
    line(console, basis(recorded, forecaster))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("schedule", overflow="fold")
    for name in ("updates", "peak lr", "final loss", "95 % interval", "behind the first"):
        table.add_column(name, justify="right")
    for place, (forecast, told) in enumerate(ranking):
        loss, low, high = forecast.final
        behind = f"{loss - ranking[0][0].final[0]:.4f}" if told else "can't tell"
        table.add_row(
            forecast.name, f"{len(forecast.lr):,}", f"{forecast.lr.max():.4g}", f"{loss:.4f}",
            f"{low:.4f} to {high:.4f}", behind if place else "",
        )  # fmt: skip
    console.print(table)
    line(console, verdict(forecaster, ranking))
    for path in written:
        line(console, f"wrote {path}")


def as_json(recorded: Recorded, forecaster: Forecaster, ranking: Ranking) -> dict[str, Any]:
    """All that was found."""
    return {
        "measure": recorded.measure,
        "law": forecaster.fit.name,
        "held_out_errors": dict(forecaster.scores),
        "least_difference": forecaster.least_difference(),
        "runs": [run.name for run in forecaster.runs],
        "left_out": list(recorded.notes),
        "forecasts": [
            {
                "schedule": forecast.name,
                "updates": len(forecast.lr),
                "peak_lr": float(forecast.lr.max()),
                **dict(zip(("loss", "low", "high"), forecast.final, strict=True)),
                "behind_the_first": told,
            }
            for forecast, told in ranking
        ],
        "verdict": verdict(forecaster, ranking),
    }


def write_csv(path: Path, ranking: Ranking) -> None:
    """Each forecast curve, one row a point."""
    rows = [",".join(CSV_COLUMNS)]
    for forecast, _ in ranking:
        name = forecast.name.replace('"', '""')
        lr = forecast.lr[forecast.steps - 1]
        numbers = zip(lr, forecast.losses, forecast.low, forecast.high, strict=True)
        for step, values in zip(forecast.steps, numbers, strict=True):
            rows.append(f'"{name}",{step},' + ",".join(repr(float(v)) for v in values))
    with atomic_write(path) as file:
        file.write(("\n".join(rows) + "\n").encode())


def save_picture(
    folder: Path, recorded: Recorded, forecaster: Forecaster, ranking: Ranking
) -> drawing.Picture:
    """Draw the recorded curves and the forecasts with intervals: forecast.png and forecast.svg."""
    drawn = [forecast for forecast, _ in ranking][:MOST_DRAWN]
    looks = drawing.looks(forecast.name for forecast in drawn)
    figure, (axes,) = drawing.new_figure(drawing.WIDTH, 4.2)
    for run in forecaster.runs:
        axes.plot(run.steps, run.losses, color=palette.FAINT, linewidth=0.8, alpha=0.7)
    for forecast in drawn:
        look = looks[forecast.name]
        axes.fill_between(
            forecast.steps, forecast.low, forecast.high, color=look.colour, alpha=0.1, linewidth=0
        )
        axes.plot(forecast.steps, forecast.losses, color=look.colour, linestyle=look.line_style)
    longest = max(len(forecast.lr) for forecast in drawn)
    axes.set_xlim(0, max(longest, *(int(run.steps[-1]) for run in forecaster.runs)))
    lows = [forecast.low.min() for forecast in drawn] + [r.losses.min() for r in forecaster.runs]
    # The steep beginning would press all that matters into one line.
    early = [np.interp(0.1 * longest, r.steps, r.losses) for r in forecaster.runs]
    low, high = float(min(lows)), float(max(early))
    axes.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    axes.set_xlabel("optimizer updates")
    axes.set_ylabel(recorded.measure.replace("_", " "))
    drawing.count_axis(axes.xaxis)
    labels = [(f.name, float(f.steps[-1]), float(f.losses[-1])) for f in drawn]
    drawing.label_right(axes, labels, looks, line=True)
    title = "Forecast losses of schedules, and the recorded runs (grey) that they rest on"
    figure.suptitle(title, x=0.01, ha="left", fontsize=drawing.FONT_SIZE + 1)
    return drawing.save(figure, folder, "forecast", title, basis(recorded, forecaster))
