"""``python -m lrbench.forecast RUNS… key=value…``: what other schedules would reach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lrbench.cli import shell
from lrbench.forecast.arguments import HELP, Request, parse

if TYPE_CHECKING:
    from lrbench.forecast.forecast import Forecast, Forecaster
    from lrbench.forecast.runs import Recorded


def targets(request: Request, recorded: Recorded, forecaster: Forecaster) -> list[Forecast]:
    """The forecast of each schedule × peak lr × length that `request` asks for.

    Raises:
        ValueError, HydraException, OmegaConfBaseException: a mistake that a user can mend.
    """
    from lrbench.config import CONF
    from lrbench.files import run_folder
    from lrbench.forecast.forecast import ForecastError
    from lrbench.preview.arguments import Arguments
    from lrbench.preview.compose import compose
    from lrbench.preview.curve import lay_out
    from lrbench.preview.replay import starting_overrides

    own = run_folder.recorded_overrides(recorded.folder)
    overrides = starting_overrides(own, request.overrides)
    arguments = Arguments(steps_per_epoch=recorded.steps_per_epoch)
    found = []
    for choice in compose(overrides, conf=CONF, config_dir=request.config_dir):
        curve = lay_out(choice, arguments, None)
        name, _, more = choice.label.partition(", ")
        if curve.scheduler.reads_losses:
            raise ForecastError(
                f"scheduler={name} cuts its lr by losses that are not known before it is trained: "
                "leave it out"
            )
        found.append(forecaster.forecast(f"{name} ({more})" if more else name, curve.lr))
    return found


def forecast(request: Request) -> None:
    """Do what the command line asks for.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    from lrbench.forecast.forecast import learn, rank
    from lrbench.forecast.runs import read_runs
    from lrbench.forecast.show import as_json, save_picture, show, write_csv

    recorded = read_runs(request.folders)
    forecaster = learn(recorded.runs)
    ranking = rank(forecaster, targets(request, recorded, forecaster))
    written = []
    if request.output is not None:
        request.output.mkdir(parents=True, exist_ok=True)
        written = [request.output / f"forecast.{ending}" for ending in ("csv", "png", "svg")]
        write_csv(written[0], ranking)
        save_picture(request.output, recorded, forecaster, ranking)
    if request.json:
        print(json.dumps(as_json(recorded, forecaster, ranking), indent=2))
    else:
        show(recorded, forecaster, ranking, written)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run("lrbench.forecast", lambda words: forecast(parse(words)), argv, help=lambda: HELP)


if __name__ == "__main__":
    main()
