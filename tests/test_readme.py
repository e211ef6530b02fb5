"""The commands on the pages of documentation work as written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from processes import run_module

REPOSITORY = Path(__file__).parents[1]
PAGES = {  # path to text: the README, and those of the rooms and of conf/
    path: path.read_text(encoding="utf-8")
    for path in (
        REPOSITORY / "README.md",
        *sorted((REPOSITORY / "lrbench").rglob("README.md")),
        *sorted((REPOSITORY / "conf").rglob("README.md")),
    )
}
TEXT = "\n".join(PAGES.values())
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def in_short(line: str) -> str:
    """The command of a page's `line`; a study is planned, as tests/study trains whole ones."""
    command = line.split("   #")[0].strip()
    if not command.startswith("python -m lrbench.study"):
        return command
    return f"{command.partition(' require=')[0].removesuffix(' dry_run=true')} dry_run=true"


COMMANDS = list(  # each once, on however many pages it stands
    dict.fromkeys(
        in_short(line)
        for language, block in BLOCKS
        if language == "bash"
        for line in block.splitlines()
        if line.startswith("python -m lrbench")
    )
)
# Downloads, a GPU or files of the reader's own: these are composed, not run.
NEEDS_DATA = (
    *("experiment=cifar10", "dataset=imagefolder", "dataset=fashion_mnist", "dataset=text"),
    *("experiment=shakespeare", "experiment=python_docs", "experiment=five_way"),  # or take minutes
)


def run(command: str, cwd: Path) -> str:
    python, option, *words = shlex.split(command)
    assert (python, option) == ("python", "-m")
    quick = {"lrbench.study.probe.SECONDS": 0.05} if words[0] == "lrbench.study" else {}
    done = run_module(*words, cwd=cwd, numbers=quick)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, tmp_path: Path) -> None:
    if "four_way" in command:  # 20 runs; tests/test_sweep.py has shorter ones
        run(f"{command} trainer.length='2 steps' model=mlp 'seed=range(1)'", tmp_path)
    elif "lrbench.study" in command:
        assert "fresh seeds" in run(command, tmp_path)
    elif "lrbench.find_lr" in command:
        assert "optimizer.lr=" in run(f"{command} num_steps=60 num_seeds=1", tmp_path)
    elif "preview" not in command and any(word in command for word in NEEDS_DATA):
        assert "_target_: lrbench.trainer.Trainer" in run(f"{command} --cfg job", tmp_path)
    elif command.startswith("python -m lrbench ") and "--help" not in command:
        run(f"{command} trainer.length='2 epochs'", tmp_path)  # whole runs: tests/test_main.py
    else:
        run(command, tmp_path)


def test_the_examples_of_ones_own_train(tmp_path: Path) -> None:
    """The files of "Add your own", two each, as they stand, and the commands."""
    written = 0
    for _, block in BLOCKS:
        named = re.match(r"# (my_\S+)\n", block)
        if named:
            (tmp_path / named[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / named[1]).write_text(block)
            written += 1
    assert written == 7
    commands = re.findall(r"^python -m lrbench --config-dir .*$", TEXT, re.MULTILINE)
    length = "trainer.length='2 epochs'"
    schedule, model_and_dataset, rows = (run(f"{c} {length}", tmp_path) for c in commands)
    assert "square root 40" in schedule
    # of sizes that nobody has told
    overrides = ["--config-dir", "my_conf", "dataset=stripes", "trust=my_datasets"]
    preview = run_module("lrbench.preview", *overrides, cwd=tmp_path)
    assert preview.returncode == 1
    assert "steps_per_epoch=" in preview.stderr
    assert "Traceback" not in preview.stderr
    assert "720 training, 80 validation, 200 test" in model_and_dataset
    assert "test rmse " in rows


def test_the_examples_of_schedules_in_a_loop_of_ones_own_run() -> None:
    lrs = []
    for code in {block for _, block in BLOCKS if "as_torch(" in block}:
        names: dict[str, Any] = {}
        exec(code, names)
        lrs.append(names["optimizer"].param_groups[0]["lr"])
    # a schedule of one's own begins with a warmup from 0; onecycle has come to its end
    assert sorted(lrs) == [0, pytest.approx(0.1 / 25 / 1e4)]


def test_the_example_of_a_loop_of_ones_own_leaves_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = [block for _, block in BLOCKS if "lrbench.start(" in block]
    exec(code, {})
    assert '"status": "completed"' in (tmp_path / "runs" / "wsd" / "0" / "result.json").read_text()


def test_the_example_of_a_range_test_finds_a_range() -> None:
    (code,) = [block for _, block in BLOCKS if "range_test(" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    assert 0 < names["found"].low < names["found"].high < 100


def test_every_choice_is_named() -> None:
    """The table of choices is complete."""
    for path in (REPOSITORY / "conf").glob("*/*.yaml"):
        group, name = path.parent.name, path.stem
        if group in ("model", "dataset", "optimizer", "experiment") and not name.startswith("_"):
            assert f"`{name}`" in TEXT, f"{group}={name}"


def test_pictures_and_links_exist() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page}: {target}"
