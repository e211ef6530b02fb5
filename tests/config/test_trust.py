"""A config, checkpoint or dataset from someone else cannot run code."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lrbench import __main__ as program
from lrbench.config import CONF, ConfigError, build, locate, trust
from lrbench.files import run_folder
from lrbench.files.checksum import sealed_text
from lrbench.preview import __main__ as preview

NO_LOGGING = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
SHORT = ["trainer.length=2 steps", "model=mlp", *NO_LOGGING]
# What would give the game away: a module whose import leaves a file.
BOMB = "from pathlib import Path\nPath('exploded').touch()\ndef go(*args, **kw): go()\n"

Command = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "conf").mkdir()
    return tmp_path


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command in-process; gives what it refused, or ``""``."""

    def call(*arguments: str) -> str:
        monkeypatch.setenv(trust.VARIABLE, "")
        monkeypatch.setattr(sys, "argv", ["lrbench", *arguments])
        try:
            program.main()
        except SystemExit as error:
            code = error.code
        else:
            return ""
        assert isinstance(code, str)
        assert "\n" not in code
        return code

    del home
    return call


def file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "builtins.exec",
        "subprocess.Popen",
        "pickle.loads",
        "importlib.import_module",
        "runpy.run_path",
        "torch.load",
        "torch.hub.load",
        "torch.hub.load_state_dict_from_url",
        "torch.jit.load",
        "torch.package.PackageImporter",
        "torch.utils.cpp_extension.load",
        "torch.serialization.load",
        "torch.distributed.run.main",
        "hydra.utils.instantiate",
        "lrbench.config.locate",
        "lrbench.config.builder",
        "lrbench.config.Call",
        "lrbench.run.checkpoint.load_checkpoint",
        "lrbench.files.run_folder.start_over",
        "lrbench.scheduler.lint",
        "lrbench.config.trust.trust",
        "lrbench.scheduler.base.math.floor",
        "lrbench.scheduler.__builtins__.eval",
        "lrbench.dataset.kinds.Dataset.load",
        "torch.optim.sgd.os.system",
        "torch.optim.optimizer.warnings.warn",
        "torch.optim.optimizer.torch.load",
        "torch.optim.SGD.step",
        "torch.optim.SGD.__init__",
        "torch.optim.lr_scheduler.LRScheduler",
        "torch.nn.modules.module.torch.hub.load",
        "torch.nn.functional.torch.hub.load",
        "torch.nn.Embedding.from_pretrained",
        "torch.nn.modules.module.sys.modules.clear",
        "torchvision.models.get_model",
        "torchvision.models.get_weight",
        "torchvision.models._api.load_state_dict_from_url",
        "torchvision.models.resnet.partial",
        "torchvision.datasets.CIFAR10",
        "timm.models.create_model_from_pretrained",
        "timm.models.load_checkpoint",
        "timm.models.helpers.load_state_dict",
        "schedulefree.adamw_schedulefree.torch.load",
        "..os.system",
        "os",
        "",
        "lrbench.scheduler.Cosine\nos.system",
    ],
)
def test_nothing_else_can_be_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"^x\._target_=") as caught:
        locate(name, "x._target_")
    assert isinstance(caught.value, trust.TrustError | ConfigError)


@pytest.mark.parametrize(
    "name",
    [
        "lrbench.scheduler.Cosine",
        "lrbench.dataset.ImageFolder",
        "lrbench.optimizer.Optimizer",
        "torch.optim.SGD",
        "torch.optim.sgd.SGD",
        "torch.nn.GroupNorm",
        "torchvision.models.resnet18",
        "torchvision.models.resnet.resnet18",
        "schedulefree.SGDScheduleFree",
        "timm.models.resnet18",
        "timm.create_model",
        "timm.models.create_model",
    ],
)
def test_what_makes_models_and_optimizers_can_be_named(name: str) -> None:
    assert locate(name).__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize(
    "place",
    [
        ["model", "_target_"],
        ["scheduler", "_target_"],
        ["dataset", "_target_"],
        ["trainer", "_target_"],
        ["optimizer", "_target_"],
        ["optimizer", "algorithm", "_target_"],
        ["dataset", "augment", "_target_"],
        ["dataset", "augment", "flip", "_target_"],  # a value that is a node
        ["model", "hidden", "_target_"],
    ],
)
def test_nothing_is_imported_wherever_it_is_named(place: list[str], home: Path) -> None:
    file(home / "bomb.py", BOMB)
    whole = copy.deepcopy(default_config())
    node = whole
    for part in place[:-1]:
        if not isinstance(node[part], dict):
            node[part] = {}
        node = node[part]
    node[place[-1]] = "bomb.go"
    with pytest.raises(trust.TrustError, match=r"_target_=bomb\.go is not allowed: .*trust=bomb"):
        build(whole[place[0]], place[0])
    assert not (home / "exploded").exists()
    assert "bomb" not in sys.modules


