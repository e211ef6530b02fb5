"""SIGKILL in the middle of things: scripts/torture.py does it by the hundred."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
CODE = """
import sys
from pathlib import Path
from faults import forks, history, kill, same_run
from faults.bombs import Bomb

forks.warm_up()
work = Path(sys.argv[1])

def arguments(folder):
    return [*kill.arguments("plateau", "mlp", folder), "trainer.checkpoint_interval_seconds=0"]

assert forks.lrbench(arguments("whole"), work).code == 0
again = arguments("cut")
for phase, fuse in (
    ("start-up", 20), ("checkpoint", 60), ("update", 100), ("recording", 50), ("result", 5)
):
    ended = forks.lrbench(again, work, arm=Bomb(phase, fuse).arm)
    assert ended.killed, (phase, ended)
    if phase == "checkpoint":
        again = ["resume=cut"]
assert list((work / "cut").glob(".result.json.*")), "not killed while result.json was written"
assert not (work / "cut" / "result.json").exists()
assert forks.lrbench(again, work).code == 0
print(len(history(work / "cut")), same_run(work / "whole", work / "cut"))
"""


def test_a_run_killed_five_times_equals_one_left_alone(tmp_path: Path) -> None:
    path = os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "34 []\n", done.stdout + done.stderr
