"""What the names in other tools' logs mean: columns, and keys of recorded configs.

The one home of these lists. What they do not know is told by ``measure=``, ``strategy=``, ….
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lrbench.task.measure import WELL_KNOWN, Measure

RUN_COLUMNS = ("run", "run_id", "run_name", "runs", "run_uuid")
# Optimizer updates first; W&B's _step counts calls of log().
STEPS = ("global_step", "iter", "iters", "iteration", "iterations", "update", "updates",
         "num_updates", "step", "steps", "_step")  # fmt: skip
EPOCHS = ("epoch", "epochs")
_SPLITS = {
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "dev"), "val"),
    **dict.fromkeys(("train", "training"), "train"),
    "test": "test",
}
_IDLE = ("epoch", "step", "metrics")  # say how a number was averaged, not what it is
_RESULTS = ("best", "min", "max", "final")  # numbers about a curve, not points of one
_ALIASES = {"acc1": "top1", "acc_1": "top1", "acc5": "top5", "acc_5": "top5", "ppl": "perplexity",
            "bpb": "bits_per_byte", "nll_loss": "nll", "cross_entropy": "loss", "ce": "loss",
            "cross_entropy_loss": "loss", "categorical_accuracy": "accuracy",
            "sparse_categorical_accuracy": "accuracy"}  # fmt: skip

SETTINGS = {  # what a run recorded, and the names under which tools do
    "strategy": ("strategy", "lr_scheduler_type", "lr_scheduler", "lr_schedule", "scheduler",
                 "scheduler_name", "scheduler_type", "schedule", "sched", "lr_decay_style"),
    "seed": ("seed", "random_seed", "manual_seed"),
    "lr": ("learning_rate", "peak_lr", "max_lr", "base_lr", "lr"),
    "total": ("max_steps", "total_steps", "num_training_steps", "num_steps", "iterations",
              "num_iterations", "max_iters", "train_iters", "train_steps"),
    "epochs": ("num_train_epochs", "max_epochs", "num_epochs", "epochs"),
    "batch": ("per_device_train_batch_size", "train_batch_size", "batch_size"),
    "steps_per_epoch": ("steps_per_epoch", "updates_per_epoch"),
}  # fmt: skip
# Keys that say how the lr moves belong to the strategy, those of places and names to no run.
_OF_SCHEDULE = {"sched", "scheduler", "schedule", "warmup", "decay", "cooldown", "anneal", "gamma",
                "milestones", "cycle", "cycles", "patience", "floor"}  # fmt: skip
_OF_NOTHING = {"dir", "path", "name", "id", "host", "hostname", "time", "date", "timestamp", "log",
               "logging", "save", "hub", "report", "device", "workers", "resume", "output", "tag",
               "tags", "entity", "project", "group", "notes", "token", "version", "checkpoint",
               "wandb", "flos", "experiment", "local", "epoch", "step", "global", "final", "best",
               "zero", "process", "trial", "seen", "search", "val", "loss", "disable",
               "eval", "interval", "file"}  # fmt: skip


def tokens(name: str) -> list[str]:
    """``["val", "loss"]`` of ``val/loss``, ``Val Loss`` and ``val_loss``."""
    return [token for token in re.split(r"[^a-z0-9]+", name.lower()) if token]


def x_column(columns: Iterable[Any]) -> str | None:
    """The column that says when a row was logged: updates, else epochs."""
    by_name = {"_".join(tokens(str(c))) or str(c): str(c) for c in columns}
    by_name |= {str(c): str(c) for c in columns}
    for wanted in (*STEPS, *EPOCHS):
        for name, column in by_name.items():
            if name == wanted or (wanted == "global_step" and name.endswith("_global_step")):
                return column
    return None


def lr_group(name: str) -> str | None:
    """The parameter group of a column of learning rates, empty where it names none; else None."""
    words = [w for w in tokens(name) if w not in _SPLITS and w not in _IDLE]
    for at, word in enumerate(words):
        size = 2 if words[at : at + 2] == ["learning", "rate"] else int(word in ("lr", "lrs"))
        if size and not set(words) & {"weight", "decay", "scale"}:
            return "_".join(words[:at] + words[at + size :])
    return None


def measured(name: str) -> tuple[str, str] | None:
    """The split (empty if it names none) and the measure of a column; None if it is a summary."""
    words = tokens(name)
    if set(words) & set(_RESULTS):
        return None
    splits = [_SPLITS[w] for w in words if w in _SPLITS]
    rest = [w for w in words if w not in _SPLITS and w not in _IDLE]
    measure = "_".join(rest)
    return (splits[0] if splits else ""), _ALIASES.get(measure, measure)


def known_measure(name: str) -> Measure | None:
    """The measure that `name` is or ends in, such as ``mnli_loss``; None if it is none known."""
    words = name.split("_")
    for start in range(len(words)):
        found = WELL_KNOWN.get("_".join(words[start:]))
        if found is not None and name.isidentifier():
            return replace(found, name=name)
    return None


def preference(measure: Measure) -> int:
    """Which of several measures is compared by: shares such as accuracies before losses."""
    if measure.higher_is_better:
        return 0
    return {"loss": 2, "nll": 2, "perplexity": 3}.get(measure.name.rpartition("_")[2], 1)


def setting(config: Mapping[str, Any], what: str) -> tuple[str, Any] | None:
    """The key and value of `config` that say `what` of `SETTINGS`; the least nested first."""
    keys = sorted(config, key=lambda key: key.count("."))
    for wanted in SETTINGS[what]:
        for key in keys:
            if key.rpartition(".")[2].lower().replace("-", "_") == wanted:
                return key, config[key]
    return None


def role(key: str) -> str:
    """Whether a key of a config is of the ``scheduler``, of ``nothing`` or of the ``rest``."""
    words = set(tokens(key))
    if words & _OF_SCHEDULE and "weight" not in words:
        return "scheduler"
    if {"min", "lr"} <= words or {"eta", "min"} <= words or {"lr", "scale"} <= words:
        return "scheduler"
    return "nothing" if words & _OF_NOTHING or key.startswith("_") else "rest"
