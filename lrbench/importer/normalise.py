"""From raw runs to run folders' content: what is a measure, whose strategy, which seed."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lrbench.audit.fit import fit
from lrbench.cli.wording import counted, listed
from lrbench.files.reading import plain_text
from lrbench.files.result import COMPLETED, DIVERGED, FORMAT
from lrbench.importer.choices import Choices
from lrbench.importer.curves import Curves, curves
from lrbench.importer.names import (
    SETTINGS,
    known_measure,
    lr_group,
    measured,
    preference,
    role,
    setting,
)
from lrbench.importer.raw import RawRun
from lrbench.task.measure import POINTS, Measure

STOPPED = "stopped"
UNNAMED = "unnamed"  # a schedule that is neither recorded nor of a known form
CUT = 0.9  # of its recorded length: a run that reached less did not end as planned
TRAINING_ONLY = ("Hugging Face", "Keras CSV")  # whose bare "loss" is that of training


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How the columns of all runs are read.

    Attributes:
        columns: name as logged to name in the history, such as ``val_loss`` or ``lr/head``.
        measures: the first is the primary one.
        guessed: what was not certain, in sentences.
    """

    columns: Mapping[str, str]
    measures: tuple[Measure, ...]
    guessed: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A run as it will be written: the content of its three files, and what to tell of it."""

    name: str
    tool: str
    history: pd.DataFrame
    result: dict[str, Any]
    config: dict[str, Any]
    notes: tuple[str, ...]


def read_columns(raws: Sequence[RawRun], choices: Choices) -> Reading:
    """Say of every column in `raws` what it is.

    Raises:
        ValueError: nothing in them is a measure of validation or test, or `choices` name no
            column.
    """
    names = list(dict.fromkeys(str(c) for raw in raws for c in raw.rows.columns))
    tools = {raw.tool for raw in raws}
    if choices.measure is not None and choices.measure not in names:
        raise ValueError(f"measure={choices.measure} is no column; there are {', '.join(names)}")
    found: dict[str, tuple[str, Measure]] = {}
    lrs: dict[str, str] = {}
    for name in names:
        group, read = lr_group(name), measured(name)
        if group is not None and name != choices.measure:
            lrs[name] = f"lr/{group}" if group else "lr"
        elif read is not None and (measure := known_measure(read[1])) is not None:
            found[name] = (read[0], measure)
    guessed = []
    if choices.measure is not None:
        found = {choices.measure: _told(choices, found.get(choices.measure)), **found}
    elif not any(split in ("val", "test") for split, _ in found.values()):
        bare = [name for name, (split, _) in found.items() if not split]
        if not bare or tools <= set(TRAINING_ONLY):
            lost = f" ({', '.join(found)} are of training)" if found else ""
            raise ValueError(
                f"no column is a measure of validation or test{lost}: give measure=COLUMN (and "
                f"better=lower or higher); there are {', '.join(names[:12])}"
            )
        guessed.append(
            f"{listed(bare)} name no split: taken as validation (nothing else is logged of it)"
        )
        found |= {name: ("val", found[name][1]) for name in bare}
    columns, measures = dict(lrs), []
    for name, (split, measure) in found.items():
        column = f"{split or 'train'}_{measure.name}"
        if column not in columns.values():
            columns[name] = column
            measures.append(_scaled(measure, raws, name))
    judged = {c.partition("_")[2] for c in columns.values() if not c.startswith(("train_", "lr"))}
    order = list({m.name: m for m in measures}.values())
    order.sort(key=lambda m: (m.name not in judged, choices.measure is None and preference(m)))
    return Reading(columns=columns, measures=tuple(order), guessed=tuple(guessed))


def _told(choices: Choices, guess: tuple[str, Measure] | None) -> tuple[str, Measure]:
    """The split and the measure of the column that the person chose."""
    name = str(choices.measure)
    split, label = guess[0] if guess else "", guess[1].name if guess else ""
    if guess is None:
        split, label = measured(name) or ("", "")
        label = re.sub(r"\W+", "_", label or name).strip("_")
    measure = guess[1] if guess else known_measure(label)
    if measure is None and choices.better is None:
        raise ValueError(f"measure={name} is no well-known measure: add better=lower or higher")
    measure = measure or Measure(name=label, higher_is_better=False)
    if choices.better is not None:
        measure = replace(measure, higher_is_better=choices.better == "higher")
    if choices.unit is not None:
        measure = replace(measure, unit=choices.unit, scale=100.0 if choices.unit == POINTS else 1)
    return "val" if split in ("", "train") else split, measure


def _scaled(measure: Measure, raws: Sequence[RawRun], column: str) -> Measure:
    """`measure`, with the scale 1 where shares were logged in percent."""
    if measure.unit != POINTS:
        return measure
    tops = [raw.rows[column].replace(np.inf, np.nan).max() for raw in raws if column in raw.rows]
    return replace(measure, scale=1.0) if np.nanmax([*tops, 0.0]) > 1 + 1e-6 else measure


def normalise(
    raws: Sequence[RawRun], choices: Choices, reading: Reading
) -> tuple[list[Imported], list[str]]:
    """The runs as they will be written, and what is to be told of all of them.

    Raises:
        ValueError: `choices` fit none of them.
    """
    notes = list(reading.guessed)
    told = [_described(raw, choices) for raw in raws]
    if choices.pattern is not None and not any(found for _, found in told):
        raise ValueError(
            f"pattern={choices.pattern} fits no path, such as {raws[0].name}: write {{strategy}} "
            "and {seed} where a path says them, and all between them as it is"
        )
    if choices.pattern is not None and (lost := [r.name for r, t in zip(raws, told, strict=True)
                                                 if not t[1]]):  # fmt: skip
        notes.append(f"pattern={choices.pattern} does not fit {listed(lost[:3])}")
    configs = [config for config, _ in told]
    each = []
    for raw, config in zip(raws, configs, strict=True):
        spe = choices.steps_per_epoch or _whole(setting(config, "steps_per_epoch"))
        found = curves(raw, reading.columns, choices.step, spe)
        each.append((found, _config(config, choices, found)))
    notes += [*_named(each), *_numbered(each)]
    if choices.paired and any(note.startswith("no seed") for note in notes):
        raise ValueError("paired=true needs the runs' seeds: give seed=KEY or a pattern")
    return [
        _imported(raw, found, settings, config, reading, choices)
        for raw, config, (found, settings) in zip(raws, configs, each, strict=True)
    ], notes


def _named(each: Sequence[tuple[Curves, dict[str, Any]]]) -> list[str]:
    """Name runs of which no schedule is recorded by the form of their lr."""
    unnamed = [(found.history, settings["scheduler"]) for found, settings in each
               if not settings["scheduler"]["name"]]  # fmt: skip
    for history, scheduler in unnamed:
        known = history.get("lr", pd.Series(dtype=float)).replace(np.inf, np.nan).dropna()
        form = ""
        if len(known) > 2:
            steps = history["step"][known.index].to_numpy(dtype=float)
            form = fit(steps, known.to_numpy(dtype=float)).shape
        scheduler["name"] = form.replace(" ", "_") or UNNAMED
    if not unnamed:
        return []
    names = Counter(scheduler["name"] for _, scheduler in unnamed)
    told = ", ".join(f"{name} {number}" for name, number in sorted(names.items()))
    return [f"no schedule is recorded of {counted(len(unnamed), 'run')}: named by the form of "
            f"their lr ({told}); or give strategy=KEY, or a pattern"]  # fmt: skip


def _numbered(each: Sequence[tuple[Curves, dict[str, Any]]]) -> list[str]:
    """Give runs without a recorded seed one, and set those apart whose lrs end differently.

    Two runs of equal settings may be two seeds, or two schedules of which nothing was recorded.
    """
    alike: dict[str, list[tuple[Curves, dict[str, Any]]]] = defaultdict(list)
    for found, settings in each:
        if settings["seed"] is None:
            alike[json.dumps(settings, sort_keys=True)].append((found, settings))
    notes = [f"no seed is recorded of {counted(sum(map(len, alike.values())), 'run')}: numbered "
             "from 0"] if alike else []  # fmt: skip
    apart = 0
    for same in alike.values():
        lasts = {found.history["step"].max() for found, _ in same}
        ends = [_last_lr(found.history) for found, _ in same]
        differ = len(lasts) == 1 and None not in ends and len(set(ends)) > 1
        seen: Counter[float | None] = Counter()
        for end, (_, settings) in zip(ends, same, strict=True):
            if differ:
                settings["scheduler"]["ends_at"] = end
                apart += 1
            settings["seed"] = seen[end if differ else None]
            seen[end if differ else None] += 1
    if apart:
        notes.append(
            f"{counted(apart, 'run')} of equal settings are told apart by where their lr ends, "
            "as a share of its peak (ends_at)"
        )
    return notes


def _last_lr(history: pd.DataFrame) -> float | None:
    """The last lr as a share of the highest, to two places."""
    lrs = history["lr"].dropna() if "lr" in history else pd.Series(dtype=float)
    return round(float(lrs.iloc[-1] / lrs.max()), 2) if len(lrs) and lrs.max() > 0 else None


def _described(raw: RawRun, choices: Choices) -> tuple[dict[str, Any], bool]:
    """The settings of `raw`: as recorded, and over them what its path says by the pattern."""
    if choices.pattern is None:
        return dict(raw.config), False
    parts = re.split(r"\{(\w+)\}", choices.pattern.strip("/"))
    texts = "".join(
        f"(?P<{part}>[^/]+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts)
    )
    match = re.fullmatch(rf"(?:.*/)?{texts}(?:/.*)?", raw.name)
    said = match.groupdict() if match else {}
    from lrbench.config.plain_yaml import parse_scalar

    return {**raw.config, **{k: parse_scalar(v) for k, v in said.items()}}, bool(said)


def _whole(found: tuple[str, Any] | None) -> int | None:
    return int(found[1]) if found and isinstance(found[1], int | float) and found[1] >= 1 else None


def _number(found: tuple[str, Any] | None) -> float | None:
    try:
        value = float(found[1]) if found else math.nan
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _config(config: Mapping[str, Any], choices: Choices, found: Curves) -> dict[str, Any]:
    """What ``.hydra/config.yaml`` will say: strategy, seed, peak lr, length, and the rest."""

    def told(what: str) -> tuple[str, Any] | None:
        key = getattr(choices, what) if what in ("strategy", "seed", "lr") else None
        if key is None and what in config:  # the pattern's own name
            key = what
        if key is not None and key not in config:
            known = ", ".join(sorted(config))
            remedy = f"; there are {known}" if known else f": say it by pattern='{{{what}}}/...'"
            raise ValueError(f"{what}={key} is no key of the recorded configs{remedy}")
        return (key, config[key]) if key is not None else setting(config, what)

    used = {what: told(what) for what in SETTINGS}
    named = used["strategy"] or next(
        ((k, v) for k, v in config.items() if re.search(r"sched\w*\.(name|type)$", k)), None
    )
    lr = _number(used["lr"])
    if lr is None and "lr" in found.history:
        logged = found.history["lr"].replace(np.inf, np.nan).max()
        lr = float(f"{logged:.6g}") if logged == logged else None
    seed = used["seed"][1] if used["seed"] else None
    keys = {item[0] for item in (*used.values(), named) if item is not None}
    rest = {k: v for k, v in config.items() if k not in (*keys, *choices.ignore)}
    name = plain_text(named[1] if named else "", 80)
    total, epochs, batch = (_whole(used[k]) for k in ("total", "epochs", "batch"))
    length = f"{total} steps" if total else f"{epochs} epochs" if epochs else None
    trainer = {"length": length, "batch_size": batch}
    return {
        "seed": seed if isinstance(seed, int) and seed >= 0 else None,
        "optimizer": {} if lr is None else {"lr": lr},
        "scheduler": {"name": name} | _nested(rest, "scheduler"),
        "trainer": {key: value for key, value in trainer.items() if value is not None},
        "imported": _nested(rest, "rest"),
    }


def _nested(rest: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The settings of one kind, each under its last name, or its whole one where these clash."""
    own = {key: value for key, value in rest.items() if role(key) == kind}
    short = Counter(key.rpartition(".")[2] for key in own)
    return {
        (key.rpartition(".")[2] if short[key.rpartition(".")[2]] == 1 else key.replace(".", "_")): (
            plain_text(value) if isinstance(value, str) else value
        )
        for key, value in own.items()
    }


