"""The study's command line: its own keys beside the overrides of ``python -m lrbench``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from lrbench.cli.argv import read_argv
from lrbench.compare.require import Requirement, take
from lrbench.config import GROUPS, ConfigError
from lrbench.config.checks import require_choice

HELP = """\
Which learning-rate schedule should I use, and is that sure? The fair protocol: tune every schedule
alike, compare them on fresh seeds, measure what is commonly claimed, recommend.

  python -m lrbench.study                              a first one, some minutes: see below
  python -m lrbench.study experiment=python_docs_gpt_tiny    the four strategies, on a text
  python -m lrbench.study dataset=digits study.stop_at_noise=true    what digits cannot tell
  python -m lrbench.study experiment=cifar10_resnet20 hydra/launcher=joblib
  python -m lrbench.study model=mlp study.strategies=[cosine,onecycle] study.num_trials=3
  python -m lrbench.study study.budgets=[10%,30%,100%] 'study.final_seeds=range(12)'
  python -m lrbench.study study.looks=[]               every strategy on all final seeds
  python -m lrbench.study dry_run=true                 what would run, and for how long

Any override of python -m lrbench works and counts for every run, so the model, the dataset, the
optimizer and the budget (trainer.length) are yours; optimizer.lr is the shared default, around
which every strategy is tuned. Runs go to any Hydra launcher. The same command continues where it
was stopped, and trains only what is missing; so does one with other study.* keys.

A command that names no experiment, dataset, model, optimizer, task or loop studies a small language
model, with few trials and seeds: {first}

Keys of the study itself:
  study=NAME            a file of conf/study: four_way, first, or one of your own (--config-dir)
  study.KEY=VALUE       a key in it: strategies, num_trials, lrs, max_extensions, knob_trials,
                        knobs, tuning_seeds, tuning_draws, noise_seeds, stop_at_noise,
                        final_seeds, looks, futility, splits, workloads, untuned, screen,
                        screen_lengths, screen_risk, budgets, margin, guide
  tuner=grid|optuna     how peak lrs are found: a grid, which grows where the best is at its edge,
                        or as many trials of Optuna's (for larger spaces), hopeless ones stopped
  dry_run=true          print the plan (runs, updates, time) and train nothing but a short probe

  require=TEXT          what must hold for sure of the recommended budget: 'wsd beats cosine' or
                        'loss(cosine) <= 0.5'; exit code 2 where it does not; may be repeated

Options: --json (print report.json and nothing else; progress goes to stderr), --config-dir DIR
(also choose from your own config files), --help; trust=MODULE or trust=[MODULE,MODULE] allows those
files to name code of yours.
HYDRA_FULL_ERROR=1 shows the traceback behind an error."""

# What is studied where the command names none of `JOB`: differences well above the noise of seeds.
FIRST_STUDY = "first"
FIRST_JOB = {"experiment": "python_docs_gpt_tiny", "trainer.length": "'500 steps'"}
JOB = ("experiment", "dataset", "model", "optimizer", "task", "loop")
HELP = HELP.format(
    first=" ".join([f"study={FIRST_STUDY}", *(f"{k}={v}" for k, v in FIRST_JOB.items())])
)
OWN_KEYS = ("study", "tuner", "dry_run")
TUNERS = ("grid", "optuna")
REFUSED = {  # and why
    "scheduler": "a study has several: study.strategies=[cosine,onecycle]",
    "seed": "a study has several: study.tuning_seeds=[1000,1001] and study.final_seeds=[0,1,2]",
    "resume": "the same command continues a study that was stopped",
    "resume_policy": "the same command continues a study that was stopped",
    "rerun": "a diverged run is a result; delete its folder to train it again",
    "hydra.sweep.subdir": "a study names its run folders itself; hydra.sweep.dir is free",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line, read.

    Attributes:
        study: choice of conf/study.
        first: whether the command names no job, so that it is `FIRST_JOB`; see `job`.
        settings: changes to its keys, ``("study.num_trials=3",)``.
        overrides: of every run's config, and Hydra's own.
        folder: the study folder, where the command names it.
    """

    study: str = "four_way"
    first: bool = False
    settings: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    tuner: str = "grid"
    dry_run: bool = False
    json: bool = False
    requirements: tuple[Requirement, ...] = ()
    config_dir: Path | None = None
    folder: Path | None = None
    help: bool = False

    @property
    def job(self) -> tuple[str, ...]:
        """The overrides of the first job, where the command names none."""
        given = {word.partition("=")[0] for word in self.overrides}
        own = [f"{key}={value}" for key, value in FIRST_JOB.items() if key not in given]
        return tuple(own) if self.first else ()


def parse(argv: Sequence[str]) -> Arguments:
    """Read the command line.

    Raises:
        ConfigError, ValueError, HydraException: a mistake in it.
    """
    requirements, words = take(argv)
    read = read_argv(
        words,
        OWN_KEYS,
        command="lrbench.study",
        options={"--json": ("--json", False)},
        config_keys=(*GROUPS, "seed", "resume"),
    )
    parsed = OverridesParser.create().parse_overrides(read.overrides)
    given = {override.key_or_group for override in parsed}
    first = given.isdisjoint((*JOB, "study.workloads"))
    own = {"study": FIRST_STUDY if first else "four_way", "tuner": "grid", "dry_run": "false"}
    own |= read.own
    if not own["study"]:
        raise ConfigError("study= needs a name: study=four_way")
    require_choice("tuner", own["tuner"], TUNERS)
    require_choice("dry_run", own["dry_run"].lower(), ("true", "false"))
    as_json = "--json" in read.options
    if as_json and own["dry_run"].lower() == "true":
        raise ConfigError("--json prints what a study found, and dry_run=true conducts none")
    settings, overrides, folder = [], [], None
    for override in parsed:
        key, line = override.key_or_group, str(override.input_line)
        if key in REFUSED:
            raise ConfigError(f"{line}: {REFUSED[key]}")
        if key.startswith("study."):
            if override.is_discrete_sweep():  # study.final_seeds=range(12)
                line = f"{key}=[{','.join(map(str, override.sweep_string_iterator()))}]"
            settings.append(line)
        elif override.is_sweep_override():
            raise ConfigError(f"{line}: a study takes one value; run one study for each")
        elif key == "hydra.sweep.dir":
            folder = Path(str(override.value()))
        else:
            overrides.append(line)
    return Arguments(
        study=own["study"],
        first=first,
        settings=tuple(settings),
        overrides=tuple(overrides),
        tuner=own["tuner"],
        dry_run=own["dry_run"].lower() == "true",
        json=as_json,
        requirements=requirements,
        config_dir=read.config_dir,
        folder=folder,
        help=read.help,
    )
