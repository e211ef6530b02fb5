"""A study in a terminal: the recommendation, the results, the guide, and where the report is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from lrbench.compare import tables
from lrbench.compare.report import HTML
from lrbench.compare.terminal import MAX_LINES, line, show_answer, show_table

if TYPE_CHECKING:
    from lrbench.study.report import Report


def show(report: Report, console: Console) -> None:
    """Print `report`; in a pipe plainly, a line for a line however long."""
    show_answer(report.tuned, report.recommendation.paragraph, console)
    show_table(tables.results(report.tuned.analysis, brief=True), console)
    if any(standing.num_diverged for standing in report.tuned.analysis.standings):
        line(console, "×: diverged")
    console.print()
    if report.guide:
        for verdict in report.guide:
            line(console, f"{verdict.claim}: {verdict.finding}", "bold")
            line(console, " ".join(verdict.sentences))
            if verdict.remedy:
                line(console, f"to settle it: {verdict.remedy}")
        console.print()
    if report.recommendation.next_steps:
        line(console, "To try next:")
    for step in report.recommendation.next_steps:
        line(console, f"- {step}")
    if report.recommendation.command:
        console.print()
        line(console, f"  {report.recommendation.command}", "green")
        console.print()
    notes = [*report.missing, *report.notes]
    for note in notes[:MAX_LINES]:
        line(console, f"note: {note}", "yellow")
    if len(notes) > MAX_LINES:
        line(console, f"and {len(notes) - MAX_LINES} more notes, in the report", "yellow")
    line(console, f"report  {report.folder / HTML}")
