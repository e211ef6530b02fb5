"""The forecast's command line: run folders, its own keys, and overrides of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.cli.argv import CONFIG_DIR, names_folder, read_argv
from lrbench.config import GROUPS, ConfigError

HELP = """\
Forecast what schedules that were never run would reach, from a few short runs.

  python -m lrbench.forecast RUNS… scheduler=cosine,linear,wsd
  python -m lrbench.forecast RUNS… scheduler=cosine,wsd optimizer.lr=0.001,0.002 \\
      trainer.length='2000 steps'

RUNS are folders with finished runs, lrbench's or any loop's, that record lr and val_loss (or
train_loss): at least three of different lrs, of at least two schedules. Laws of the loss curve are
fitted to them; the one that best foretells runs held out says the loss of every schedule, peak lr
and length asked for, with a 95 % interval from those same errors. What you do not name is as in
the first run. The table ranks them, and says which differ by less than the error.

Keys of the forecast itself:
  output=FOLDER         where forecast.png, forecast.svg and forecast.csv (each curve, one row a
                        point) go; null writes none. Default: outputs/forecast

Options: --json (print what was found as JSON instead of the table), --config-dir DIR, --help;
trust=MODULE or trust=[MODULE,MODULE] allows your own files to name code of yours.
HYDRA_FULL_ERROR=1 shows the traceback behind an error."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The command line, read."""

    folders: tuple[Path, ...]
    overrides: tuple[str, ...]
    config_dir: Path | None
    output: Path | None
    json: bool
    more: Mapping[str, str]


def parse(
    argv: Sequence[str],
    name: str = "forecast",
    more: Sequence[str] = (),
    without_runs: str | None = None,
) -> Request:
    """Read the command line of the command `name`, which has the keys `more` besides.

    Args:
        without_runs: a word of the command line with which it needs no run folders.

    Raises:
        ConfigError: there is no run folder, or a word that is not known.
    """
    folders, rest, words = [], [], list(argv)
    while words:
        word = words.pop(0)
        if word in CONFIG_DIR:
            rest += [word, *words[:1]]
            words = words[1:]
        elif names_folder(word):
            folders.append(Path(word).expanduser())
        else:
            rest.append(word)
    found = read_argv(
        rest,
        ("output", *more),
        command=f"lrbench.{name}",
        options={"--json": ("--json", False)},
        config_keys=(*GROUPS, "seed"),
        ignored=("-m", "--multirun"),
    )
    if not folders and without_runs not in argv:
        raise ConfigError(
            f"no run folders are named: python -m lrbench.{name} outputs/MY_RUNS scheduler=cosine"
        )
    output = found.own.get("output", f"outputs/{name}")
    if not output:
        raise ConfigError("output= needs a value")
    return Request(
        folders=tuple(folders),
        overrides=tuple(found.overrides),
        config_dir=found.config_dir,
        output=None if output in ("null", "none") else Path(output).expanduser(),
        json="--json" in found.options,
        more={key: value for key, value in found.own.items() if key in more},
    )
