"""What lr a run asked for, as far as its config says it, and what was logged."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lrbench.audit.fit import Array
from lrbench.files.result import RunResult

if TYPE_CHECKING:
    from lrbench.scheduler import Scheduler

# Keys of recorded schedules, by their last name; a share is one of the run.
_WARMUP = ("warmup_steps", "num_warmup_steps", "warmup_iters", "warmup_updates", "warmup",
           "warmup_epochs", "warmup_ratio", "warmup_fraction")  # fmt: skip
_FLOOR = ("min_lr", "lr_min", "eta_min", "end_lr", "min_lr_ratio", "min_lr_rate", "min_factor",
          "floor")  # fmt: skip
_RATIOS = ("min_lr_ratio", "min_lr_rate", "min_factor", "floor")
_KINDS = {"plateau": "plateau", "restart": "restarts", "cycl": "other", "cos": "cosine",
          "linear": "linear", "wsd": "wsd", "trapez": "wsd", "stable_decay": "wsd",
          "poly": "polynomial", "constant": "constant"}  # fmt: skip
# What an audit reads of a config.
_JUDGED_BY = ("scheduler.", "optimizer.lr", "trainer.length", "trainer.early_stopping.")


@dataclass(frozen=True, kw_only=True)
class LrLog:
    """A run's lr as it was logged, and what else is needed to judge it.

    Attributes:
        history: as history.csv: ``step``, ``lr``, perhaps ``lr/<group>``, ``val_loss``, ….
        steps: the run's length, in the unit of ``step``.
        completed: whether it took all its updates.
        config: flattened, as recorded; empty where nothing is.
        strategy: the schedule's name.
        steps_per_epoch: None where unknown.
        resumes: of lrbench's own loop under another schedule or length: their policies.
    """

    history: pd.DataFrame
    steps: int
    completed: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    strategy: str = ""
    steps_per_epoch: int | None = None
    resumes: Sequence[Any] = ()

    @classmethod
    def of(cls, result: RunResult, history: pd.DataFrame, config: Mapping[str, Any]) -> LrLog:
        """The log of a run as its folder holds it; `config` is flattened."""
        per_epoch = result.data.get("steps_per_epoch")
        return cls(
            history=history, steps=result.steps, completed=result.completed, config=config,
            strategy=result.strategy, resumes=result.more.get("resumes") or (),
            steps_per_epoch=per_epoch if isinstance(per_epoch, int) and per_epoch > 0 else None,
        )  # fmt: skip

    def points(self, column: str = "lr") -> tuple[Array, Array]:
        """Where `column` was logged, and its values, both (N,)."""
        if column not in self.history:
            return np.empty(0), np.empty(0)
        steps, values = (self.history[name].to_numpy(dtype=float) for name in ("step", column))
        known = ~(np.isnan(steps) | np.isnan(values))
        return steps[known], values[known]

    @property
    def key(self) -> bytes:
        """Equal for two logs of which an audit would say the same: same lr, settings and length."""
        columns = [str(c) for c in self.history if str(c) == "lr" or str(c).startswith("lr/")]
        settings = {k: v for k, v in self.config.items() if k.startswith(_JUDGED_BY)}
        told = (self.steps, self.completed, self.strategy, self.steps_per_epoch, self.resumes)
        text = repr((columns, sorted(settings.items()), told))
        if "plateau" in text.lower():
            columns.append("val_loss")
        if self.steps_per_epoch is None:
            columns.append("epoch")
        found = hashlib.blake2b(text.encode())
        for column in columns:
            for part in self.points(column):
                found.update(part.tobytes() + b",")
        return found.digest()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The schedule that the config names; None is what it does not say.

    Attributes:
        kind: ``cosine``, ``linear``, ``constant``, ``wsd``, ``plateau``, …, or empty.
        total, warmup: in the log's unit.
        floor: as a ratio of the peak.
        epochs: the run's length in epochs.
        numbers: every number of the schedule's settings: what may explain where it ends.
        exact: the lr at any update, where the schedule is lrbench's own.
    """

    kind: str = ""
    total: float | None = None
    warmup: float | None = None
    floor: float | None = None
    epochs: float | None = None
    patience: int | None = None
    numbers: tuple[float, ...] = ()
    exact: Callable[[Array], Array] | None = None