@cache
def default_config() -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = OmegaConf.to_container(compose("config", ["model=mlp"]), resolve=True)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


def test_a_trusted_module_does_not_vouch_for_what_it_imports(home: Path) -> None:
    file(home / "my_things.py", "import os\nfrom torch import nn\nfrom torch.hub import load\n")
    trust.trust(["my_things"])
    assert locate("my_things.nn.Linear").__name__ == "Linear"
    with pytest.raises(trust.TrustError, match=r"lives in posix, is not allowed.*trust=posix"):
        locate("my_things.os.system")
    with pytest.raises(trust.TrustError, match=r"lives in torch\.hub, .*trust=torch\.hub on"):
        locate("my_things.load")
    trust.trust(["torch.hub"])
    assert locate("my_things.load").__name__ == "load"
    with pytest.raises(trust.TrustError):
        locate("my_thingsx.load")


def test_timms_pretrained_weights_may_be_pickles() -> None:
    call = build({"_target_": "timm.models.resnet18", "pretrained": True}, "model")
    with pytest.raises(trust.TrustError, match=r"^model\.pretrained=True may load a file that"):
        call(num_classes=10)
    call = build({"_target_": "timm.models.resnet18"}, "model.norm_layer")
    with pytest.raises(trust.TrustError, match=r"^model\.norm_layer\.pretrained=64 may load a"):
        call(64)  # as a network calls its norm_layer


@pytest.mark.parametrize(
    ("argument", "names"),
    [
        ("trust=a", ("a",)),
        ("trust=a.b", ("a.b",)),
        ("trust=a,b", ("a", "b")),
        ("trust=[a, b]", ("a", "b")),
        ("trust='[a,b]'", ("a", "b")),
        ("trust=", ()),
        ("trust=[]", ()),
    ],
)
def test_trust_on_the_command_line(argument: str, names: tuple[str, ...]) -> None:
    assert trust.take(["-m", argument, "seed=1"]) == ["-m", "seed=1"]
    assert trust.trusted() == names


@pytest.mark.parametrize("value", ["a b!", "1a", "a..b", "*", "../x", "a,,b"])
def test_trust_in_what_is_no_module(value: str) -> None:
    with pytest.raises(trust.TrustError, match=r"must be a module's name"):
        trust.take([f"trust={value}"])


