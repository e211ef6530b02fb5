"""``python -m lrbench.search RUNS… key=value…``: the best shape under a fitted law, as a config."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lrbench.cli import shell
from lrbench.config import ConfigError
from lrbench.forecast.arguments import Request, parse

KNOTS, MOST_KNOTS = 10, 50
HELP = f"""\
Search the shape of lr that a law of the loss curve forecasts the lowest final loss for.

  python -m lrbench.search RUNS… scheduler=cosine,linear,wsd trainer.length='2000 steps'

RUNS and the overrides are those of lrbench.forecast: the law is fitted to the runs, and the named
schedules are forecast. Then the shape is searched for the peak lr, length and warmup of the best
of them: lines between knots that never rise. It is written as a piecewise schedule, and the
command is printed that trains it against that best one on fresh seeds: a forecast alone decides
nothing.

Keys of the search itself:
  knots=N               points of the shape, 3 to {MOST_KNOTS}. Default: {KNOTS}
  output=FOLDER         gets scheduler/searched.yaml. Default: outputs/search

Options: --json, --config-dir DIR, --help; trust=MODULE allows your own files to name code."""


def search(request: Request) -> None:
    """Do what the command line asks for.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    from rich.console import Console

    from lrbench.cli.console import line
    from lrbench.files.atomic import atomic_write
    from lrbench.forecast.__main__ import targets
    from lrbench.forecast.forecast import learn, rank
    from lrbench.forecast.runs import read_runs
    from lrbench.forecast.show import as_json, basis, verdict
    from lrbench.search.shape import best_shape, laid_out

    knots, folder = _knots(request.more.get("knots", str(KNOTS))), request.output
    if folder is None:
        raise ConfigError("output=null writes no schedule: name a folder")
    recorded = read_runs(request.folders)
    forecaster = learn(recorded.runs)
    named = rank(forecaster, targets(request, recorded, forecaster))[0][0]
    total, peak = len(named.lr), float(named.lr.max())
    warmup = int((named.lr >= peak * (1 - 1e-6)).argmax())
    values = best_shape(forecaster.fit, total=total, warmup=warmup, peak=peak, knots=knots)
    lr = laid_out(values, total=total, warmup=warmup, peak=peak)
    ranking = rank(forecaster, [named, forecaster.forecast("searched", lr)])
    positions = [
        f"{100 * (warmup + k / (knots - 1) * (total - warmup)) / total:.6g}%" for k in range(knots)
    ]
    path = folder / "scheduler" / "searched.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(
            f"# Searched for {total:,} updates at a peak lr of {peak:g}.\n"
            f"# {basis(recorded, forecaster)}\n"
            "_target_: lrbench.scheduler.Piecewise\n"
            f"warmup: {warmup} steps\nwarmup_shape: linear\n"
            f"warmup_start_factor: {1 / (warmup + 1):.6g}\n"
            f"positions: [{', '.join(positions)}]\n"
            f"values: [{', '.join(f'{value:.6g}' for value in values)}]\n"
            "interpolation: linear\n".encode()
        )
    if request.json:
        print(json.dumps(as_json(recorded, forecaster, ranking), indent=2))
        return
    console = Console(highlight=False)
    line(console, basis(recorded, forecaster))
    for forecast, _ in ranking:
        loss, low, high = forecast.final
        line(console, f"{forecast.name}: {loss:.4f} ({low:.4f} to {high:.4f})")
    line(console, verdict(forecaster, ranking))
    line(console, f"wrote {path}; whether it wins, runs on fresh seeds say, each schedule with:")
    shared = f"optimizer.lr={peak:g} trainer.length='{total} steps' 'seed=range(100,105)'"
    name = named.name.partition(" (")[0]
    line(console, f"python -m lrbench -m --config-dir {folder} scheduler=searched,{name} {shared}")


def _knots(text: str) -> int:
    if not text.isdecimal() or not 3 <= int(text) <= MOST_KNOTS:
        raise ConfigError(f"knots={text} must be a whole number from 3 to {MOST_KNOTS}")
    return int(text)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run(
        "lrbench.search",
        lambda words: search(parse(words, "search", ("knots",))),
        argv,
        help=lambda: HELP,
    )


if __name__ == "__main__":
    main()
