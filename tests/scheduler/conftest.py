"""Tells, with -v, how far the schedules were from each library's."""

from __future__ import annotations

from typing import Any

from schedule_oracles import DEVIATIONS


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not DEVIATIONS or terminalreporter.verbosity <= 0:
        return
    terminalreporter.section("parity: cases, largest relative deviation")
    for oracle, worst in sorted(DEVIATIONS.items()):
        terminalreporter.write_line(f"{oracle:55} {len(worst):5} {max(worst):.1e}")
