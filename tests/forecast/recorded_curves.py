"""Recorded loss curves of language models, where their folder lies beside the repository."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lrbench.forecast import Recording, lr_of_log, recording

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "curves"
FITTED = ("cosine_24000", "constant_24000", "wsdcon_9")
PREDICTED = (
    "wsdcon_3", "wsdcon_18", "wsd_20000_24000", "wsdld_20000_24000", "cosine_72000",
    "constant_72000",
)  # fmt: skip


def multi_power_curve(size: int, name: str) -> Recording:
    """A curve of the 25 M or 100 M model; its file leaves the warmup of 2,160 updates out."""
    rows = np.genfromtxt(FOLDER / "mpl" / str(size) / f"{name}.csv", delimiter=",", skip_header=1)
    steps, lrs, losses = rows.T
    lr = lr_of_log(steps, lrs, warmup=2160)
    if name.startswith("wsdcon"):  # it drops between two rows, after 8,000 updates
        lr[2160:8000], lr[8000:] = lrs[0], lrs[-1]
    return recording(name, lr, steps, losses)


def slimpajama_runs() -> list[Mapping[str, str]]:
    """The table of the 124 M model's runs."""
    with (FOLDER / "slimpajama_124m" / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def slimpajama_run(row: Mapping[str, str]) -> Recording:
    """One of them, by its final loss: its lr as its settings have it."""
    total, peak, warmup = int(row["iterations"]), float(row["peak_lr"]), int(row["warmup"])
    step = np.arange(1, total + 1)
    if row["scheduler"] == "cos":
        floor = 0.0 if row["group"].startswith("cos-zero") else 0.1
        share = np.clip((step - warmup) / (total - warmup), 0, 1)
        factor = floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * share))
    else:
        length = max(float(row["wsd_fract_decay"]) * total, 1e-9)
        share = np.clip((step - total + length) / length, 0, 1)
        factor = 1 - (np.sqrt(share) if row["decay_type"] == "sqrt" else share)
    lr = peak * np.where(step < warmup, step / warmup, factor)
    final = float(row["final_val_loss"])
    return recording(row["run"], lr, [total - 1, total], [final, final])


def slimpajama_split() -> tuple[list[Recording], list[Recording]]:
    """Six WSD runs with a cooldown of 20 %, and all other runs at peak lrs of 5e-4 and more."""
    fitted: list[Recording] = []
    others: list[Recording] = []
    for row in slimpajama_runs():
        if float(row["peak_lr"]) >= 5e-4:
            used = row["group"] == "ann124-0.2" and row["decay_type"] == "linear"
            used &= row["iterations"] in ("15000", "25000")
            (fitted if used else others).append(slimpajama_run(row))
    return fitted, others
