"""Every mistake is one line with key, value and remedy, and leaves nothing behind."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lrbench import __main__ as program
from lrbench.checkpoint import load_checkpoint, save_checkpoint

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


TABLE = [
    # names
    ("scheduler=onecycl", "scheduler=onecycl: no such scheduler; did you mean onecycle? ("),
    ("model=resnet9", "model=resnet9: no such model; did you mean resnet8? ("),
    ("dataset=cifar", "dataset=cifar: no such dataset; did you mean cifar10? ("),
    ("optimizer=sdg", "optimizer=sdg: no such optimizer; did you mean sgd? ("),
    ("trainer=fast", "trainer=fast: no such trainer (default)"),
    ("experiment=cifar10", "experiment=cifar10: no such experiment; did you mean cifar10_resnet"),
    ("schedulr=onecycle", "schedulr: no such key; did you mean scheduler? ("),
    ("sed=1", "sed: no such key; did you mean seed? ("),
    ("optimizer.lrr=1", "optimizer.lrr: no such key; did you mean lr? ("),
    ("optimizer.momentun=1", "optimizer.momentun: no such key; did you mean momentum? ("),
    ("trainer.batchsize=4", "trainer.batchsize: no such key; did you mean batch_size? ("),
    ("dataset.val_frac=0.2", "dataset.val_frac: no such key; did you mean val_fraction? ("),
    ("model.dept=8", "model.dept: no such key; did you mean depth? ("),
    ("scheduler.warmpu=5%", "scheduler.warmpu: no such key; did you mean warmup? ("),
    ("+trainer.foo=1", "trainer.foo=1 is not a key of Trainer ("),
    ("+optimizer.algorithm.foo=1", "optimizer.algorithm.foo=1 is not an argument of torch.optim.s"),
    ("+foo=1", "foo=1 is not a key (model, dataset, optimizer, scheduler, trainer, seed)"),
    # the command line itself
    ("onecycle", "onecycle cannot be understood: write key=value, with quotes around a value"),
    ("scheduler", "scheduler cannot be understood: write key=value"),
    ("resume=nowhere", "resume=nowhere is not a run folder: it has no .hydra/config.yaml"),
    # types
    ("seed=abc", "seed=abc must be a whole number from 0 to 2^63 - 1"),
    ("seed=-1", "seed=-1 must be a whole number"),
    ("seed=1.5", "seed=1.5 must be a whole number"),
    ("seed=true", "seed=True must be a whole number"),
    ("seed=99999999999999999999", "seed=99999999999999999999 must be a whole number"),
    ("optimizer.lr=fast", "optimizer.lr=fast must be of type float"),
    ("optimizer.lr=null", "optimizer.lr=None must be of type float"),
    ("optimizer.lr=[1,2]", "optimizer.lr=[1, 2] must be of type float"),
    ("trainer.batch_size=1.5", "trainer.batch_size=1.5 must be of type int"),
    ("trainer.deterministic=maybe", "trainer.deterministic=maybe must be of type bool"),
    ("trainer.num_threads=two", "trainer.num_threads=two must be of type int | None"),
    ("trainer.max_grad_norm=big", "trainer.max_grad_norm=big must be of type float | None"),
    ("model.depth=deep", "model.depth=deep must be of type int"),
    ("dataset.mean=0.5", "dataset.mean=0.5 must be of type tuple[float, ...] | None"),
    ("dataset.augment=3", "dataset.augment=3 must be of type Augment"),
    ("optimizer.algorithm=sgd", "optimizer.algorithm=sgd has no _target_"),
    ("optimizer.algorithm._target_=torch.optim.SDG", "torch.optim has no SDG; did you mean SGD?"),
    ("scheduler._target_=lrbench.scheduler.Cosin", "lrbench.scheduler has no Cosin; did you me"),
    # ranges
    ("optimizer.lr=-1", "optimizer.lr=-1.0 must be above 0 and finite"),
    ("optimizer.lr=0", "optimizer.lr=0.0 must be above 0 and finite"),
    ("optimizer.lr=nan", "optimizer.lr=nan must be above 0 and finite"),
    ("optimizer.lr=inf", "optimizer.lr=inf must be above 0 and finite"),
    ("optimizer.weight_decay=-1", "optimizer.weight_decay=-1.0 must be 0 or above"),
    ("optimizer.algorithm.momentum=-1", "optimizer.algorithm: torch.optim.SGD: Invalid momentum"),
    ("trainer.batch_size=0", "trainer.batch_size=0 must be at least 1"),
    ("trainer.batch_size=1295", "trainer.batch_size=1295 must be between 1 and the number of tr"),
    ("trainer.length=10", "trainer.length=10: '10' is not a duration: write '5 epochs', '200 st"),
    ("trainer.length=0 epochs", "trainer.length=0 epochs must be above 0"),
    ("trainer.length=0.001 epochs", "trainer.length=0.001 epochs is less than one update"),
    ("trainer.length=50%", "trainer.length=50% must be in epochs or steps"),
    ("trainer.eval_interval=often", "trainer.eval_interval=often: 'often' is not a duration"),
    ("trainer.gradient_accumulation_steps=3", "gradient_accumulation_steps=3 must divide batch"),
    ("trainer.label_smoothing=1", "trainer.label_smoothing=1.0 must be at least 0 and below 1"),
    ("trainer.precision=fp8", "trainer.precision=fp8 is not one of auto, fp32, bf16, fp16"),
    ("trainer.compile=2", "trainer.compile=2 must be"),
    ("trainer.device=cuda:77", "trainer.device=cuda:77 is not on this machine: choose one of"),
    ("trainer.num_threads=0", "trainer.num_threads=0 must be at least 1"),
    ("model.depth=9", "model.depth=9 must be 6n + 2: 8, 14, 20"),
    ("model.width=0", "model.width=0 must be at least 1 channel"),
    ("model=lenet", "image_size=8"),
    ("dataset.val_fraction=0", "dataset.val_fraction=0.0 must be in (0, 1)"),
    ("dataset.val_fraction=0.0001", "val_fraction=0.0001"),
    ("dataset.test_fraction=1", "dataset.test_fraction=1.0 must be"),
    ("dataset.split_seed=-1", "dataset.split_seed=-1 must be 0 or more"),
    ("dataset.augment.crop_padding=-1", "dataset.augment.crop_padding=-1 must be 0 or more"),
    ("dataset.std=[0]", "dataset.std=[0.0] must be finite numbers above 0"),
    ("scheduler.warmup=5", "scheduler.warmup='5' is not a duration: write '5 epochs', '200 st"),
    ("scheduler.warmup=15 epochs", "scheduler.warmup=15 epochs must be shorter than the run (300"),
    ("scheduler.min_factor=2", "scheduler.min_factor=2.0 must be"),
    ("scheduler.min_factor=nan", "scheduler.min_factor=nan must be"),
]


@pytest.mark.parametrize(("argument", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_one_line_and_nothing_left(refused: Command, argument: str, expected: str) -> None:
    assert expected in refused(argument)


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
    assert "a/checkpoint.pt does not fit this version of lrbench (" in refused("resume=a")


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
    monkeypatch.setattr(program, "_full_error", True)
    monkeypatch.setattr(sys, "argv", ["lrbench", "optimizer.lr=-1", *NO_LOGGING])
    with pytest.raises(ValueError, match=r"optimizer\.lr=-1\.0 must be above 0"):
        program.main()
