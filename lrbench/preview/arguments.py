"""The preview's command line: its own keys beside the overrides of ``python -m lrbench``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrbench.cli.argv import Argv, read_argv
from lrbench.config import GROUPS, ConfigError

HELP = """\
See learning-rate schedules before training: lr and momentum over updates and epochs.

  python -m lrbench.preview                            the schedule of the default config
  python -m lrbench.preview scheduler=onecycle trainer.length='30 epochs'
  python -m lrbench.preview scheduler=cosine,warmup_decay,onecycle,plateau
  python -m lrbench.preview scheduler.warmup='0 steps','5 epochs' optimizer.lr=0.05,0.1
  python -m lrbench.preview history=FOLDER scheduler=plateau scheduler.patience=2,5

Any override of python -m lrbench works and the config is the real one, so the number of updates
is that of the run. Lists draw one curve per combination (glob(*) takes every choice); too many
for one plot get a small panel each. Nothing is downloaded or trained.

Keys of the preview itself:
  output=PATH           the picture, as PATH.png and PATH.svg, or the one with the ending that PATH
                        has (png, svg, pdf); null draws none. Default: outputs/preview/<names>
  csv=FILE              every update as a row: schedule,step,epoch,lr,momentum
  scale=linear|log      of the lr axis
  history=FOLDER        replay the validation losses of the run in FOLDER, for schedules that
                        react to them (plateau). Starts from that run's settings; what you write
                        comes on top. Marks where the replay stops being valid: from the first
                        update whose lr differs from the recorded run's, its losses are no guide.
  steps_per_epoch=N     optimizer updates per epoch, where the dataset's size is not known yet
  num_train=N           or: the number of training examples, validation not counted

Options: --config-dir DIR (also choose from your own config files), --json (print the numbers as
JSON instead), --help; trust=MODULE or trust=[MODULE,MODULE] allows those files to name code of
yours.
HYDRA_FULL_ERROR=1 shows the traceback behind an error."""

OWN_KEYS = ("output", "csv", "scale", "history", "steps_per_epoch", "num_train")
CONFIG_KEYS = (*GROUPS, "seed", "resume")
SCALES = ("linear", "log")
PICTURE_ENDINGS = (".png", ".svg", ".pdf")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line, read: the preview's own keys, and what is left for Hydra."""

    overrides: tuple[str, ...] = ()
    config_dir: Path | None = None
    help: bool = False
    json: bool = False
    output: str | None = "default"
    csv: Path | None = None
    scale: str = "linear"
    history: Path | None = None
    steps_per_epoch: int | None = None
    num_train: int | None = None


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    Raises:
        ConfigError: an option that is not known, or a key of the preview with a wrong value.
    """
    # Lists are taken as lists with or without -m.
    return _checked(
        read_argv(
            argv,
            OWN_KEYS,
            command="lrbench.preview",
            options={"--json": ("--json", False)},
            config_keys=CONFIG_KEYS,
            ignored=("-m", "--multirun"),
        )
    )


def _checked(words: Argv) -> Arguments:
    own = words.own
    for key, value in own.items():
        if not value:
            raise ConfigError(f"{key}= needs a value")
    scale = own.get("scale", "linear")
    if scale not in SCALES:
        raise ConfigError(f"scale={scale} is not one of {', '.join(SCALES)}")
    output: str | None = own.get("output", "default")
    if output in ("null", "none"):
        output = None
    if "steps_per_epoch" in own and "num_train" in own:
        raise ConfigError("steps_per_epoch and num_train say the same: give one of them")
    return Arguments(
        overrides=tuple(words.overrides),
        config_dir=words.config_dir,
        help=words.help,
        json="--json" in words.options,
        output=output,
        csv=Path(own["csv"]).expanduser() if "csv" in own else None,
        scale=scale,
        history=Path(own["history"]).expanduser() if "history" in own else None,
        steps_per_epoch=_count("steps_per_epoch", own),
        num_train=_count("num_train", own),
    )


def _count(key: str, own: dict[str, str]) -> int | None:
    if key not in own:
        return None
    digits = own[key].replace("_", "").replace(",", "")
    if not digits.isdecimal() or int(digits) < 1:
        raise ConfigError(f"{key}={own[key]} must be a whole number of at least 1")
    return int(digits)
