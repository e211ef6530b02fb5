"""The branch's command line; importing this imports neither torch nor Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.config import ConfigError

OWN_KEYS = ("at", "cooldown", "output")
HELP = """\
Make cooldowns from a run that holds its lr, and show the loss against the updates spent.

  python -m lrbench.branch RUN at='20%,40%,60%' cooldown=20%

RUN is the folder of a run of lrbench's own loop, finished or not, whose schedule holds its lr at
the points asked for (constant, wsd before its cooldown). For each point a run begins with the
trunk's updates up to there, and its lr then falls linearly to the schedule's floor. The updates
before the points are trained once for all cooldowns: by RUN, if it kept its states there
(keep_at='[20%,40%,60%]' when it is trained), else again.

  at=POINTS             points of RUN: shares of its length, epochs or steps (updates)
  cooldown=LENGTH       how long each falls: a share of the whole new run, epochs or steps.
                        Default: 20%
  output=FOLDER         where the runs, branch.png, branch.svg and branch.json go. Default: named
                        after RUN in outputs/. The same command continues what was interrupted

python -m lrbench.compare FOLDER OTHERS compares the runs with others of the same length.

Options: --json (print what was found as JSON instead of the table), --help; trust=MODULE allows
RUN's config to name code of yours. HYDRA_FULL_ERROR=1 shows the traceback behind an error."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The command line, read."""

    run: Path
    points: tuple[str, ...]
    cooldown: str
    output: Path | None
    json: bool


def parse(argv: Sequence[str]) -> Request:
    """Read the command line.

    Raises:
        ConfigError: there is not one run folder, or a word is not known.
    """
    from lrbench.cli.argv import names_folder, read_argv

    folders = [word for word in argv if names_folder(word)]
    rest = [word for word in argv if word not in folders]
    found = read_argv(
        rest, OWN_KEYS, command="lrbench.branch", options={"--json": ("--json", False)}
    )
    if found.overrides:
        raise ConfigError(
            f"{found.overrides[0]} would change the run: give {', '.join(OWN_KEYS)} alone"
        )
    if len(folders) != 1:
        raise ConfigError(
            f"{len(folders)} run folders: name one, python -m lrbench.branch RUN at='20%,40%'"
        )
    listed = found.own.get("at", "").strip().removeprefix("[").removesuffix("]")
    points = tuple(text.strip() for text in listed.split(",") if text.strip())
    if not points:
        raise ConfigError("at= needs points of the run, such as at='20%,40%,60%'")
    output = found.own.get("output")
    if output == "":
        raise ConfigError("output= needs a value")
    return Request(
        run=Path(folders[0]).expanduser(),
        points=points,
        cooldown=found.own.get("cooldown", "20%"),
        output=None if output is None else Path(output).expanduser(),
        json="--json" in found.options,
    )
