"""A run that is killed five times, at given moments, beside one that is left alone: a program.

``python -m killed FOLDER``, with scripts/ on the path, prints how many rows the killed run's
history has, and what differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from faults import forks, history, kill, same_run
from faults.bombs import Bomb


def main(work: Path) -> None:
    forks.warm_up()

    def arguments(folder: str) -> list[str]:
        saving = "trainer.checkpoint_interval_seconds=0"
        return [*kill.arguments("plateau", "mlp", folder), saving]

    assert forks.lrbench(arguments("whole"), work).code == 0
    again = arguments("cut")
    for phase, fuse in (
        ("start-up", 20), ("checkpoint", 60), ("update", 100), ("recording", 50), ("result", 5)
    ):  # fmt: skip
        ended = forks.lrbench(again, work, arm=Bomb(phase, fuse).arm)
        assert ended.killed, (phase, ended)
        if phase == "checkpoint":
            again = ["resume=cut"]
    written = list((work / "cut").glob(".result.json.*"))
    assert written, "not killed while result.json was written"
    assert not (work / "cut" / "result.json").exists()
    assert forks.lrbench(again, work).code == 0
    print(len(history(work / "cut")), same_run(work / "whole", work / "cut"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
