"""``python -m lrbench.find_lr``: ramp the lr of a configured run, seed by seed, and conclude."""

from __future__ import annotations

import io
import logging
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig
from rich import get_console
from rich.console import Console

from lrbench.cli import shell
from lrbench.cli.argv import Argv, read_argv
from lrbench.cli.console import line, print_json
from lrbench.cli.wording import shell_line
from lrbench.config import CONF, ConfigError, search, trust
from lrbench.files import run_folder
from lrbench.find_lr.advice import Advice, advise, caution
from lrbench.find_lr.configured import Parts, run_ramp
from lrbench.find_lr.files import move_events, output_folder, write_points, write_settings
from lrbench.find_lr.findings import conclude
from lrbench.find_lr.settings import RangeTest, from_config
from lrbench.find_lr.tape import Ramp
from lrbench.find_lr.terminal import as_json, show
from lrbench.record.display import ConsoleHandler
from lrbench.run.parts import build_parts

HELP = """\
Find a learning rate: the range test of Smith (2015) on the run that the same words describe.

  python -m lrbench.find_lr                            on the default config
  python -m lrbench.find_lr dataset=cifar10 model=resnet20 optimizer=adamw lr_max=1
  python -m lrbench.find_lr experiment=cifar10_resnet18 num_seeds=1

Every seed starts a run with the initial weights, batches and settings it would have under
python -m lrbench, and every update has a higher lr, until the loss diverges. Three rules read the
loss, and the lr at which it is lowest gives each schedule its own. Neither validation nor test
data are looked at. Any override of python -m lrbench works, one value a key; scheduler=... says
which schedule the last line is for. Keys of the range test itself, and their values:

{keys}

Options: --config-dir DIR (also choose from your own config files), --json (print what was found
as JSON instead), --help.
HYDRA_FULL_ERROR=1 shows the traceback behind an error."""

SETTINGS = tuple(field.name for field in fields(RangeTest))
OWN_KEYS = (*SETTINGS, "output")


def find_lr(words: Argv, console: Console) -> None:
    """Test what `words` describe, print what is found, and write it to the output folder.

    Raises:
        mistakes.MISTAKES: what a user can mend; the message is one line.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("a range test takes one process: start it without torchrun")
    cfg = compose_config(words)
    settings = from_config({name: cfg[name] for name in SETTINGS})
    config = run_folder.plain_config(cfg)
    built = build_parts({key: value for key, value in config.items() if key not in OWN_KEYS})
    first, trainer = built.seed, built.settings
    seeds = range(first, first + settings.num_seeds)
    output = None if cfg.output is None else Path(cfg.output).expanduser()
    if output is not None:
        tested = {key: value for key, value in config.items() if key != "output"}
        output = output_folder(output, tested)

    from lrbench.trainer import hardware  # imports torch, which takes seconds

    device = hardware.choose_device(trainer.device)
    hardware.set_up(trainer, device)
    data = built.dataset.load(device, channels_last=trainer.channels_last)
    parts = Parts(
        model=built.model,
        task=built.task,
        data=data,
        optimizer=built.optimizer,
        trainer=trainer,
        device=device,
    )
    choices: Any = cfg.hydra.runtime.choices
    title = f"{choices.model} on {choices.dataset} with {choices.optimizer}"
    line(console, title, "bold")
    line(
        console,
        f"lr {settings.lr_min:g} to {settings.lr_max:g} in {settings.num_steps:,} updates, "
        f"batches of {trainer.batch_size:,}; seed {', '.join(map(str, seeds))}; "
        f"{hardware.describe(device)}",
    )
    with tempfile.TemporaryDirectory() as scratch:
        curves = []
        for seed in seeds:
            folder = Path(scratch, f"seed={seed}")
            folder.mkdir()
            curves.append(run_ramp(parts, settings, seed=seed, folder=folder))
            line(console, describe(curves[-1]))
        findings = conclude(curves, settings)
        advice = list(advise(findings, built.optimizer.algorithm.target))
        chosen = next((a for a in advice if a.strategy == choices.scheduler), advice[0])
        told = list(commands(words, chosen))
        console.print()
        show(findings, advice, caution(settings), console)
        console.print()
        for command in told:
            line(console, command, "bold")
        if output is not None:
            from lrbench.find_lr.picture import save_picture  # imports matplotlib

            output.mkdir(parents=True, exist_ok=True)
            write_settings(output, tested)
            write_points(output, curves)
            move_events(Path(scratch), output)
            save_picture(output, curves, findings, advice, title=title)
            line(
                console,
                f"wrote {output}: settings.json, points.csv, loss_vs_lr.png and .svg, and events:",
            )
            line(console, f"  tensorboard --logdir {shlex.quote(str(output))}")
    if "--json" in words.options:
        where = {"commands": told, "folder": None if output is None else str(output)}
        print_json({"title": title, "seeds": list(seeds), **as_json(findings, advice), **where})


def compose_config(words: Argv) -> DictConfig:
    """The config of conf/find_lr.yaml and the overrides.

    Raises:
        ConfigError: a list of values, or a key that has no meaning here.
    """
    for override in OverridesParser.create().parse_overrides(words.overrides):
        if override.is_sweep_override():
            raise ConfigError(
                f"{override.input_line}: one value at a time; num_seeds=5 tests five seeds"
            )
        if override.key_or_group in run_folder.STEERING:
            raise ConfigError(
                f"{override.input_line} is for python -m lrbench: a range test is short"
            )
    with search(words.config_dir) as more:
        cfg = compose("find_lr", [*more, *words.overrides], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)  # for ${hydra:...} in the values
    return cfg


def describe(curve: Ramp) -> str:
    """How a ramp ended."""
    how = "diverged at" if curve.diverged else "ended, without diverging, at"
    return f"seed {curve.seed}: {how} lr {curve.lr[-1]:.3g}, after {len(curve.lr):,} updates"


def commands(words: Argv, advice: Advice) -> Iterator[str]:
    """The run to try first, and a sweep over its range, ready to paste."""
    replaced = {word.partition("=")[0] for word in advice.override.split()}
    kept = [
        word
        for word in words.overrides
        if word.partition("=")[0] not in {*OWN_KEYS, *replaced, "optimizer.lr"}
    ]
    more = [] if words.config_dir is None else ["--config-dir", str(words.config_dir)]
    more += trust.words()
    start = ["python", "-m", "lrbench", *more]
    yield shell_line([*start, *kept, *advice.override.split()])
    lrs = ",".join(f"{lr:g}" for lr in advice.grid)
    yield shell_line([*start, "-m", *kept, *advice.choice.split(), f"optimizer.lr={lrs}"])


def help_text() -> str:
    """The help, with the keys and numbers of conf/find_lr.yaml."""
    text = (CONF / "find_lr.yaml").read_text()
    keys = text.partition("_self_\n")[2].strip().splitlines()
    return HELP.format(keys="\n".join(f"  {key}" for key in keys))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    shell.run("lrbench.find_lr", _find_lr, argv, help=help_text)


def _find_lr(words: list[str]) -> None:
    options = {"--json": ("--json", False)}
    found = read_argv(words, command="lrbench.find_lr", options=options)
    if "--json" in found.options:  # and nothing else
        find_lr(found, Console(file=io.StringIO()))
        return
    progress: Any = logging.getLogger("lrbench.record.display")  # a line now and then in a pipe
    progress.addHandler(ConsoleHandler())
    progress.setLevel(logging.INFO)
    find_lr(found, get_console())


if __name__ == "__main__":
    main()
