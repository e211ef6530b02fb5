"""lrbench as a user starts it: processes of their own, and what they leave running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def start(arguments: Sequence[str], cwd: Path, said: str = "said") -> subprocess.Popen[bytes]:
    """Start ``python -m lrbench arguments`` in a process group of its own; output to a file."""
    with (cwd / said).open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "lrbench", *arguments],
            cwd=cwd,
            env=ENVIRONMENT,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(arguments: Sequence[str], cwd: Path) -> list[str]:
    """Run ``python -m lrbench arguments`` to its end; what is wrong with that, if anything."""
    process = start(arguments, cwd)
    code = process.wait()
    text = (cwd / "said").read_text(errors="replace")
    return [f"exit code {code}: {text[-600:]}"] if code else []


def one_line(text: str) -> list[str]:
    """What is wrong with `text` as an answer to a mistake: it must end in one line of lrbench's."""
    lines = text.strip().splitlines()
    told = [line for line in lines if line.startswith("lrbench: ")]
    if "Traceback" in text or "Logging error" in text or len(told) != 1:
        return [f"not answered in one line: {text[-800:]}"]
    return []


def of_session(session: int) -> list[int]:
    """Live processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def wait_until_gone(session: int, seconds: float) -> bool:
    """Whether every process of `session` ends within `seconds`."""
    until = time.monotonic() + seconds
    while of_session(session):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def works(session: int) -> bool:
    """Whether any process of `session` uses the processor within a second."""

    def spent() -> int:
        total = 0
        for pid in of_session(session):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])  # in user and in kernel mode
        return total

    before = spent()
    time.sleep(1)
    return spent() > before


def end_session(session: int) -> None:
    """Kill what is left of a session that `start` began."""
    for pid in of_session(session):
        os.kill(pid, signal.SIGKILL)
