"""Time and peak memory of a comparison of many runs: python scripts/bench/compare.py

Writes synthetic run folders (10,000 of them, 200 evaluations and 500 training points each, with
the configs that lrbench composes) into a temporary folder, in several shapes of sweep, and compares
each in a process of its own.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose
from omegaconf import OmegaConf

from lrbench.config import build, search
from lrbench.files import run_folder
from lrbench.files.checksum import sealed_object, sealed_text

STRATEGIES = ("cosine", "onecycle", "plateau", "warmup_decay")
TOTAL_STEPS, STEPS_PER_EPOCH = 10_000, 100
LRS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# (seeds, peak lrs, widths) whose product with the strategies is the number of runs
SHAPES = {
    "one group, 2,500 seeds": (2500, 1, 1),
    "lr sweep, 8 lrs x 312 seeds": (312, 8, 1),
    "250 groups, 10 seeds": (10, 1, 250),
    "one group, imported": (2500, 1, 1),
}
MEASURES = {
    "accuracy": {"higher_is_better": True, "guess": 0.1, "unit": "points", "scale": 100.0},
    "loss": {"higher_is_better": False, "guess": None, "unit": "", "scale": 1.0},
}


@functools.cache
def composed(strategy: str) -> dict[str, Any]:
    """What a run of `strategy` records of its config."""
    words = ["model=resnet8", "dataset=digits", f"trainer.length='{TOTAL_STEPS} steps'"]
    with search(None) as more:
        cfg = compose("config", [*more, *words, f"scheduler={strategy}"])
    return run_folder.plain_config(cfg)


@functools.cache
def factors(strategy: str) -> list[float]:
    """The lr at every update, over the peak lr, of a schedule that reads no losses."""
    return build(composed(strategy)["scheduler"], "scheduler").factors(TOTAL_STEPS, STEPS_PER_EPOCH)


def write_run(
    folder: Path, strategy: str, seed: int, lr: float, width: int, evaluations: int, imported: bool
) -> None:
    """One run folder as lrbench writes it, or its importer, with made-up numbers."""
    name = f"{strategy} {seed} {lr} {width}".encode()
    rng = np.random.default_rng(int(hashlib.sha256(name).hexdigest()[:8], 16))
    own = composed(strategy)
    config = own | {"model": own["model"] | {"width": width}, "seed": seed}
    config["optimizer"] = own["optimizer"] | {"lr": lr}
    if imported:
        length = {"length": f"{TOTAL_STEPS} steps"}
        config = {"seed": seed, "optimizer": {"lr": lr}, "scheduler": {"name": strategy},
                  "trainer": length, "imported": {"width": width}}  # fmt: skip
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    if not imported:
        choices = f"      model: resnet8\n      dataset: digits\n      scheduler: {strategy}\n"
        padding = "".join(f"  key_{i}: value\n" for i in range(150))
        hydra = f"hydra:\n{padding}  runtime:\n    choices:\n{choices}  verbose: false\n"
        (folder / ".hydra" / "hydra.yaml").write_text(sealed_text(hydra))
    every = TOTAL_STEPS // evaluations
    steps = np.linspace(1, TOTAL_STEPS, 500).round().astype(int)
    steps = np.union1d(steps, np.arange(every, TOTAL_STEPS + 1, every))
    loss = 2.3 * np.exp(-4 * steps / TOTAL_STEPS) + 0.05 + 0.02 * rng.random(len(steps))
    rates = factors(strategy) if strategy != "plateau" else None
    if rates is None:
        at = steps[steps % every == 0].tolist()
        losses = (loss[steps % every == 0] + 0.05).tolist()
        told = [float(f"{value:.8g}") for value in losses]
        rates = build(own["scheduler"], "scheduler").factors(TOTAL_STEPS, STEPS_PER_EPOCH, told, at)
    lines = ["step,epoch,lr,momentum,seconds,train_accuracy,train_loss,val_accuracy,val_loss"]
    for step, x in zip(steps.tolist(), loss.tolist(), strict=True):
        val = f"{1 - 0.4 * x:.8g},{x + 0.05:.8g}" if step % every == 0 else ","
        rate = lr * rates[step - 1]
        lines.append(f"{step},{step / STEPS_PER_EPOCH:.6g},{rate!r},0.9,{step / 99:.3f},"
                     f"{1 - 0.4 * x:.8g},{x:.8g},{val}")  # fmt: skip
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    accuracy = 0.95 + 0.004 * float(rng.normal()) - 0.01 * abs(np.log10(lr * 10))
    result = {
        "status": "completed", "strategy": strategy, "seed": seed, "steps": TOTAL_STEPS,
        "measures": MEASURES, "val_loss": 0.15, "val_accuracy": accuracy, "test_loss": 0.16,
        "test_accuracy": accuracy, "best_val_loss": 0.15, "best_val_accuracy": accuracy,
        "best_val_step": TOTAL_STEPS, "seconds": 100.0,
    }  # fmt: skip
    if not imported:
        result |= {
            "unit": "images", "units_per_second": 9000.0, "paired": True,
            "environment": {"lrbench": "0.1.0", "device": "cpu"},
            "data": {"digest": "0" * 16, "steps_per_epoch": STEPS_PER_EPOCH, "test": 359},
            "fingerprint": run_folder.fingerprint(config),
        }  # fmt: skip
        result = sealed_object(result)
    (folder / "result.json").write_text(json.dumps(result, indent=2))


def write_sweep(
    folder: Path, seeds: int, lrs: int, widths: int, evaluations: int, imported: bool
) -> int:
    """The runs of one shape; returns how many."""
    count = 0
    for width in range(16, 16 + widths):
        for lr in LRS[:lrs] if lrs > 1 else (0.1,):
            for strategy in STRATEGIES:
                for seed in range(seeds):
                    run = folder / strategy / f"lr={lr},width={width},seed={seed}"
                    write_run(run, strategy, seed, lr, width, evaluations, imported)
                    count += 1
    return count


def measure(folder: Path) -> tuple[float, float]:
    """Seconds and peak resident memory (MiB) of one comparison of `folder`."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lrbench.compare", str(folder)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the comparison failed with status {status}")
    kib = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return time.perf_counter() - began, kib / 1024


def main() -> None:
    """Print a line per shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--evaluations", type=int, default=200)
    parser.add_argument("--part", type=float, default=1.0, help="share of the seeds, for a trial")
    arguments = parser.parse_args()
    print(f"{'sweep':28} {'runs':>6} {'seconds':>8} {'peak MiB':>9}")
    for name, (seeds, lrs, widths) in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="lrbench-compare-") as folder:
            num_seeds = max(1, round(seeds * arguments.part))
            count = write_sweep(
                Path(folder), num_seeds, lrs, widths, arguments.evaluations, "imported" in name
            )
            seconds, peak = measure(Path(folder))
            print(f"{name:28} {count:6,} {seconds:8.1f} {peak:9.0f}", flush=True)


if __name__ == "__main__":
    main()
