"""Short runs on real images, through the command, from files to result."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from processes import run_module


def train(*arguments: str, cwd: Path) -> tuple[dict[str, Any], list[dict[str, str]], str]:
    """result.json, the rows of history.csv and the output of one run."""
    done = run_module("lrbench", *arguments, "hydra.run.dir=run", cwd=cwd, env={"HOME": str(cwd)})
    assert done.returncode == 0, done.stdout + done.stderr
    with (cwd / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    return json.loads((cwd / "run" / "result.json").read_text()), rows, done.stdout


def test_cifar10_jpeg_through_an_image_folder(cifar10_jpeg: Path, tmp_path: Path) -> None:
    result, rows, out = train(
        "dataset=imagefolder",
        f"dataset.root={cifar10_jpeg}",
        "scheduler=onecycle",
        "trainer.length=8 epochs",
        "trainer.batch_size=32",
        cwd=tmp_path,
    )
    assert "540 training, 60 validation, 600 test images of 3×32×32, 10 outputs" in out
    assert result["steps"] == 8 * (540 // 32)
    assert result["test_accuracy"] > 0.2  # chance is 0.1; 540 images teach no more than a little
    first, last = (float(rows[i]["train_loss"]) for i in (0, -1))
    assert last < first - 0.3


def test_fashion_mnist_from_debians_files(fashion_mnist_root: Path, tmp_path: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in fashion_mnist_root.iterdir()}
    result, _, out = train(
        "dataset=fashion_mnist",
        f"dataset.root={fashion_mnist_root}",
        "model=lenet",
        "scheduler=warmup_decay",
        "optimizer.lr=0.05",
        "trainer.length=300 steps",
        "trainer.eval_interval=150 steps",
        cwd=tmp_path,
    )
    assert "54,000 training, 6,000 validation, 10,000 test images of 1×28×28" in out
    assert result["test_accuracy"] > 0.65
    assert {p.name: p.stat().st_mtime_ns for p in fashion_mnist_root.iterdir()} == before
