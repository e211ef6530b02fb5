"""The findings in a terminal or a pipe, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lrbench.cli.console import line, warn
from lrbench.cli.wording import counted
from lrbench.find_lr.advice import Advice
from lrbench.find_lr.findings import Findings


def show(findings: Findings, advice: Sequence[Advice], caution: str, console: Console) -> None:
    """Print the rules with their spread, the range, and the schedules' lrs with the reasons."""
    seeds = counted(len(findings.lowest.lrs), "seed")
    rules = Table("rule", box=None, pad_edge=False, header_style="bold")
    for name in ("lr (median)", "lowest", f"highest of {seeds}"):
        rules.add_column(name, justify="right")
    for rule, spread in (*findings.suggestions.items(), ("lowest loss", findings.lowest)):
        rules.add_row(rule, *(f"{lr:.2g}" for lr in (spread.median, spread.low, spread.high)))
    table = Table("schedule", "to try", "range", box=None, pad_edge=False, header_style="bold")
    for item in advice:
        lr = Text(f"optimizer.lr={item.lr:g}", style="bold")
        table.add_row(item.schedule, lr, f"{item.low:.2g} to {item.high:.2g}")
    console.print(rules)
    line(console, f"\nrange  {findings.low:.2g} to {findings.high:.2g}\n", "bold")
    console.print(table)
    console.print()
    for item in advice:
        line(console, f"{item.choice}: {item.why}")
    line(console, caution)
    for warning in findings.warnings:
        warn(console, warning)


def as_json(findings: Findings, advice: Sequence[Advice]) -> dict[str, Any]:
    """The same for programs: each rule's lr of each seed, the range, and each schedule's lr."""
    spreads = {**findings.suggestions, "lowest loss": findings.lowest}
    return {
        "rules": {rule: list(spread.lrs) for rule, spread in spreads.items()},
        "low": findings.low,
        "high": findings.high,
        "schedules": [asdict(item) for item in advice],
        "warnings": list(findings.warnings),
    }
