"""The comparison in a terminal: the verdict, its picture, the table, and where the report is."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrbench.compare import Comparison, tables
from lrbench.compare.answer import lines
from lrbench.compare.report import HTML, Section

MAX_GROUPS = 6
MAX_LINES = 12  # of notes


def show(comparison: Comparison, console: Console) -> None:
    """Print `comparison`; in a pipe plainly, a line for a line however long."""
    report = comparison.report
    if report.together:
        line(console, report.together[0], "bold")
        console.print()
    for section in report.sections[:MAX_GROUPS]:
        show_section(section, console)
    if len(report.sections) > MAX_GROUPS:
        more = len(report.sections) - MAX_GROUPS
        line(console, f"and {more} more groups, in the report")
        console.print()
    notes = [*report.notes, *report.unfinished, *report.problems]
    for note in notes[:MAX_LINES]:
        line(console, f"note: {note}", "yellow")
    if len(notes) > MAX_LINES:
        line(console, f"and {len(notes) - MAX_LINES} more notes, in the report", "yellow")
    line(console, f"report  {comparison.folder / HTML}")


def show_section(section: Section, console: Console) -> None:
    """Print the verdict and the results of one group."""
    if section.label:
        line(console, section.label, "bold")
    show_answer(section, section.verdict.headline, console)
    show_table(tables.results(section.analysis, brief=True), console)
    if any(standing.num_diverged for standing in section.analysis.standings):
        line(console, "×: diverged")
    console.print()
    for remark in section.verdict.remarks:
        line(console, f"- {remark}")
    console.print()


def show_answer(section: Section, sentence: str, console: Console) -> None:
    """Print `sentence`, and what each schedule may lose as a picture of characters."""
    line(console, sentence, "bold")
    console.print()
    for text in lines(section.analysis, console.width if console.is_terminal else 80):
        line(console, text)
    console.print()


def show_table(table: tables.Table, console: Console) -> None:
    """Print `table`, its first and last columns to the left; on a terminal these two may wrap."""
    grid = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        padding=(0, 2, 0, 0) if not console.is_terminal else (0, 1),
        header_style="bold",
    )
    for number, header in enumerate(table.headers):
        ends = number in (0, len(table.headers) - 1)
        grid.add_column(
            header,
            justify="left" if ends else "right",
            no_wrap=not (ends and console.is_terminal),
            min_width=(15 if number else 16) if ends and console.is_terminal else None,
            overflow="fold",
        )
    for number, row in enumerate(table.rows):
        grid.add_row(*map(Text, row), style="bold" if number in table.strong else "")
    if console.is_terminal:
        console.print(grid)
    else:  # a pipe has no width: no cell is cut
        wide = Console(file=console.file, width=10_000, color_system=None, force_terminal=False)
        with wide.capture() as capture:
            wide.print(grid)
        for row_text in capture.get().splitlines():
            line(console, row_text.rstrip())


def line(console: Console, text: str, style: str = "") -> None:
    """Print `text`, wrapped on a terminal, as one line in a pipe."""
    console.print(Text(text, style=style), soft_wrap=not console.is_terminal)
