"""Weights from files: which names and shapes fit, the last layer, and what is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lrbench import __main__ as program
from lrbench.config import build, trust
from lrbench.files import run_folder
from lrbench.files.weights import digest
from lrbench.model import build_model
from lrbench.model.weights import load_weights
from lrbench.run.parts import _build_model_spec
from lrbench.task import Shapes

SHAPES = Shapes(inputs=(1, 8, 8), outputs=(3,))
TINY = {"_target_": "lrbench.model.CifarResNet", "depth": 8, "width": 2}
TIMM = {"_target_": "timm.create_model", "model_name": "test_resnet", "in_chans": 1}


def model(seed: int = 0, outputs: int = 3, node: dict[str, Any] = TINY, **keys: Any) -> nn.Module:
    shapes = Shapes(inputs=(1, 8, 8), outputs=(outputs,))
    return build_model(_build_model_spec({"model": {**node, **keys}}), shapes, seed=seed)


def save(path: Path, content: Any) -> str:
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return str(path)


def same(a: nn.Module, b: dict[str, Tensor], but: str = "nothing") -> bool:
    found = a.state_dict()
    return all(torch.equal(found[key], b[key]) for key in b if not key.startswith(but))


@pytest.mark.parametrize(
    ("name", "before", "wrapper"),
    [
        ("w.safetensors", "", None),
        ("w.pt", "", None),
        ("w.pth", "module.", "state_dict"),
        ("w.ckpt", "net.model.", "model"),
        ("w.bin", "_orig_mod.", "state_dict"),
    ],
)
def test_every_kind_of_file(name: str, before: str, wrapper: str | None, tmp_path: Path) -> None:
    weights = model(seed=1).state_dict()
    content: Any = {f"{before}{key}": value for key, value in weights.items()}
    if wrapper:
        content = {"epoch": 3, wrapper: content}
    path = save(tmp_path / name, content)
    assert not same(model(), weights)
    assert same(model(weights=path, weights_digest=digest(path)), weights)


def test_a_backbone_without_the_models_own_prefix(tmp_path: Path) -> None:
    body = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    whole = nn.ModuleDict({"body": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))})
    whole["head"] = nn.Linear(4, 2)
    load_weights(whole, save(tmp_path / "body.pt", body.state_dict()), None)
    expected = body.get_parameter("0.weight")
    assert torch.equal(whole.get_parameter("body.0.weight"), expected)


def test_a_shared_tensor_that_the_file_names_once(tmp_path: Path) -> None:
    def tied() -> nn.ModuleDict:
        made = nn.ModuleDict({"embed": nn.Embedding(5, 4), "out": nn.Linear(4, 5, bias=False)})
        made["out"].weight = made["embed"].weight
        return made

    first, second = tied(), tied()
    table = first.get_parameter("embed.weight").detach()
    load_weights(second, save(tmp_path / "tied.safetensors", {"embed.weight": table}), None)
    assert torch.equal(second.get_parameter("out.weight"), table)


def test_a_last_layer_of_another_size_is_drawn_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    weights = model(seed=1, outputs=7).state_dict()
    path = save(tmp_path / "seven.pt", weights)
    with caplog.at_level("INFO"):
        found = model(weights=path)
    assert same(found, weights, but="classifier")
    drawn = model()
    for key in ("classifier.weight", "classifier.bias"):
        assert torch.equal(found.state_dict()[key], drawn.state_dict()[key])
    (line,) = caplog.messages
    assert line == (
        f"{path}: its last layer classifier ((7, 8), (7,)) makes way for a new one ((3, 8), (3,))"
    )


def test_a_network_of_another_library(tmp_path: Path) -> None:
    weights = model(1, 3, TIMM).state_dict()
    assert same(model(0, 3, TIMM, weights=save(tmp_path / "t.pt", weights)), weights)


def damaged(path: Path) -> str:
    path.write_bytes(b"PK\x03\x04 and no more")
    return str(path)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def test_what_does_not_fit_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = model(seed=1).state_dict()
    stem = good["stem.weight"]
    files = {
        "wide.pt": ({**good, "stem.weight": stem[:1]}, r"stem\.weight is \(1, 1, 3, 3\) there and"),
        "less.pt": (
            {k: v for k, v in good.items() if k != "stem.weight"},
            r"stem\.weight is none there and \(2, 1, 3, 3\) in the model",
        ),
        "more.pt": ({**good, "x": stem}, r"x is \(2, 1, 3, 3\) there and none in the model"),
        "whole.pt": (
            {**good, "stem.weight": stem.long()},
            r"stem\.weight is of type torch\.int64 there",
        ),
        "empty.pt": ({}, "holds no weights by name"),
        "list.pt": ([stem], "holds no weights by name"),
        "evil.pt": (Evil(), "holds no weights, or code beside them"),
    }
    for name, (content, reason) in files.items():
        torch.save(content, name)
        with pytest.raises(ValueError, match=rf"^model\.weights={name}.*{reason}[^\n]*$"):
            model(weights=name)
    assert not Path("exploded").exists()
    for path in (damaged(tmp_path / "a.pt"), damaged(tmp_path / "a.safetensors")):
        with pytest.raises(ValueError, match=r"a\.\w+ holds no weights, or code [^\n]*$"):
            model(weights=path)
    with pytest.raises(ValueError, match=r"^model\.weights=no\.pt cannot be read: No such file"):
        model(weights="no.pt")
    with pytest.raises(ValueError, match=r"^model\.weights=w\.h5 must be null, or a file whose "):
        build_model(build({**TINY, "weights": "w.h5"}, "model"), SHAPES, seed=0)
    with pytest.raises(ValueError, match=r"^model\.weights=list\.pt is not the file that the run"):
        model(weights="list.pt", weights_digest="0" * 16)


def test_the_files_content_is_the_runs_identity_and_not_its_place(tmp_path: Path) -> None:
    weights = model().state_dict()
    first, moved = (save(tmp_path / name, weights) for name in ("a.pt", "b.pt"))
    other = save(tmp_path / "c.pt", model(seed=1).state_dict())
    configs = [run_folder.plain_config({"model": {"weights": p}}) for p in (first, moved, other)]
    prints = [run_folder.fingerprint(config) for config in configs]
    # torch writes the file's name into it, so that equal tensors need not be equal files
    Path(moved).write_bytes(Path(first).read_bytes())
    prints[1] = run_folder.fingerprint(run_folder.plain_config({"model": {"weights": moved}}))
    assert prints[0] == prints[1] != prints[2]
    assert re.fullmatch("[0-9a-f]{16}", configs[0]["model"]["weights_digest"])
    assert run_folder.plain_config(configs[0]) == configs[0]
    with pytest.raises(ValueError, match=r"^model\.weights=\S+gone\.pt cannot be read: No such"):
        run_folder.plain_config({"model": {"weights": str(tmp_path / "gone.pt")}})
    torchvisions = {"model": {"weights": "DEFAULT"}}
    assert run_folder.plain_config(torchvisions) == torchvisions


def test_a_run_is_the_same_wherever_its_file_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shapes = Shapes(inputs=(1, 8, 8), outputs=(10,))
    weights = build_model(build({**TINY, "width": 16}, "model"), shapes, seed=3).state_dict()
    save(tmp_path / "a.safetensors", weights)
    quick = ["trainer.length=1 steps", "hydra/job_logging=none", "hydra/hydra_logging=none"]

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["lrbench", *words, *quick, "hydra.run.dir=run"])
        try:
            program.main()
        except SystemExit as error:
            return str(error.code)
        return ""

    assert run("model.weights=a.safetensors") == ""
    before = Path("run/result.json").read_bytes()
    Path("a.safetensors").rename("b.safetensors")
    assert run("model.weights=b.safetensors") == ""
    assert Path("run/result.json").read_bytes() == before
    save(tmp_path / "b.safetensors", {**weights, "stem.weight": weights["stem.weight"] * 2})
    line = run("model.weights=b.safetensors")
    assert line.startswith("lrbench: run holds a run of another config (model.weights_digest: ")


@pytest.mark.parametrize(
    "keys",
    [
        {"pretrained": True},
        {"checkpoint_path": "x.pth"},
        {"pretrained_cfg": {"url": "http://x"}},
        {"pretrained_cfg_overlay": {"file": "x"}},
        {"model_name": "hf-hub:someone/model"},
        {"model_name": "hf_hub:someone/model"},
        {"model_name": "local-dir:/somewhere"},
        {"model_name": "../somewhere"},
    ],
)
def test_timms_factory_loads_nothing(keys: dict[str, Any]) -> None:
    with pytest.raises(trust.TrustError, match=r"^model\.\w+=.* may load a file that runs code"):
        build({**TIMM, **keys}, "model")(num_classes=3)