# Files from someone else, each of which would import the bomb if Hydra or lrbench obeyed it.
LOGGER = """
hydra:
  {kind}:
    formatters: {{evil: {{"()": bomb.go}}}}
    handlers: {{console: {{class: logging.StreamHandler, formatter: evil}}}}
    root: {{handlers: [console]}}
    version: 1
"""
EVIL = {
    "callback": "hydra: {callbacks: {evil: {_target_: bomb.go}}}",
    "own callback": "hydra: {callbacks: {watch: {_target_: bomb.go}}}",
    "callback by interpolation": "a: {_target_: bomb.go}\nhydra: {callbacks: {evil: '${a}'}}",
    "job logger": LOGGER.format(kind="job_logging"),
    "Hydra's logger": LOGGER.format(kind="hydra_logging"),
    "log file": "hydra: {job_logging: {handlers: {file: {filename: exploded}}}}",
    "sweeper": "hydra: {sweeper: {_target_: bomb.go}}",
    "launcher": "hydra: {mode: MULTIRUN, launcher: {_target_: bomb.go}}",
    "launcher's argument": "hydra: {mode: MULTIRUN, launcher: {x: {_target_: bomb.go}}}",
    "environment": "hydra: {job: {env_set: {LRBENCH_TRUST: bomb}}}\nmodel: {_target_: bomb.go}",
    "overrides": "hydra: {overrides: {task: [model._target_=bomb.go]}}",
    "Hydra's overrides": "hydra: {overrides: {hydra: [hydra.callbacks.evil._target_=bomb.go]}}",
    "a sweep's overrides": """
hydra:
  mode: MULTIRUN
  sweeper: {params: {+hydra.callbacks.evil._target_: bomb.go}}
""",
    "trust": "trust: [bomb]\nmodel: {_target_: bomb.go}",
    "a sweep's trust": "hydra: {mode: MULTIRUN, sweeper: {params: {+trust: bomb}}}",
    "keys with dots": """
hydra:
  callbacks:
    watch: {_target_: bomb.go}
    watch._target_: lrbench.run.sweep.Watch
""",
    "Hydra's node with dots": "hydra.callbacks.evil._target_: bomb.go",
    "a launcher of Hydra's": "defaults: [{override /hydra/launcher: joblib}]",
    "own node for Hydra": "defaults: [{/scheduler@hydra.callbacks.evil: cosine}]",
    "a sweep's package": """
hydra:
  mode: MULTIRUN
  sweeper: {params: {+scheduler@hydra.callbacks.evil: cosine}}
""",
    "another folder": "defaults: [{override /scheduler: ../../conf/scheduler/cosine}]",
    "a folder that is a node": "hydra: {run: {dir: {_target_: bomb.go}}}",
    "model": "model: {_target_: bomb.go}",
    "algorithm": "optimizer: {algorithm: {_target_: bomb.go}}",
    "target by interpolation": "model: {_target_: '${name}'}\nname: bomb.go",
}


@pytest.mark.parametrize("text", EVIL.values(), ids=EVIL)
def test_an_experiment_from_someone_else(text: str, run: Command, home: Path) -> None:
    file(home / "bomb.py", BOMB)
    file(home / "conf" / "experiment" / "evil.yaml", f"# @package _global_\n{text}\n")
    line = run("--config-dir", "conf", "experiment=evil", *SHORT[:1], *NO_LOGGING)
    assert line.startswith("lrbench: ")
    assert not (home / "exploded").exists()
    assert "bomb" not in sys.modules


def test_a_group_file_from_someone_else_reaches_hydra_no_better(run: Command, home: Path) -> None:
    file(home / "bomb.py", BOMB)
    evil = "# @package hydra.callbacks.evil\n_target_: bomb.go\n"
    file(home / "conf" / "scheduler" / "evil.yaml", evil)
    file(home / "conf" / "other.yaml", "defaults: [config]\nhydra: {searchpath: ['pkg://bomb']}\n")
    line = run("--config-dir", "conf", "scheduler=evil")
    assert "hydra.callbacks.evil._target_=bomb.go in a config file: write it on the com" in line
    line = run("-m", "--config-dir", "conf", "scheduler=cosine,evil", "hydra.sweep.dir=s", *SHORT)
    assert "hydra.callbacks.evil._target_=bomb.go in a config file" in line
    file(home / "conf" / "hydra" / "launcher" / "evil.yaml", "_target_: bomb.go\n")
    line = run("--config-dir", "conf", "hydra/launcher=evil", "-m", "seed=1,2")
    assert "hydra/launcher/evil is no file of model, task" in line
    assert not (home / "exploded").exists()


