"""The one door from YAML to objects: types, ranges and names, each mistake in one line."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from lrbench.config import Call, ConfigError, build, flatten, load, locate, trust
from lrbench.config.checks import require

HERE = __name__


@pytest.fixture(autouse=True)
def _trust_this_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, f"{HERE},no,builtins,lrbench,brittle,faulty,no_such_package")


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int


@dataclass(frozen=True, kw_only=True)
class Part:
    count: int
    ratio: float
    name: str
    limit: float | None
    switch: bool
    marks: tuple[int, ...]
    inner: Inner
    many: tuple[Any, ...]
    algorithm: Call

    def __post_init__(self) -> None:
        require(self.count > 0, "count", self.count, "must be above 0")


GOOD: dict[str, Any] = {
    "_target_": f"{HERE}.Part",
    "count": 3,
    "ratio": 1,
    "name": "x",
    "limit": None,
    "switch": True,
    "marks": [1, 2],
    "inner": {"_target_": f"{HERE}.Inner", "size": 5},
    "many": [{"_target_": f"{HERE}.Inner", "size": 6}, {"_target_": f"{HERE}.Inner", "size": 7}],
    "algorithm": {"_target_": "no.such.package", "depth": [1, 2]},
}


def test_a_node_becomes_its_dataclass_with_nested_nodes_built() -> None:
    part = build(OmegaConf.create(GOOD), "part")
    assert part == Part(
        count=3,
        ratio=1.0,
        name="x",
        limit=None,
        switch=True,
        marks=(1, 2),
        inner=Inner(size=5),
        many=(Inner(size=6), Inner(size=7)),
        algorithm=Call(
            target="no.such.package", arguments={"depth": (1, 2)}, path="part.algorithm"
        ),
    )
    assert isinstance(part.ratio, float)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("count", "3", 3), ("ratio", "1e-3", 0.001), ("limit", "2", 2.0), ("switch", "yes", True)],
)
def test_text_from_the_command_line_is_converted(key: str, value: str, expected: object) -> None:
    assert getattr(build({**GOOD, key: value}, "part"), key) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("count", 1.5, "part.count=1.5 must be of type int"),
        ("count", True, "part.count=True must be of type int"),
        ("count", None, "part.count=None must be of type int"),
        ("count", [1], "part.count=[1] must be of type int"),
        ("count", {"a": 1}, "part.count={'a': 1} must be of type int"),
        ("count", 0, "part.count=0 must be above 0"),
        ("count", "???", "part.count has no value: write part.count=..."),
        ("ratio", "fast", "part.ratio=fast must be of type float"),
        ("limit", "none", "part.limit=none must be of type float | None"),
        ("marks", [1, "x"], "part.marks=[1, 'x'] must be of type tuple[int, ...]"),
        ("marks", 5, "part.marks=5 must be of type tuple[int, ...]"),
        ("inner", 5, "part.inner=5 must be of type Inner"),
        ("inner", {"_target_": f"{HERE}.Inner", "size": "big"}, "part.inner.size=big must be of"),
        ("many", [{"_target_": f"{HERE}.Inner"}], "part.many[0].size has no value"),
        ("algorithm", 3, "part.algorithm=3 has no _target_"),
        ("cuont", 3, "part.cuont=3 is not a key of Part"),
    ],
)
def test_mistakes(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build({**GOOD, key: value}, "part")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_typo_is_answered_with_the_nearest_key() -> None:
    with pytest.raises(ConfigError, match=r"did you mean count\?"):
        build({**GOOD, "cuont": 3}, "part")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torch.optim.SGDD", "torch.optim has no SGDD; did you mean SGD?"),
        ("torch.optm.SGD", "torch.optm.SGD is not allowed: a config may only"),
        ("torch.optm.SGD", "; did you mean torch.optim?"),
        ("no_such_package.X", "there is no package no_such_package here"),
        ("builtins.__name__", "is not the name of a class or function in a module"),
        ("torch.nn.functional", "torch.nn.functional is not a class or a function"),
        ("plain", "plain is not the name of a class or function in a module"),
    ],
)
def test_targets_that_do_not_exist(target: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        locate(target)
    assert message in str(caught.value)


def test_a_broken_dependency_of_a_target_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "brittle.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="needs the package not_installed_anywhere"):
        locate("brittle.Thing")
    sys.modules.pop("brittle", None)


def test_a_module_that_fails_to_import_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty.py").write_text("from lrbench import nothing_like_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="importing faulty failed: ImportError: cannot import"):
        locate("faulty.Thing")


def test_a_function_becomes_a_call_that_takes_what_comes_later() -> None:
    call = build({"_target_": "builtins.dict", "a": 1}, "thing")
    assert call(b=2) == {"a": 1, "b": 2}
    assert call(a=5) == {"a": 1}  # what the config says wins


def test_a_call_is_checked_against_the_signature() -> None:
    with pytest.raises(ConfigError, match=r"thing\.prefx=x is not an arg.*did you mean prefix\?"):
        build({"_target_": "lrbench.config.flatten", "prefx": "x"}, "thing")


def test_what_a_call_refuses_is_told_with_its_place() -> None:
    call = build({"_target_": "lrbench.config.duration.parse"}, "thing")
    with pytest.raises(
        ConfigError, match=r"^thing: lrbench\.config\.duration\.parse: 'x' is not a dur"
    ):
        call("x")


def test_load_builds_a_file_of_conf_with_changes() -> None:
    scheduler = load("scheduler", "onecycle", pct_start="20%")
    assert (type(scheduler).__name__, scheduler.pct_start) == ("OneCycle", "20%")
    with pytest.raises(
        ConfigError, match=r"scheduler\.pct_stat=1 is not a key of OneCycle.*pct_start"
    ):
        load("scheduler", "onecycle", pct_stat=1)


def test_flatten() -> None:
    node = OmegaConf.create({"a": {"b": 1, "c": [1, 2]}, "d": None, "e": {}, "f": "${a.b}"})
    assert flatten(node) == {"a.b": 1, "a.c": [1, 2], "d": None, "e": {}, "f": 1}


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ({"_target_": "torch.optim.SGD", "nesterov": "maybe"}, "x.nesterov=maybe must be true or"),
        ({"_target_": "torch.optim.Adam", "betas": [0.9]}, "x: torch.optim.Adam: "),
        ({"_target_": "torchvision.models.resnet18", "weights": "nope"}, "x: torchvision.models."),
        ({"_target_": "torchvision.models.resnet18", "num_classes": -3}, "x: torchvision.models."),
    ],
)
def test_whatever_a_third_party_raises_is_one_line(node: dict[str, Any], line: str) -> None:
    import torch

    arguments = [[torch.nn.Parameter(torch.ones(1))]] if "optim" in node["_target_"] else []
    with pytest.raises(ConfigError) as caught:
        build(node, "x")(*arguments)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
