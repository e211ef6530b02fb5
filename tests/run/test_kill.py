"""SIGKILL in the middle of things: scripts/torture.py does it by the hundred."""

from __future__ import annotations

import os
from pathlib import Path

from processes import run_module

HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "scripts"


def test_a_run_killed_five_times_equals_one_left_alone(tmp_path: Path) -> None:
    path = os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])
    done = run_module("killed", str(tmp_path), cwd=HERE, env={"PYTHONPATH": path})
    assert done.stdout == "34 []\n", done.stdout + done.stderr
