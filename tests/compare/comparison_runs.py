"""Run folders with made-up numbers, in the form that lrbench writes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from lrbench.files import run_folder
from lrbench.files.checksum import sealed_object, sealed_text
from lrbench.files.result import FORMAT, history_columns
from lrbench.task import Measure
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


def history_of(value: float, kinds: Sequence[Measure], last_step: int = STEPS) -> pd.DataFrame:
    """history.csv: the primary measure goes in a straight line to `value`.

    It begins at 0.1 if higher is better, else at 3. A loss that is not the primary measure falls
    from 2.3 to 0.3.
    """
    step = np.arange(5, last_step + 1, 5)
    share = step / STEPS
    start = 0.1 if kinds[0].higher_is_better else 3.0
    found = {"step": step, "epoch": step / 10, "lr": np.float32(0.1 * (1 - share)), "momentum": 0.9,
             "seconds": step / 50}  # fmt: skip
    for measure in kinds:
        own = start + (value - start) * share if measure is kinds[0] else 2.3 - 2 * share
        found[f"train_{measure.name}"] = np.float32(own)
        found[f"val_{measure.name}"] = np.where(step % EVERY == 0, np.float32(own), np.nan)
    return pd.DataFrame(found)[list(history_columns(kinds))]


def write_run(
    folder: Path,
    *,
    scheduler: str = "cosine",
    seed: int = 0,
    accuracy: float = 0.9,
    val_accuracy: float | None = None,
    diverged_at: int | None = None,
    kinds: Sequence[Measure] = measures(10),
    changes: Mapping[str, Any] | None = None,
    choices: Mapping[str, str] | None = None,
    result: Mapping[str, Any] | None = None,
) -> Path:
    """One finished run. `accuracy` is the test's; the validation's is the same unless given.

    Args:
        kinds: what is measured, the primary measure first: it has the value of `accuracy`.
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
    history_of(val, kinds, diverged_at or STEPS).to_csv(folder / "history.csv", index=False)
    done = diverged_at is None
    content: dict[str, Any] = {
        "format": FORMAT,
        "status": "completed" if done else "diverged",
        "strategy": scheduler,
        "seed": seed,
        "steps": diverged_at or STEPS,
        "measures": {m.name: m.as_json() for m in kinds},
    }
    for measure in kinds:
        first = measure is kinds[0]
        content[f"val_{measure.name}"] = (val if first else 0.3) if done else None
        content[f"test_{measure.name}"] = (accuracy if first else 0.4) if done else None
        content[f"best_val_{measure.name}"] = val if first else 0.3
    content |= {
        "best_val_step": STEPS,
        "seconds": 2.0,
        "unit": "images",
        "units_per_second": 9000.0,
        "paired": True,
        "environment": {"lrbench": "0.1.0", "device": "cpu"},
        "data": {"digest": "d1", "train": 640, "val": 100, "test": 1000, "steps_per_epoch": 10},
        "fingerprint": run_folder.fingerprint(
            {key: value for key, value in config.items() if key != "resume"}
        ),
        **(result or {}),
    }
    (folder / "result.json").write_text(json.dumps(sealed_object(content)))
    return folder


def write_sweep(
    folder: Path,
    accuracies: Mapping[str, Sequence[float | None]],
    *,
    curves: bool = True,
    **settings: Any,
) -> Path:
    """Seeds 0, 1, ... of each strategy; None is a run that diverged half-way.

    Without `curves` the runs have no history, and four pictures less are drawn of them.
    """
    for scheduler, values in accuracies.items():
        for seed, accuracy in enumerate(values):
            run = write_run(
                folder / scheduler / f"seed={seed}",
                scheduler=scheduler,
                seed=seed,
                accuracy=0.9 if accuracy is None else accuracy,
                diverged_at=STEPS // 2 if accuracy is None else None,
                **settings,
            )
            if not curves:
                (run / "history.csv").unlink()
    return folder