def asked(log: LrLog) -> Asked:
    """What the config of `log` says of its schedule."""
    own = str(log.config.get("scheduler._target_", ""))
    if own.startswith("lrbench.scheduler") and not log.resumes:
        return _own(log)
    settings = {k.removeprefix("scheduler."): v for k, v in log.config.items()
                if k.startswith("scheduler.")}  # fmt: skip
    names = f"{settings.get('name') or log.strategy} {settings.get('scheduler', '')}".lower()
    kind = next((kind for part, kind in _KINDS.items() if part in names), "")
    length = re.fullmatch(r"([\d.]+) (steps|epochs)", str(log.config.get("trainer.length")))
    total = epochs = None
    if length is not None and length[2] == "steps":
        total = float(length[1])
    elif length is not None:
        epochs = float(length[1])
        total = epochs * (log.steps_per_epoch or math.nan)
        if abs(log.steps - epochs) <= 1:  # a log that counts epochs alone
            total = epochs
    total = None if total is not None and math.isnan(total) else total
    peak = _number(log.config.get("optimizer.lr"))
    patience = _number(settings.get("patience"))
    return Asked(
        kind=kind,
        total=total,
        epochs=epochs,
        warmup=_warmup(settings, log, total or log.steps, epochs),
        floor=_floor(settings, peak),
        patience=None if patience is None else int(patience),
        numbers=tuple(n for v in settings.values() if (n := _number(v)) is not None and n > 0),
    )


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else None


def _named(settings: Mapping[str, Any], names: Sequence[str]) -> tuple[str, float] | None:
    for name in names:
        if (value := _number(settings.get(name))) is not None:
            return name, value
    return None


def _warmup(
    settings: Mapping[str, Any], log: LrLog, total: float, epochs: float | None
) -> float | None:
    found = _named({k: v for k, v in settings.items() if v != 0}, _WARMUP)
    if found is None:
        return 0.0 if any(settings.get(name) == 0 for name in _WARMUP) else None
    name, value = found
    if name == "warmup_epochs":
        per = total / epochs if epochs else log.steps_per_epoch
        return None if per is None else value * per
    return value * total if value < 1 else value


def _floor(settings: Mapping[str, Any], peak: float | None) -> float | None:
    found = _named(settings, _FLOOR)
    if found is None:
        return None
    name, value = found
    if name in _RATIOS:
        return value
    return None if not peak else value / peak


def _own(log: LrLog) -> Asked:
    """The schedule of lrbench that the config describes, laid out on the run."""
    from lrbench.config import ConfigError, duration
    from lrbench.scheduler import Plateau

    node = _nested({k: v for k, v in log.config.items() if k.startswith("scheduler.")})
    base = _number(log.config.get("optimizer.lr"))
    total, per_epoch = log.steps, log.steps_per_epoch
    if per_epoch is None:
        epochs = log.history.get("epoch", pd.Series(dtype=float)).dropna()
        per_epoch = round(log.steps / epochs.iloc[-1]) if len(epochs) and epochs.iloc[-1] else total
    try:
        scheduler = _built(json.dumps(node["scheduler"]))
        length = log.config.get("trainer.length")
        timed = length is not None and duration.parse(str(length), length=True)[1] == "seconds"
        if timed or any(str(column).startswith("lr/") for column in log.history):
            return Asked()  # by the clock, or of groups with schedules of their own
        early = log.config.get("trainer.early_stopping.patience") is not None
        if not log.completed or early:
            total = duration.whole_steps(str(length), total_steps=1, steps_per_epoch=per_epoch)
        at, losses = log.points("val_loss")
        plan = scheduler.plan(total, per_epoch, list(losses), [int(step) for step in at])
    except (ConfigError, ValueError):
        return Asked()
    name = type(scheduler).__name__.lower()
    kind = "plateau" if isinstance(scheduler, Plateau) else "own"
    return Asked(
        kind=next((k for part, k in _KINDS.items() if part in name), kind),
        total=total,
        warmup=float(duration.whole_steps(scheduler.warmup, total_steps=total,
                                          steps_per_epoch=per_epoch)),
        floor=getattr(scheduler, "min_factor", None),
        epochs=total / per_epoch,
        patience=getattr(scheduler, "patience", None),
        exact=None if base is None else lambda t: base * np.array(
            [plan.factor(step) for step in np.clip(t, 0, total - 1)]
        ),
    )  # fmt: skip


@lru_cache
def _built(node: str) -> Scheduler:
    """The schedule that `node`, a config as JSON, describes."""
    from lrbench.config import build
    from lrbench.scheduler import Scheduler

    found: Scheduler = build(json.loads(node), "scheduler", Scheduler)
    return found


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """``{"scheduler": {"warmup": …}}`` of ``{"scheduler.warmup": …}``."""
    found: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = found
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = list(value) if isinstance(value, tuple) else value
    return found
