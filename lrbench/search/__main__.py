"""``python -m lrbench.search``: the best shape under a law, or by trials, as a config."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lrbench.cli import shell
from lrbench.config import ConfigError
from lrbench.config.checks import require_choice
from lrbench.forecast.arguments import Request, parse

if TYPE_CHECKING:
    from rich.console import Console

    from lrbench.search.written import Searched

MOST_KNOTS, MOST_TRIALS = 50, 1000
DEFAULTS = {"law": {"knots": "10"}, "trials": {"knots": "4", "trials": "16", "short": "25%"}}
KEYS = ("by", "knots", "trials", "short", "train")
TRIALS = "by=trials"
HELP = f"""\
Search a shape of lr, write it as a schedule, and hold it against the best named one.

  python -m lrbench.search RUNS… scheduler=cosine,linear,wsd trainer.length='2000 steps'
  python -m lrbench.search {TRIALS} experiment=python_docs_gpt_tiny scheduler=cosine,linear,wsd

By a law: RUNS and the overrides are those of lrbench.forecast, which fits a law to the runs and
forecasts the named schedules. Then the shape is searched that the law forecasts the lowest loss
for, at the peak lr, length and warmup of the best of them: lines between knots that never rise.
By trials: Optuna tunes a few knots on short runs, on which the named schedules are run as well.

The shape is written as a piecewise schedule. Whether it wins, runs on fresh seeds say, in full and
compared with the best named schedule: their command is printed, or run with train=true.

Keys of the search itself:
  by=law|trials         what finds the shape. Default: law
  knots=N               points of the shape, 3 to {MOST_KNOTS}. Default: 10; 4 by trials
  trials=N, short=25%   by trials: how many shapes, and the length of their runs
  train=true            train what was found and its rival on five fresh seeds, and compare them
  output=FOLDER         gets scheduler/searched.yaml, and runs. Default: outputs/search

Options: --json, --config-dir DIR, --help; trust=MODULE allows your own files to name code."""


def search(request: Request) -> None:
    """Do what the command line asks for.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    from rich.console import Console

    from lrbench.cli.console import line
    from lrbench.search.written import train

    by, judged = request.more.get("by", "law"), request.more.get("train", "false")
    require_choice("by", by, DEFAULTS)
    require_choice("train", judged, ("true", "false"))
    own = {key: value for key, value in request.more.items() if key not in ("by", "train")}
    if unknown := sorted(own.keys() - DEFAULTS[by].keys()):
        raise ConfigError(f"{unknown[0]}={own[unknown[0]]} is for {TRIALS}")
    if request.output is None:
        raise ConfigError("output=null writes no schedule: name a folder")
    console = Console(highlight=False, quiet=request.json)
    made = _by_law if by == "law" else _by_trials
    found, content = made(request, {**DEFAULTS[by], **own}, console)
    path, command = found.write(request.output), found.command(request.output)
    if judged == "true":
        line(console, f"wrote {path}; on fresh seeds, against {found.rival}:")
        fresh = request.output / "fresh"
        wrong = train(shlex.split(command)[3:], fresh.with_suffix(".log") if request.json else None)
        if not (fresh / "report.json").is_file():
            raise ConfigError(f"the runs on fresh seeds failed: {wrong}")
        content["verdict"] = json.loads((fresh / "report.json").read_text())
    else:
        line(
            console, f"wrote {path}; whether it wins, runs on fresh seeds say, each schedule with:"
        )
        line(console, command)
    if request.json:
        print(json.dumps({**content, "schedule": str(path), "command": command}, indent=2))


def _by_law(
    request: Request, own: Mapping[str, str], console: Console
) -> tuple[Searched, dict[str, Any]]:
    """What the law that best foretells the recorded runs says is best."""
    from lrbench.cli.console import line
    from lrbench.files import run_folder
    from lrbench.forecast.__main__ import targets
    from lrbench.forecast.forecast import learn, rank
    from lrbench.forecast.runs import read_runs
    from lrbench.forecast.show import as_json, basis, verdict
    from lrbench.preview.replay import starting_overrides
    from lrbench.search.shape import best_shape, laid_out
    from lrbench.search.written import NAME, Searched, own_words

    knots = _whole("knots", own["knots"], 3, MOST_KNOTS)
    recorded = read_runs(request.folders)
    forecaster = learn(recorded.runs)
    named = rank(forecaster, targets(request, recorded, forecaster))[0][0]
    total, peak = len(named.lr), float(named.lr.max())
    warmup = int((named.lr >= peak * (1 - 1e-6)).argmax())
    values = best_shape(forecaster.fit, total=total, warmup=warmup, peak=peak, knots=knots)
    lr = laid_out(values, total=total, warmup=warmup, peak=peak)
    ranking = rank(forecaster, [named, forecaster.forecast(NAME, lr)])
    line(console, basis(recorded, forecaster))
    for forecast, _ in ranking:
        loss, low, high = forecast.final
        line(console, f"{forecast.name}: {loss:.4f} ({low:.4f} to {high:.4f})")
    line(console, verdict(forecaster, ranking))
    before = run_folder.recorded_overrides(recorded.folder)
    found = Searched(
        values=values.tolist(),
        positions=[
            f"{100 * (warmup + k / (knots - 1) * (total - warmup)) / total:.6g}%"
            for k in range(knots)
        ],
        warmup=f"{warmup} steps",
        start=1 / (warmup + 1),
        told=[basis(recorded, forecaster)],
        rival=named.name.partition(" (")[0],
        words=own_words(starting_overrides(before, request.overrides)),
        lr=f"{peak:g}",
        length=f"{total} steps",
    )
    return found, as_json(recorded, forecaster, ranking)


def _by_trials(
    request: Request, own: Mapping[str, str], console: Console
) -> tuple[Searched, dict[str, Any]]:
    """What short runs of a few knots say is best."""
    from lrbench.cli.console import line
    from lrbench.config import duration
    from lrbench.search import trials

    if request.folders:
        raise ConfigError(f"{request.folders[0]}: {TRIALS} makes its own runs: name no folders")
    amount, unit = duration.parse(own["short"])
    if unit != "%" or not 0 < amount <= 100:
        raise ConfigError(f"short={own['short']} must be a share from above 0% to 100%")
    found = trials.search(
        request,
        knots=_whole("knots", own["knots"], 3, MOST_KNOTS),
        trials=_whole("trials", own["trials"], 4, MOST_TRIALS),
        short=amount / 100,
    )
    for told in found.told:
        line(console, told)
    return found, {
        "positions": list(found.positions),
        "values": list(found.values),
        "rival": found.rival,
        "told": list(found.told),
    }


def _whole(key: str, text: str, least: int, most: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ConfigError(f"{key}={text} must be a whole number from {least} to {most}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run(
        "lrbench.search",
        lambda words: search(parse(words, "search", KEYS, without_runs=TRIALS)),
        argv,
        help=lambda: HELP,
    )


if __name__ == "__main__":
    main()