def _imported(
    raw: RawRun, found: Curves, settings: dict[str, Any], config: Mapping[str, Any],
    reading: Reading, choices: Choices,
) -> Imported:  # fmt: skip
    """The run's files: its values are the last ones, its best the best evaluation."""
    history, notes = found.history, list(found.notes)
    primary = reading.measures[0]
    values: dict[str, Any] = dict(found.test)
    status = COMPLETED
    for measure in reading.measures:
        for split in ("train", "val"):
            logged = history.get(f"{split}_{measure.name}", pd.Series(dtype=float)).dropna()
            if len(logged) and np.isfinite(logged.iloc[-1]):
                values[f"{split}_{measure.name}"] = float(logged.iloc[-1])
            elif len(logged) and measure in (primary, *reading.measures[:1]):
                status = DIVERGED
    history = history.replace([np.inf, -np.inf], np.nan)
    logged = history.get(f"val_{primary.name}", pd.Series(dtype=float)).dropna()
    if len(logged):
        best = logged.idxmax() if primary.higher_is_better else logged.idxmin()
        values[f"best_val_{primary.name}"] = float(logged[best])
        values["best_val_step"] = int(history["step"][best])
    steps = int(history["step"].max()) if len(history) else 0
    total = _whole(setting(config, "total")) if found.axis == "updates" else None
    if status == COMPLETED and (raw.ended is False or (total and steps < CUT * total)):
        status = STOPPED
    planned = f" of {total:,}" if total else ""
    if status == STOPPED:
        notes.append(f"it stopped at update {steps:,}{planned} and is not compared")
    if status == COMPLETED and not any(not k.startswith(("train_", "best_val_s")) for k in values):
        status = STOPPED
        notes.append(f"it has no {primary.label} of validation or test, and is not compared")
    lrs = [c for c in history if str(c).startswith("lr/")]
    if "lr" not in history and lrs:
        history.insert(1, "lr", history[lrs[0]])
    result = {
        "format": FORMAT,
        "status": status,
        "reason": f"stopped at update {steps:,}{planned}" if status == STOPPED else None,
        "strategy": settings["scheduler"]["name"],
        "seed": settings["seed"],
        "steps": steps,
        "measures": {m.name: m.as_json() for m in reading.measures},
        **values,
        "paired": choices.paired,
        "imported": raw.tool,
        "axis": found.axis,
    }
    return Imported(
        name=raw.name,
        tool=raw.tool,
        history=history,
        config=settings,
        result={k: v for k, v in result.items() if v is not None},
        notes=tuple(notes),
    )
