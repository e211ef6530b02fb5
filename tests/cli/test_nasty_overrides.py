"""Whatever is written on the command line: one line, or a run that can begin; never a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lrbench import __main__ as program
from lrbench.config import CONF, flatten, trust
from lrbench.trainer.loop import Loop

EXAMPLES = int(os.environ.get("NASTY_EXAMPLES", "12"))
SECONDS = 20  # after which an answer is no answer

VALUES = [
    *("", "null", "???", "true", "False", "nan", "inf", "-inf", "-1", "0", "1", "0.5", "1e-400"),
    *("1e400", "9" * 30, "-" + "9" * 30, "1_000", "0x10", "1e-320", "2147483648", "-0.0"),
    *("[]", "[[]]", "[1,[2]]", "{}", "{a:1}", "{_target_:os.system}", "[{_target_:builtins.exec}]"),
    *("${seed}", "${nothing}", "${.lr}", "${..}", "${", "$", "${oc.env:HOME}", "${oc.env:NO_SUCH}"),
    *("${oc.decode:'['}", "${oc.select:trainer}", "${now:%Y}", "${hydra:job.num}", "${trainer}"),
    *("${optimizer.lr}", "${no.such.resolver:1}", "${oc.create:{a:1}}", "${${seed}}"),
    *("'", '"', "\\", "a b", "'a b'", "a=b", "a,b", "a;b", "(", ")", "!!python/name:os.system"),
    *("5 epochs", "10%", "0 steps", "200%", "1e18 steps", "0.0000001%", "1e300 epochs", "rest"),
    *("-5 steps", "1e400 steps", "99999999999999999999 steps", "1.5 steps", "٣ steps"),
    *("é", "日本語", "\u202eabc", "\U0001f600", "\t", "\n", "x" * 3000, "None", "auto", "cpu"),
    *("range(3)", "choice(1,2)", "glob(*)", "interval(0,1)", "sort(3,1)", "int(x)", "float(1)"),
    *("torch.optim.SGD", "lrbench.scheduler.Cosine", "os.system", "../../etc/passwd", "-"),
]
SWEPT = ["1,2", "range(0,0)", "range(3)", "choice(0.1,-1)", "glob(*)", "interval(0,1)", "a,'b"]


def keys() -> list[str]:
    """Every key of the default config and of some other choices, their `_target_` too."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfgs = [compose("config", [c]) for c in ("scheduler=onecycle", "scheduler=chain")]
    found = {key for cfg in cfgs for key in flatten(OmegaConf.to_container(cfg, resolve=False))}
    groups = ("model", "optimizer", "scheduler", "trainer", "dataset.augment", "seed", "experiment")
    return sorted(
        {
            *found,
            *groups,
            "trust",
            "resume",
            "rerun",
            "resume_policy",
            "share",
            "keep_at",
            "dry_run",
        }
        - {"dataset"}
    )


KEYS = keys()
# Networks and batches as large as the machine are not tried: what it has decides what happens.
LARGE = {"9" * 30, "2147483648", "1_000"}
real = st.sampled_from(KEYS)
mangled = st.builds("".join, st.tuples(st.sampled_from(["+", "++", "~", "", "@"]), real))
invented = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
values = st.one_of(
    st.sampled_from(VALUES), texts, st.floats().map(str), st.integers(-100, 100).map(str)
)
overrides = st.one_of(
    st.builds("{}={}".format, real, values),
    st.builds("{}={}".format, mangled, values),
    st.builds("{}={}".format, invented, values),
    st.sampled_from(["scheduler", "model", "trainer"]).flatmap(
        lambda group: st.builds(f"{group}={{}}".format, texts)
    ),
)


class Begun(Exception):
    """The run could begin."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Fail where what is done within takes longer."""

    def late(*_: object) -> NoReturn:
        pytest.fail(f"no answer in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def begin(*_: object, **__: object) -> NoReturn:
        raise Begun

    monkeypatch.setattr(Loop, "run", begin)
    monkeypatch.setattr("lrbench.__main__.compare_sweep", lambda _: None)  # takes seconds to import
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def answer(*arguments: str) -> str | None:
    """The one line that the command says, or None where the run could begin."""
    os.environ[trust.VARIABLE] = ""
    sys.argv = ["lrbench", *arguments]
    with limited(SECONDS):
        try:
            program.main()
        except Begun:
            return None
        except SystemExit as error:
            code = error.code
        else:
            return None
    assert isinstance(code, str), code
    assert code.startswith("lrbench: ")
    assert len(code.splitlines()) == 1
    return code


NO_LOGGING = ["hydra/job_logging=none", "hydra/hydra_logging=none", "model=mlp"]


def too_large(words: list[str]) -> bool:
    return any(
        value in LARGE or (value.isdecimal() and int(value) > 1000)
        for key, _, value in (word.partition("=") for word in words)
        if key.startswith(("model", "+model", "++model", "trainer.batch", "trainer.eval_batch"))
    )


@given(words=st.lists(overrides, min_size=1, max_size=2))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_one_line_or_a_run(folder: Path, words: list[str]) -> None:
    if too_large(words) or any(w.startswith("-") for w in words):
        return
    before = sorted(folder.iterdir())
    if answer(*words, *NO_LOGGING, "hydra.run.dir=run") is not None:
        assert sorted(folder.iterdir()) == before
    for path in (folder / "run").rglob("*"):
        if path.is_file():
            path.unlink()


@given(key=real, value=st.sampled_from(SWEPT))
@settings(
    max_examples=max(3, EXAMPLES // 8),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_sweep_of_anything(folder: Path, key: str, value: str) -> None:
    del folder
    answer("-m", f"{key}={value}", *NO_LOGGING)
