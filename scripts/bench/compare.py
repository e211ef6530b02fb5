"""Time and peak memory of a comparison of many runs: python scripts/bench/compare.py

Writes synthetic run folders (2,000 of them, 200 evaluations and 500 training points each) into a
temporary folder, in several shapes of sweep, and compares each in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from lrbench.files.checksum import sealed_object, sealed_text

STRATEGIES = {
    "cosine": {"_target_": "lrbench.scheduler.Cosine", "min_factor": 0.0},
    "onecycle": {"_target_": "lrbench.scheduler.OneCycle", "pct_start": "30%"},
    "plateau": {"_target_": "lrbench.scheduler.Plateau", "patience": 5},
    "warmup_decay": {"_target_": "lrbench.scheduler.WarmupDecay", "warmup": "5%"},
}
TOTAL_STEPS = 10_000
LRS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# (seeds, peak lrs, widths) whose product with the strategies is the number of runs
SHAPES = {
    "one group, 500 seeds": (500, 1, 1),
    "lr sweep, 8 lrs x 62 seeds": (62, 8, 1),
    "50 groups, 10 seeds": (10, 1, 50),
}


def write_run(
    folder: Path, strategy: str, seed: int, lr: float, width: int, evaluations: int
) -> None:
    """One run folder as lrbench writes it, with made-up numbers."""
    name = f"{strategy} {seed} {lr} {width}".encode()
    rng = np.random.default_rng(int(hashlib.sha256(name).hexdigest()[:8], 16))
    config = {
        "model": {"_target_": "lrbench.model.CifarResNet", "depth": 8, "width": width},
        "dataset": {"_target_": "lrbench.dataset.Digits", "val_fraction": 0.1, "mean": [0.28]},
        "optimizer": {"_target_": "lrbench.optimizer.Optimizer", "lr": lr, "weight_decay": 5e-4},
        "scheduler": STRATEGIES[strategy],
        "trainer": {"_target_": "lrbench.trainer.Trainer", "length": f"{TOTAL_STEPS} steps"}
        | {f"setting_{i}": i for i in range(15)},
        "seed": seed,
        "resume": None,
    }
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    choices = f"      model: resnet8\n      dataset: digits\n      scheduler: {strategy}\n"
    padding = "".join(f"  key_{i}: value\n" for i in range(150))
    (folder / ".hydra" / "hydra.yaml").write_text(
        sealed_text(f"hydra:\n{padding}  runtime:\n    choices:\n{choices}  verbose: false\n")
    )
    steps = np.unique(np.linspace(1, TOTAL_STEPS, 500).round().astype(int))
    every = TOTAL_STEPS // evaluations
    steps = np.union1d(steps, np.arange(every, TOTAL_STEPS + 1, every))
    progress = steps / TOTAL_STEPS
    loss = 2.3 * np.exp(-4 * progress) + 0.05 + 0.02 * np.abs(rng.normal(size=len(steps)))
    lines = ["step,epoch,lr,momentum,train_loss,train_accuracy,val_loss,val_accuracy,seconds"]
    for step, p, x in zip(steps.tolist(), progress.tolist(), loss.tolist(), strict=True):
        val = f"{x + 0.05:.8g},{1 - 0.4 * x:.8g}" if step % every == 0 else ","
        rate = lr * (1 + math.cos(math.pi * p)) / 2
        lines.append(
            f"{step},{p:.6g},{rate:.8g},0.9,{x:.8g},{1 - 0.4 * x:.8g},{val},{step / 99:.3f}"
        )
    (folder / "history.csv").write_text("\n".join(lines) + "\n")
    accuracy = 0.95 + 0.004 * float(rng.normal()) - 0.01 * abs(math.log10(lr * 10))
    plain = {key: value for key, value in config.items() if key != "resume"}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
    result = {
        "status": "completed", "strategy": strategy, "seed": seed, "steps": TOTAL_STEPS,
        "val_loss": 0.15, "val_accuracy": accuracy, "test_loss": 0.16, "test_accuracy": accuracy,
        "best_val_loss": 0.15, "best_val_accuracy": accuracy, "best_val_step": TOTAL_STEPS,
        "seconds": 100.0, "units_per_second": 9000.0,
        "environment": {"lrbench": "0.1.0", "device": "cpu"}, "fingerprint": digest,
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(sealed_object(result), indent=2))


def write_sweep(
    folder: Path, num_seeds: int, num_lrs: int, num_widths: int, evaluations: int
) -> int:
    """The runs of one shape; returns how many."""
    count = 0
    for width in range(16, 16 + num_widths):
        for lr in LRS[:num_lrs] if num_lrs > 1 else (0.1,):
            for strategy in STRATEGIES:
                for seed in range(num_seeds):
                    run = folder / strategy / f"lr={lr},width={width},seed={seed}"
                    write_run(run, strategy, seed, lr, width, evaluations)
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
            count = write_sweep(Path(folder), num_seeds, lrs, widths, arguments.evaluations)
            seconds, peak = measure(Path(folder))
            print(f"{name:28} {count:6,} {seconds:8.1f} {peak:9.0f}", flush=True)


if __name__ == "__main__":
    main()
