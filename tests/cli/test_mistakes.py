"""Every mistake is one line with key, value and remedy, and leaves nothing behind."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from wrong_values import KEYS

from lrbench import __main__ as program
from lrbench.cli.mistakes import explain
from lrbench.config import CONF, ConfigError, build, locate
from lrbench.run.checkpoint import load_checkpoint, save_checkpoint
from lrbench.run.parts import KINDS

Command = Callable[..., str]
# Configuring logging closes every handler there is, pytest's own among them.
NO_LOGGING = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
QUICK = ["lrbench", "trainer.length=2 steps", *NO_LOGGING]


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs the command in an empty folder, sees it refused, and returns the one line it says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["lrbench", *arguments, *NO_LOGGING])
        with pytest.raises(SystemExit) as caught:
            program.main()
        assert isinstance(caught.value.code, str), caught.value.code  # a text: exit code 1
        line = caught.value.code
        assert "\n" not in line
        assert line.startswith("lrbench: ")
        assert "Traceback" not in capsys.readouterr().err
        assert not list((tmp_path / "outputs").rglob("*"))
        return line.removeprefix("lrbench: ")

    return run


COMMANDS: list[tuple[str | tuple[str, ...], str]] = [
    # names
    ("scheduler=onecycl", "scheduler=onecycl: no such scheduler; did you mean onecycle? ("),
    ("scheduler=keras/cosine", "scheduler=keras/cosine: no such scheduler; did you mean"),
    ("model=resnet9", "model=resnet9: no such model; did you mean resnet8? ("),
    ("dataset=cifar", "dataset=cifar: no such dataset; did you mean cifar10? ("),
    ("optimizer=sdg", "optimizer=sdg: no such optimizer; did you mean sgd? ("),
    ("trainer=fast", "trainer=fast: no such trainer (default)"),
    ("experiment=cifar10", "experiment=cifar10: no such experiment; did you mean cifar10_resnet"),
    ("hydra/launcher=ray", "hydra/launcher=ray is not installed: pip install hydra-ray-launcher"),
    ("schedulr=onecycle", "schedulr: no such key; did you mean scheduler? ("),
    ("sed=1", "sed: no such key; did you mean seed? ("),
    ("optimizer.lrr=1", "optimizer.lrr: no such key; did you mean lr? ("),
    (
        "optimizer.algorithm.weight_decay=0.1",
        "optimizer.algorithm.weight_decay: no such key; did you mean optimizer.weight_decay? (",
    ),
    ("optimizer.momentun=1", "optimizer.momentun: no such key; did you mean momentum? ("),
    ("trainer.batchsize=4", "trainer.batchsize: no such key; did you mean batch_size? ("),
    ("dataset.val_frac=0.2", "dataset.val_frac: no such key; did you mean val_fraction? ("),
    ("model.dept=8", "model.dept: no such key; did you mean depth? ("),
    ("scheduler.warmpu=5%", "scheduler.warmpu: no such key; did you mean warmup? ("),
    ("~optimizer.lr", "optimizer.lr has no value: write optimizer.lr=..."),
    ("~optimizer", "optimizer: "),
    ("+foo=1", "foo=1 is not a key (model, task, dataset, optimizer, scheduler, trainer, seed)"),
    ("+trust=foo", "trust=foo counts on the command line alone, not in a file"),
    # the command line itself
    ("onecycle", "onecycle is not an override: write key=value, for example"),
    ("--foo", "--foo is not an option of lrbench; did you mean --info? (--help, --config-dir,"),
    (("seed=1", "epochs"), "epochs is not an override: write key=value, for example"),
    ("scheduler", "scheduler is not an override: write key=value"),
    ("seed=[1", "seed=[1 cannot be understood: "),
    ("model=Bäume", "model=Bäume cannot be understood: if the value is a text, write 'model=\"Bä"),
    ('model="Bäume"', "model=Bäume: no such model ("),  # as that says
    ("resume=nowhere", "resume=nowhere is not a run folder: it has no .hydra/config.yaml"),
    ("resume_policy=rescale", "resume_policy=rescale needs a run to go on with: resume=FOLDER"),
    ("rerun=all", "rerun=all must be null or failed"),
    ("share=perhaps", "share=perhaps must be true or false"),
    ("keep_at=[20%,soon]", "keep_at='soon' is not a duration: write "),
    ("keep_at=0.2", "keep_at=0.2 must be durations, such as [20%,40%], or null"),
    ("keep_at=150%", "keep_at=150% is update 450, of 300"),
    ("dry_run=1", "dry_run=1 must be true or false"),
    ("dry_run=true", "dry_run=true is for a sweep: add -m, and what it varies"),
    (("-m", "seed=0,1", "share=perhaps"), "share=perhaps must be true or false"),
    ("trust=a b", "trust=a b must be a module's name"),
    (("--config-dir", "nowhere"), "nowhere' not found"),
    (
        ("--config-name", "other"),
        "--config-name is not an option of lrbench; did you mean --config-dir?",
    ),
    ("seed=1,2", "seed=1,2"),
    # the seed
    ("seed=abc", "seed=abc must be a whole number from 0 to 2^63 - 1"),
    ("seed=-1", "seed=-1 must be a whole number"),
    ("seed=1.5", "seed=1.5 must be a whole number"),
    ("seed=true", "seed=True must be a whole number"),
    ("seed=99999999999999999999", "seed=99999999999999999999 must be a whole number"),
    ("seed=${nothing}", "seed: Interpolation key 'nothing' not found"),
    # what contradicts the data, the machine or another key
    ("trainer.batch_size=1295", "trainer.batch_size=1295 must be between 1 and the number of tr"),
    ("trainer.length=0.001 epochs", "trainer.length=0.001 epochs is less than one update"),
    (
        ("trainer.length=5 s", "trainer.eval_interval=10%"),
        "trainer.eval_interval=10% is a share of length=5 s, whose updates are not known: write",
    ),
    ("trainer.length=9000 rows", "trainer.length=9000 rows is in rows: here write images or steps"),
    (
        ("trainer.ema_decay=0.9", "optimizer=schedulefree_sgd", "scheduler=constant"),
        "trainer.ema_decay=0.9 is not for a schedule-free optimizer, whose evaluated weights are",
    ),
    ("trainer.device=cuda:77", "trainer.device=cuda:77 is not on this machine: choose one of"),
    ("trainer.device=gpu", "trainer.device=gpu is not on this machine: choose one of auto"),
    ("optimizer.algorithm.momentum=-1", "optimizer.algorithm.momentum=-1: Invalid momentum value"),
    ("+optimizer.algorithm.foo=1", "optimizer.algorithm.foo=1 is not an argument of torch.optim.s"),
    (
        "optimizer=muon",
        "optimizer.groups.matrices matches no parameter of the model ResNetModule that no ear",
    ),
    ("model=lenet", "image_size=8 is too small for LeNet"),
    (("model=vit_tiny", "model.patch_size=3"), "model.patch_size=3 must divide the image size"),
    ("dataset.val_fraction=0.0001", "dataset.val_fraction=0.0001 of 1438 images is none: raise it"),
    ("dataset.mean=[0.5,0.5]", "dataset.mean"),
    ("scheduler.warmup=15 epochs", "scheduler.warmup=15 epochs must be shorter than the run (300"),
    (("scheduler=wsd", "scheduler.cooldown=99%"), "scheduler."),
    (("scheduler=multistep", "scheduler.milestones=[75%,50%]"), "scheduler.milestones"),
    (("scheduler=piecewise", "scheduler.positions=[0%,1%,200%]"), "scheduler.positions"),
    (("scheduler=onecycle", "scheduler.pct_start=200%"), "scheduler.pct_start"),
    (("scheduler=chain", "scheduler.parts.warmup.duration=99%"), "scheduler.parts"),
    (("scheduler=step", "scheduler.every=0 steps"), "scheduler.every=0 steps must be longer"),
]
ROWS = [(arguments, expected) for arguments, expected in [*KEYS, *COMMANDS]]


@cache
def composed(choice: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [choice] if choice else [])


def choice_and_override(row: str) -> tuple[str, Override]:
    """A row of `KEYS`, read: ``model=mlp model.hidden=[0]``."""
    choice, _, rest = row.partition(" ")
    if "." in choice.partition("=")[0]:
        choice, rest = "", row
    (override,) = OverridesParser.create().parse_overrides([rest])
    return choice, override


def said_to(row: str) -> str:
    """What the command says to a row of `KEYS`, without its seconds for the rest of the config."""
    choice, override = choice_and_override(row)
    cfg = copy.deepcopy(composed(choice))
    for place in ("root", "path", "target"):
        if OmegaConf.is_missing(cfg.dataset, place):
            cfg.dataset[place] = "mine"
    key = override.key_or_group
    OmegaConf.update(cfg, key, override.value(), force_add=True)
    group = key.partition(".")[0]
    with pytest.raises(ConfigError) as caught:
        build(cfg[group], group, KINDS[group])
    return explain(caught.value)


@pytest.mark.parametrize(("arguments", "expected"), ROWS, ids=[str(row[0]) for row in ROWS])
def test_one_line_and_nothing_left(
    refused: Command, arguments: str | tuple[str, ...], expected: str
) -> None:
    if (arguments, expected) in KEYS:
        assert isinstance(arguments, str)
        line = said_to(arguments)
        assert "\n" not in line
    else:
        line = refused(*([arguments] if isinstance(arguments, str) else arguments))
    assert line.startswith(expected) or expected in line.removeprefix("Additional config dir")


@pytest.mark.parametrize("group", KINDS)
def test_the_whole_command_says_the_same(refused: Command, group: str) -> None:
    rows = [row for row in KEYS if choice_and_override(row[0])[1].key_or_group.startswith(group)]
    for row, expected in (rows[0], rows[-1]):
        choice, override = choice_and_override(row)
        line = refused(*([choice] if choice else []), str(override.input_line))
        assert line.startswith(expected), row


def test_every_key_has_a_wrong_value() -> None:
    """The keys of every dataclass that a file of conf/ names; those of a base class count once."""
    texts = [path.read_text() for group in KINDS for path in (CONF / group).rglob("*.yaml")]
    named = {name for text in texts for name in re.findall(r"_target_: (lrbench\.\S+)", text)}
    every = {owner_of(locate(name), f.name) for name in named for f in fields(locate(name))}
    told = set()
    for row, _ in KEYS:
        choice, override = choice_and_override(row)
        *nodes, key = override.key_or_group.split(".")
        target = OmegaConf.select(composed(choice), ".".join([*nodes, "_target_"]))
        if target in named:
            told.add(owner_of(locate(target), key))
    assert len(every) > 80
    assert every - told == set()


def owner_of(cls: Any, key: str) -> tuple[str, str] | None:
    """The class that declares the field `key` of the dataclass `cls`, and `key`."""
    for base in reversed(cls.__mro__):
        if key in getattr(base, "__annotations__", {}):
            return base.__name__, key
    return None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("scheduler=cosine,onecycl",), "scheduler=onecycl: no such scheduler; did you mean"),
        (("seed=1,2", "optimizer.lrr=1"), "optimizer.lrr: no such key; did you mean lr?"),
        (("optimizer.lr=1,2,",), "optimizer.lr=1,2, cannot be understood"),
        (("seed=interval(0,1)",), "BasicSweeper does not support sweep type : "),
        (("hydra/sweeper=optun",), "hydra/sweeper=optun: no such hydra/sweeper"),
    ],
)
def test_a_sweep_that_cannot_begin(
    refused: Command, arguments: tuple[str, ...], expected: str
) -> None:
    assert refused("-m", *arguments).startswith(expected)


def test_a_sweeps_wrong_runs_fail_alone_and_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lrbench.__main__.compare_sweep", lambda _: None)  # takes seconds to import
    words = ["-m", "optimizer.lr=0.1,-1", "model=mlp", "seed=0,1.5", "hydra.sweep.dir=s"]
    monkeypatch.setattr(sys, "argv", ["lrbench", *words, *QUICK[1:]])
    with pytest.raises(SystemExit, match=r"^lrbench: 3 of the sweep's runs did not complete$"):
        program.main()
    assert len(list(tmp_path.rglob("result.json"))) == 1
    said = capsys.readouterr().out
    assert "lr=-1,seed=0  failed  optimizer.lr=-1.0 must be above 0 and finite" in said
    assert "lr=0.1,seed=1.5  failed  seed=1.5 must be a whole number" in said
    assert "Traceback" not in said


TARGET = "_target_: lrbench.scheduler.Constant\n"
FILES = [
    ("a: [1\n", r"\S+/conf/scheduler/mine\.yaml is no YAML \(.*line 2"),
    ("\tx", r"\S+/conf/scheduler/mine\.yaml is no YAML \(.*line 1"),
    ("- 1\n", r"scheduler=\[1\] has no _target_"),
    ("", r"scheduler=\{\} has no _target_"),
    ("text", r"scheduler=\{'text': None\} has no _target_"),
    (b"\xff\xfe\x00", r"\S+/mine\.yaml 'utf-8' codec"),
    (TARGET + TARGET, r"scheduler=mine cannot be composed \(ConstructorError: .*duplicate key"),
    (TARGET, r"scheduler\.warmup has no value: write scheduler\.warmup=\.\.\."),
    (TARGET + "warmup: ${nothing}\n", r"scheduler\.warmup: Interpolation key 'nothing' not found"),
    (TARGET + "warmup: ${scheduler.warmup}\n", r"scheduler\.warmup: Recursive interpolation det"),
    (TARGET + "warmup: !!python/name:os.system x\n", r"\S+/mine\.yaml is no YAML \(could not"),
    ("a: &x [1]\nb: *x\n", r"\S+/mine\.yaml holds anchors and aliases"),
    ("defaults: 3\n", r"scheduler=mine cannot be composed \(ValueError: Invalid defaults list"),
    ("defaults: [none]\n", r"In 'scheduler/mine': Could not load 'scheduler/none'\."),
    ("# @package _global_\nsceduler: 5\n", r"sceduler=5 is not a key \(.*did you mean scheduler\?"),
]


@pytest.mark.parametrize(("content", "expected"), FILES, ids=range(len(FILES)))
def test_wrong_files(refused: Command, tmp_path: Path, content: str | bytes, expected: str) -> None:
    path = tmp_path / "conf" / "scheduler" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused("--config-dir", "conf", "scheduler=mine")
    assert re.match(expected, line), line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["optimizer.lr=-1"], "lrbench: optimizer.lr=-1.0 must be above 0 and finite\n"),
        (["-m", "seed=1,2", "scheduler=cosin"], "lrbench: scheduler=cosin: no such scheduler; did"),
    ],
)
def test_a_process_says_one_line_and_exits_with_1(
    tmp_path: Path, arguments: list[str], expected: str
) -> None:
    command = [sys.executable, "-m", "lrbench", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(expected)
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.rglob("*")} <= {"outputs"}


def test_every_choice_of_a_group_is_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What files share, such as _warmup, is no choice of glob(*)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lrbench.__main__.compare_sweep", lambda _: None)  # takes seconds to import
    words = ["-m", "scheduler=glob([_w*,w*])", "model=mlp", "hydra.sweep.dir=s"]
    monkeypatch.setattr(sys, "argv", ["lrbench", *words, *QUICK[1:]])
    program.main()
    assert sorted(p.parts[1] for p in Path("s").rglob("result.json")) == [
        *("warmup_cosine", "warmup_decay", "wsd")
    ]
    assert "Callback" not in capsys.readouterr().err


def test_missing_values_and_files(refused: Command, tmp_path: Path) -> None:
    assert "dataset.root has no value: write dataset.root=..." in refused("dataset=imagefolder")
    line = refused("dataset=imagefolder", "dataset.root=nowhere")
    assert re.search(r"dataset\.root=nowhere|nowhere", line)
    (tmp_path / "empty").mkdir()
    line = refused("dataset=fashion_mnist", "dataset.root=empty", "dataset.download=false")
    assert "empty" in line
    assert "download" in line


def test_a_momentum_schedule_on_an_optimizer_without_momentum(refused: Command) -> None:
    line = refused(
        "scheduler=onecycle",
        "optimizer=rmsprop",
        "optimizer.algorithm._target_=torch.optim.Adagrad",
        "~optimizer.algorithm.alpha",
        "~optimizer.algorithm.momentum",
    )
    assert "scheduler.cycle_momentum=false" in line


def test_a_folder_of_another_run_is_refused_and_left_alone(
    refused: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = "hydra.run.dir=run"
    monkeypatch.setattr(sys, "argv", ["lrbench", "trainer.length=2 steps", folder, *NO_LOGGING])
    program.main()
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    line = refused("trainer.length=3 steps", folder)
    assert line.startswith("run holds a run of another config (trainer.length: 2 steps → 3 steps)")
    assert "resume=run would change the run (seed: 0 → 3)" in refused("resume=run", "seed=3")
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_checkpoint_that_cannot_be_used(
    refused: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    for name, length in (("a", "2 steps"), ("b", "3 steps")):
        arguments = [f"trainer.length={length}", f"hydra.run.dir={name}"]
        monkeypatch.setattr(sys, "argv", ["lrbench", *arguments, *NO_LOGGING])
        program.main()
        (tmp_path / name / "result.json").unlink()
    checkpoint = tmp_path / "a" / "checkpoint.pt"
    if damage == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
        assert "a/checkpoint.pt is cut short or damaged" in refused("resume=a")
    else:
        checkpoint.write_bytes((tmp_path / "b" / "checkpoint.pt").read_bytes())
        line = refused("resume=a")
        assert "is of another config (trainer.length: 3 steps → 2 steps)" in line


def test_a_checkpoint_of_another_version(
    refused: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [*QUICK, "hydra.run.dir=a"])
    program.main()
    (tmp_path / "a" / "result.json").unlink()
    path = tmp_path / "a" / "checkpoint.pt"
    checkpoint = load_checkpoint(path)
    checkpoint["state"]["from_the_future"] = 1
    save_checkpoint(path, checkpoint)
    assert "a/checkpoint.pt is of another run or version of lrbench (" in refused("resume=a")


def test_damaged_files_of_a_finished_run(
    refused: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [*QUICK, "hydra.run.dir=a"])
    program.main()
    (tmp_path / "a" / "result.json").write_text("{")
    assert "a/result.json is damaged" in refused("resume=a")
    (tmp_path / "a" / ".hydra" / "config.yaml").write_text("a: [")
    assert "a/.hydra/config.yaml is damaged" in refused("resume=a")


def test_hydra_full_error_shows_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lrbench.cli.shell.full_error", True)
    monkeypatch.setattr(sys, "argv", ["lrbench", "optimizer.lr=-1", *NO_LOGGING])
    with pytest.raises(ValueError, match=r"optimizer\.lr=-1\.0 must be above 0"):
        program.main()
