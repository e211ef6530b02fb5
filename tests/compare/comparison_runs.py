"""Run folders with made-up numbers, in the form that lrbench writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lrbench.compare.read import COLUMNS
from lrbench.files import run_folder
from lrbench.files.checksum import sealed_object, sealed_text
from lrbench.task.classification import measures

TARGETS = {"cosine": "Cosine", "onecycle": "OneCycle", "plateau": "Plateau"}
STEPS = 100  # updates of a run
EVERY = 10  # updates from one evaluation to the next


def config_of(scheduler: str, seed: int, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A composed config; `changes` are overrides with dotted keys."""
    config: dict[str, Any] = {
        "model": {"_target_": "lrbench.model.CifarResNet", "depth": 8, "width": 16},
        "dataset": {"_target_": "lrbench.dataset.Digits", "mean": [0.2873]},
        "optimizer": {"_target_": "lrbench.optimizer.Optimizer", "lr": 0.1},
        "scheduler": {"_target_": f"lrbench.scheduler.{TARGETS.get(scheduler, 'Constant')}"},
        "trainer": {"length": "10 epochs", "batch_size": 64, "log_interval": "0.2%"},
        "seed": seed,
        "resume": None,
    }
    for key, value in changes.items():
        *groups, last = key.split(".")
        node = config
        for group in groups:
            node = node[group]
        node[last] = value
    return config


def history_of(accuracy: float, last_step: int = STEPS) -> list[list[str]]:
    """Rows of history.csv: val. accuracy climbs in a straight line from 0.1 to `accuracy`."""
    rows = []
    for step in range(5, last_step + 1, 5):
        share = step / STEPS
        value = np.float32(0.1 + (accuracy - 0.1) * share)
        val = [str(np.float32(2.3 - 2 * share)), str(value)] if step % EVERY == 0 else ["", ""]
        row = [step, step / 10, np.float32(0.1 * (1 - share)), 0.9, np.float32(2.3 - 2.2 * share)]
        rows.append([*map(str, row), str(value), *val, f"{step / 50:.3f}"])
    return rows


def write_run(
    folder: Path,
    *,
    scheduler: str = "cosine",
    seed: int = 0,
    accuracy: float = 0.9,
    val_accuracy: float | None = None,
    diverged_at: int | None = None,
    changes: Mapping[str, Any] | None = None,
    choices: Mapping[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
) -> Path:
    """One finished run. `accuracy` is the test's; the validation's is the same unless given.

    Args:
        changes: to the config, with dotted keys.
        result: entries of result.json that shall differ from the usual.
    """
    config = config_of(scheduler, seed, changes or {})
    hidden = folder / ".hydra"
    hidden.mkdir(parents=True)
    (hidden / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    named = {"model": "resnet8", "dataset": "digits", "optimizer": "sgd", "scheduler": scheduler}
    lines = "".join(f"      {k}: {v}\n" for k, v in {**named, **(choices or {})}.items())
    text = f"hydra:\n  runtime:\n    choices:\n{lines}  verbose: no\n"
    (hidden / "hydra.yaml").write_text(sealed_text(text))
    val = accuracy if val_accuracy is None else val_accuracy
    rows = history_of(val, diverged_at or STEPS)
    (folder / "history.csv").write_text("\n".join(",".join(r) for r in [COLUMNS, *rows]) + "\n")
    done = diverged_at is None
    content = {
        "status": "completed" if done else "diverged",
        "strategy": scheduler,
        "seed": seed,
        "steps": diverged_at or STEPS,
        "val_loss": 0.3 if done else None,
        "val_accuracy": val if done else None,
        "test_loss": 0.4 - 0.1 * accuracy if done else None,
        "test_accuracy": accuracy if done else None,
        "best_val_loss": 0.3,
        "best_val_accuracy": val,
        "best_val_step": STEPS,
        "seconds": 2.0,
        "units_per_second": 9000.0,
        "measures": {m.name: m.as_json() for m in measures(10)},
        "environment": {"lrbench": "0.1.0", "device": "cpu"},
        "fingerprint": run_folder.fingerprint(
            {key: value for key, value in config.items() if key != "resume"}
        ),
        **(result or {}),
    }
    (folder / "result.json").write_text(json.dumps(sealed_object(content)))
    return folder


def write_sweep(
    folder: Path, accuracies: Mapping[str, Sequence[float | None]], **settings: Any
) -> Path:
    """Seeds 0, 1, ... of each strategy; None is a run that diverged half-way."""
    for scheduler, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            write_run(
                folder / scheduler / f"seed={seed}",
                scheduler=scheduler,
                seed=seed,
                accuracy=0.9 if accuracy is None else accuracy,
                diverged_at=STEPS // 2 if accuracy is None else None,
                **settings,
            )
    return folder
