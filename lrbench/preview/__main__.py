"""``python -m lrbench.preview``: read the command line, lay the schedules out, show them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lrbench.cli import shell
from lrbench.cli.console import line, print_json, warn
from lrbench.config import CONF, ConfigError
from lrbench.draw import palette
from lrbench.files import run_folder
from lrbench.preview.arguments import HELP, PICTURE_ENDINGS, Arguments, parse
from lrbench.preview.compose import Choice, compose
from lrbench.preview.curve import ScheduleCurve, crowded, with_groups
from lrbench.preview.replay import History, read_history, starting_overrides
from lrbench.preview.summary import as_json, notes, table, write_csv
from lrbench.preview.terminal import Line, plot


def preview(arguments: Arguments, console: Console) -> None:
    """Show what `arguments` ask for on `console`; write the picture and the CSV.

    Raises:
        ValueError, HydraException, OmegaConfBaseException, OSError: a mistake that a user can
            mend; the message is one line.
    """
    history = None if arguments.history is None else read_history(arguments.history)
    overrides = arguments.overrides
    if history is not None:
        overrides = starting_overrides(history.overrides, overrides)
    choices = compose(overrides, conf=CONF, config_dir=arguments.config_dir)
    many = len(choices) > 1
    curves = [c for choice in choices for c in _lay_out(choice, arguments, history, many=many)]

    title, told = describe(curves), list(notes(curves, differences(history, choices)))
    if not arguments.json:
        _show(curves, title, told, console)
    paths = picture_paths(arguments.output, curves)
    if paths:
        from lrbench.preview.picture import save_picture  # imports matplotlib

        save_picture(paths, curves, history=history, scale=arguments.scale, title=title)
    if arguments.csv is not None:
        write_csv(arguments.csv, curves)
        paths = [*paths, arguments.csv]
    if arguments.json:
        schedules = [as_json(curve) for curve in curves]
        print_json({"title": title, "schedules": schedules, "notes": told,
                    "files": list(map(str, paths))})  # fmt: skip
        return
    for path in paths:
        line(console, f"wrote {path}")


def _show(
    curves: Sequence[ScheduleCurve], title: str, told: Sequence[str], console: Console
) -> None:
    """Print the plots, the table and what there is to say."""
    line(console, f"{title}\n")
    for text in plots(curves, console.width) if "utf" in console.encoding else ():
        console.print(text)
        console.print()
    console.print(table(curves))
    console.print()
    for note in told:
        line(console, note)
    for curve in curves:
        for warning in curve.warnings:
            warn(console, f"{curve.label}: {warning}")


def _lay_out(
    choice: Choice, arguments: Arguments, history: History | None, *, many: bool
) -> list[ScheduleCurve]:
    try:
        return with_groups(choice, arguments, history)
    except ValueError as error:
        raise ConfigError(f"{choice.label}: {error}" if many else str(error)) from error


def describe(curves: Sequence[ScheduleCurve]) -> str:
    """One line with the data, length and base lr that all curves have in common."""

    def shared(values: set[str], otherwise: str) -> str:
        return values.pop() if len(values) == 1 else otherwise

    data = shared({curve.dataset for curve in curves}, "several datasets")
    length = shared(
        {f"{c.total_steps:,} updates, {c.steps_per_epoch:,} an epoch" for c in curves},
        "lengths differ",
    )
    batch = shared({f"batches of {c.batch_size:,}" for c in curves}, "batch sizes differ")
    lr = shared({f"base lr {c.base_lr:g}" for c in curves}, "base lrs differ")
    return f"{data}: {length}, {batch}; {lr}"


def plots(curves: Sequence[ScheduleCurve], width: int) -> list[Text]:
    """Text plots of the lr, and of the momentum where schedules set it; none if `crowded`."""
    if crowded(curves):
        return []
    epochs = {curve.steps_per_epoch for curve in curves}
    steps_per_epoch = epochs.pop() if len(epochs) == 1 else None
    x_stop = max(curve.total_steps for curve in curves)

    def drawn(title: str, chosen: Sequence[ScheduleCurve], attribute: str, height: int) -> Text:
        lines = [Line(c.label, palette.colour(c.name), *getattr(c, attribute)) for c in chosen]
        epochs = steps_per_epoch if attribute == "lr_points" else None
        return plot(
            lines, title=title, x_stop=x_stop, steps_per_epoch=epochs, width=min(width, 120),
            height=height,
        )  # fmt: skip

    texts = [drawn("learning rate", curves, "lr_points", 14)]
    if cycling := [curve for curve in curves if curve.cycles_momentum]:
        texts.append(drawn("momentum", cycling, "momentum_points", 5))
    return texts


def differences(history: History | None, choices: Sequence[Choice]) -> str:
    """Settings, apart from the schedule, in which the recorded run and the first choice differ."""
    if history is None:
        return ""
    skipped = ("scheduler", "seed")
    old, new = (
        {k: v for k, v in run_folder.plain_config(cfg).items() if k not in skipped}
        for cfg in (history.cfg, choices[0].cfg)
    )
    return run_folder.diff(old, new)


def picture_paths(output: str | None, curves: Sequence[ScheduleCurve]) -> list[Path]:
    """Where the picture goes; see the help on ``output=``."""
    if output is None:
        return []
    if output == "default":
        path = Path("outputs", "preview", file_name([curve.label for curve in curves]))
    else:
        path = Path(output).expanduser()
        if path.suffix in PICTURE_ENDINGS:
            return [path]
    return [path.with_name(path.name + ending) for ending in (".png", ".svg")]


def file_name(labels: Sequence[str]) -> str:
    """A file name made of `labels`; a long one is cut and ends in a hash of all of them."""
    name = re.sub(r"[^\w.=-]+", "_", "-".join(labels))
    if len(name) <= 80:
        return name
    return f"{name[:70]}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run(
        "lrbench.preview",
        lambda words: preview(parse(words), Console()),
        argv,
        help=lambda: HELP,
    )


if __name__ == "__main__":
    main()
