"""The command as a user meets it: whole processes, real folders, signals, TensorBoard."""

from __future__ import annotations

import csv
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import run_module, start_module
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FOUR = ["cosine", "warmup_decay", "onecycle", "plateau"]
SWEEP = ["-m", f"scheduler={','.join(FOUR)}", "seed=range(1)", "model=mlp"]
SWEEP += ["trainer.length=3 epochs"]


def lrbench(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    result = run_module("lrbench", *arguments, cwd=cwd)
    assert result.returncode == code, result.stdout + result.stderr
    return result


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four strategies on one seed each, three epochs."""
    cwd = tmp_path_factory.mktemp("sweep")
    lrbench(*SWEEP, cwd=cwd)
    (folder,) = (cwd / "outputs").iterdir()
    return folder


def test_the_default_job_needs_no_download_and_learns(tmp_path: Path) -> None:
    out = lrbench("scheduler=onecycle", "hydra.run.dir=run", cwd=tmp_path).stdout
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["test_accuracy"] >= 0.95
    assert result["status"] == "completed"
    assert (result["strategy"], result["seed"], result["steps"]) == ("onecycle", 0, 300)
    assert result["units_per_second"] > 0
    assert result["environment"]["torch"] == torch.__version__.partition("+")[0]
    rows = history(tmp_path / "run")
    assert np.float32(result["val_loss"]) == np.float32(rows[-1]["val_loss"])
    best = max((float(r["val_accuracy"]) for r in rows if r["val_accuracy"]), default=0.0)
    assert result["best_val_accuracy"] == pytest.approx(best, rel=1e-6)
    for said in (
        "onecycle on digits",
        "resnet8, 75,002 parameters",
        "1,294 training, 144 validation, 359 test images of 1×8×8, 10 outputs",
        "15 epochs = 300 updates of 64 images, 20 per epoch",
        "90 → ",
        "cpu (",
        "tensorboard --logdir run",
        f"test accuracy {100 * result['test_accuracy']:.2f} %",
    ):
        assert said in out, said
    assert "\x1b" not in out  # no colours in a pipe
    assert sorted(p.name for p in (tmp_path / "run" / ".hydra").iterdir()) == [
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    ]


def test_a_sweep_leaves_folders_that_read_well(sweep: Path) -> None:
    runs = sorted(str(p.parent.relative_to(sweep)) for p in sweep.rglob("result.json"))
    assert runs == sorted(f"{name}/seed=0" for name in FOUR)


def test_equal_seeds_give_equal_first_losses_under_every_schedule(sweep: Path) -> None:
    first = {name: history(sweep / name / "seed=0")[0]["train_loss"] for name in FOUR}
    assert len(set(first.values())) == 1, first


@pytest.fixture
def tensorboard(sweep: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(sweep)]
    command += ["--port", str(port), "--host", "127.0.0.1", "--load_fast", "false"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}/data"
    process.terminate()
    process.wait()


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return json.load(reply)


def test_tensorboard_serves_the_curves(sweep: Path, tensorboard: str) -> None:
    tags: dict[str, Any] = {}
    wanted = {f"{name}/seed=0" for name in FOUR}
    for _ in range(150):
        try:
            tags = fetch(f"{tensorboard}/plugin/scalars/tags")
        except OSError:
            tags = {}
        if set(tags) == wanted and all("test/loss" in t for t in tags.values()):
            break
        time.sleep(0.2)
    assert set(tags) == wanted
    every_tag = {"lr", "momentum"} | {
        f"{split}/{what}" for split in ("train", "val", "test") for what in ("loss", "accuracy")
    }
    assert all(set(t) == every_tag for t in tags.values())
    query = "run=onecycle%2Fseed%3D0&tag=lr"
    served = fetch(f"{tensorboard}/plugin/scalars/scalars?{query}")
    rows = history(sweep / "onecycle" / "seed=0")
    expected = [(int(r["step"]), np.float32(r["lr"])) for r in rows]
    assert [(step, np.float32(value)) for _, step, value in served] == expected


def test_tensorboards_hparams_table_and_overlaid_charts_fill(sweep: Path, tensorboard: str) -> None:
    request = urllib.request.Request(
        f"{tensorboard}/plugin/hparams/session_groups",
        data=json.dumps(
            {
                "startIndex": 0,
                "sliceSize": 100,
                "allowedStatuses": ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
                "colParams": [],
            }
        ).encode(),
        headers={"Content-Type": "application/json"},
    )
    groups: list[Any] = []
    for _ in range(150):
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                groups = json.load(reply)["sessionGroups"]
        except OSError:
            groups = []
        if len(groups) == len(FOUR):
            break
        time.sleep(0.2)
    found = {group["hparams"]["scheduler"]: group for group in groups}
    assert set(found) == set(FOUR)
    group = found["onecycle"]
    assert (group["hparams"]["optimizer.lr"], group["hparams"]["seed"]) == (0.1, 0.0)
    (session,) = group["sessions"]
    assert (session["name"], session["status"]) == ("onecycle/seed=0", "STATUS_SUCCESS")
    result = json.loads((sweep / "onecycle" / "seed=0" / "result.json").read_text())
    metrics = {value["name"]["tag"]: value["value"] for value in session["metricValues"]}
    assert metrics["test/accuracy"] == pytest.approx(result["test_accuracy"])
    layout = fetch(f"{tensorboard}/plugin/custom_scalars/layout")
    assert "lr" in [chart["title"] for chart in layout["category"][0]["chart"]]


PLATEAU = ["scheduler=plateau", "scheduler.patience=0", "scheduler.threshold=0.9"]
PLATEAU += ["scheduler.cut_factor=0.5", "trainer.length=5 epochs", "trainer.eval_interval=10 steps"]
PLATEAU += ["model.width=4"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    cwd = tmp_path_factory.mktemp("whole")
    lrbench(*PLATEAU, "hydra.run.dir=run", cwd=cwd)
    lrs = [row["lr"] for row in history(cwd / "run")]
    assert len({*lrs[:40]}) > 1, "no cut before the runs below are cut: less is tested"
    assert len({*lrs[40:]}) > 1, "no cut after"
    return cwd / "run"


def test_a_signal_saves_and_the_resumed_run_is_bit_identical(whole: Path, tmp_path: Path) -> None:
    process = start_module("lrbench", *PLATEAU, "hydra.run.dir=cut", cwd=tmp_path)
    assert process.stdout is not None
    for line in process.stdout:
        if line.lstrip().startswith("40/"):
            process.send_signal(signal.SIGTERM)
            break
    said = process.stdout.read()
    assert process.wait() == 143, said
    assert "resume with: python -m lrbench resume=cut" in said
    assert not (tmp_path / "cut" / "result.json").exists()
    config = (tmp_path / "cut" / ".hydra" / "config.yaml").read_bytes()
    assert "resumed    after update" in lrbench("resume=cut", cwd=tmp_path).stdout
    cut = tmp_path / "cut"
    assert (cut / ".hydra" / "config.yaml").read_bytes() == config
    assert history(cut) == history(whole)
    a, b = (torch.load(f / "checkpoint.pt", weights_only=True)["model"] for f in (whole, cut))
    assert all(torch.equal(a[name], b[name]) for name in a)
    events = EventAccumulator(str(cut), size_guidance={"scalars": 0})
    events.Reload()
    assert [e.step for e in events.Scalars("lr")] == [int(r["step"]) for r in history(whole)]
    assert len(events.Scalars("test/loss")) == 1
    results = [json.loads((f / "result.json").read_text()) for f in (whole, cut)]
    for result in results:
        del result["seconds"], result["units_per_second"]  # and the sums that hold such times:
        del result["files"], result["checksum"]
    assert results[0] == results[1]


def test_a_diverging_run_records_it_and_fails(tmp_path: Path) -> None:
    error = lrbench("optimizer.lr=1e30", "hydra.run.dir=run", cwd=tmp_path, code=1).stderr
    assert re.fullmatch(
        r"lrbench: diverged: training loss is (nan|inf) at update \d+, lr 1e\+30; "
        r"recorded in run/result.json\n",
        error,
    )
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "diverged"
    assert result["diverged_at"]["step"] == result["steps"] == len(history(tmp_path / "run"))
    assert result["test_loss"] is None


def test_help_and_a_mistake_do_without_torch(tmp_path: Path) -> None:
    """The start-up goal rests on this: torch takes seconds to import."""
    code = (
        "import sys\n"
        "import lrbench.__main__ as command\n"
        "for argument in sys.argv[1:]:\n"
        "    try:\n"
        "        command.main([argument])\n"
        "    except SystemExit as stop:\n"
        "        print(stop.code)\n"
        "    print(argument, 'torch' in sys.modules, 'torchvision' in sys.modules)"
    )
    mistakes = ("optimizer.lr=-1", "schedulr=cosine", "dataset.val_fraction=7")
    result = subprocess.run(
        [sys.executable, "-c", code, "--help", *mistakes],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\n--help False False\n" in result.stdout
    for mistake in mistakes:
        assert re.search(rf"^lrbench: .*\n{mistake} False False$", result.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == [tmp_path / "outputs"]
    assert not list((tmp_path / "outputs").iterdir())