def test_an_experiment_may_name_folders_and_a_sweep(
    run: Command, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "hydra: {mode: MULTIRUN, sweep: {dir: s}, sweeper: {params: {seed: '3,4'}}}"
    file(home / "conf" / "experiment" / "mine.yaml", f"# @package _global_\n{text}\n")
    assert run("--config-dir", "conf", "experiment=mine", "--cfg", "hydra") == ""
    assert "seed: 3,4" in capsys.readouterr().out


def test_hydra_settings_of_trusted_files(run: Command, home: Path) -> None:
    text = "hydra: {job: {env_set: {LRBENCH_EXAMPLE: set}}}"
    file(home / "conf" / "experiment" / "mine.yaml", f"# @package _global_\n{text}\n")
    command = ["--config-dir", "conf", "experiment=mine", *SHORT]
    assert "hydra.job.env_set.LRBENCH_EXAMPLE=set in a config file" in run(*command)
    assert run(*command, "trust=hydra") == ""


MODULE = """
from dataclasses import dataclass
from lrbench.scheduler import Constant

@dataclass(frozen=True, kw_only=True)
class Mine(Constant):
    pass
"""


def test_the_remedy_is_told_and_works(run: Command, home: Path) -> None:
    file(home / "my_schedules.py", MODULE)
    node = "defaults: [_warmup, _self_]\n_target_: my_schedules.Mine\n"
    file(home / "conf" / "scheduler" / "mine.yaml", node)
    command = ["--config-dir", "conf", "scheduler=mine", "hydra.run.dir=r", *SHORT]
    line = run(*command)
    assert line.startswith("lrbench: scheduler._target_=my_schedules.Mine is not allowed: ")
    assert line.endswith("write trust=my_schedules on the command line")
    assert run(*command, "trust=[my_schedules]") == ""
    assert "trust" not in (home / "r" / ".hydra" / "config.yaml").read_text()
    (home / "r" / "result.json").unlink()
    assert "my_schedules.Mine is not allowed" in run("resume=r", *NO_LOGGING)
    assert run("resume=r", "trust=my_schedules", *NO_LOGGING) == ""


def test_a_sweeps_processes_know_what_is_trusted_and_obey_no_file(home: Path) -> None:
    file(home / "my_schedules.py", MODULE)
    node = "defaults: [_warmup, _self_]\n_target_: my_schedules.Mine\n"
    file(home / "conf" / "scheduler" / "mine.yaml", node)
    # The mistake in the model is met after the scheduler, and before torch is imported.
    command = [sys.executable, "-m", "lrbench", "-m", "--config-dir", "conf", "hydra.sweep.dir=s"]
    command += ["scheduler=mine", "seed=0,1", "trust=my_schedules", "model.depth=9"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command += ["hydra/launcher=joblib"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for seed in (0, 1):
        log = (home / "s" / "mine" / f"seed={seed}" / "lrbench.log").read_text()
        assert "ERROR model.depth=9 must be 6n + 2" in log, log


def test_a_run_folder_from_someone_else(run: Command, home: Path) -> None:
    assert run("hydra.run.dir=r", *SHORT) == ""
    (home / "r" / "result.json").unlink()
    file(home / "bomb.py", BOMB)
    hidden = home / "r" / ".hydra"
    good = (hidden / "config.yaml").read_text()
    for old, new in (
        ("_target_: lrbench.scheduler.Cosine", "_target_: bomb.go"),
        ("_target_: torch.optim.SGD", "_target_: bomb.go"),
        ("\nseed: 0", "\nseed: 0\ntrust: [bomb]"),
    ):
        text = good.replace(old, new)
        (hidden / "config.yaml").write_text(sealed_text(text[: -len(sealed_text(""))]))
        line = run("resume=r", *NO_LOGGING)
        assert "bomb.go is not allowed" in line or "trust=['bomb'] counts on the command" in line
    (hidden / "config.yaml").write_text(good)
    said = ["hydra.callbacks.evil._target_=bomb.go", "+scheduler@hydra.callbacks.evil=evil"]
    run_folder.write_yaml(hidden / "overrides.yaml", said)
    hydra: Any = {"callbacks": {"evil": {"_target_": "bomb.go"}}, "runtime": {"choices": {}}}
    run_folder.write_yaml(hidden / "hydra.yaml", {"hydra": hydra})
    more = ["resume=r", "trainer.length=4 steps", "resume_policy=rescale"]
    assert "choices" in run(*more, *NO_LOGGING)
    hydra["runtime"]["choices"] = {"scheduler": "a", "dataset": "a", "model": "a", "optimizer": "a"}
    run_folder.write_yaml(hidden / "hydra.yaml", {"hydra": hydra})
    assert run(*more, *NO_LOGGING) == ""
    assert not (home / "exploded").exists()


def test_the_preview_draws_only_what_is_trusted(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file(home / "my_schedules.py", MODULE)
    node = "defaults: [_warmup, _self_]\n_target_: my_schedules.Mine\n"
    file(home / "conf" / "scheduler" / "mine.yaml", node)
    command = ["preview", "--config-dir", "conf", "scheduler=mine", "output=null"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=r"my_schedules\.Mine is not allowed.*trust=my_sched"):
        preview.main()
    monkeypatch.setattr(sys, "argv", [*command, "trust=my_schedules"])
    preview.main()
    assert "mine" in capsys.readouterr().out
