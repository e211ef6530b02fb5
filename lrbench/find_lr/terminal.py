"""The findings in a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrbench.find_lr.advice import Advice
from lrbench.find_lr.findings import Findings


def show(findings: Findings, advice: Sequence[Advice], caution: str, console: Console) -> None:
    """Print the rules with their spread, the range, and the schedules' lrs with the reasons."""
    num_seeds = len(findings.lowest.lrs)
    seeds = "1 seed" if num_seeds == 1 else f"{num_seeds} seeds"
    rules = Table(box=None, pad_edge=False, header_style="bold")
    rules.add_column("rule")
    for name in ("lr (median)", "lowest", f"highest of {seeds}"):
        rules.add_column(name, justify="right")
    for rule, spread in (*findings.suggestions.items(), ("lowest loss", findings.lowest)):
        rules.add_row(rule, *(f"{lr:.2g}" for lr in (spread.median, spread.low, spread.high)))
    console.print(rules)
    console.print()
    line(console, f"range  {findings.low:.2g} to {findings.high:.2g}", "bold")
    console.print()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("schedule", "to try", "range"):
        table.add_column(name)
    for item in advice:
        lr = Text(f"optimizer.lr={item.lr:g}", style="bold")
        table.add_row(item.schedule, lr, f"{item.low:.2g} to {item.high:.2g}")
    console.print(table)
    console.print()
    for item in advice:
        line(console, f"{item.choice}: {item.why}")
    line(console, caution)
    for warning in findings.warnings:
        console.print(
            Text("warning: ", style="bold yellow") + Text(warning), soft_wrap=_plain(console)
        )


def line(console: Console, text: str, style: str = "") -> None:
    """One line; in a pipe it is not wrapped."""
    console.print(Text(text, style=style), soft_wrap=_plain(console))


def _plain(console: Console) -> bool:
    return not console.is_terminal
