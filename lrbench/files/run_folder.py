"""The run folder: the names of its files, whose it is, and whether its run is done, cut or new."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lrbench.config import GROUPS, PARTS, flatten
from lrbench.config.plain_yaml import parse_scalar
from lrbench.files import weights
from lrbench.files.atomic import SCRATCH, atomic_write, remove_scratch
from lrbench.files.checksum import check_object, check_text, sealed_object, sealed_text
from lrbench.files.reading import parse_yaml, read_bytes

log = logging.getLogger(__name__)

HIDDEN = ".hydra"
CONFIG = f"{HIDDEN}/config.yaml"  # resolved: plain data
CHOICES = f"{HIDDEN}/hydra.yaml"  # Hydra's own config, of which only the choices' names are read
OVERRIDES = f"{HIDDEN}/overrides.yaml"
CHECKPOINT = "checkpoint.pt"
BEST = "best.pt"  # the weights of the best evaluation, where they are kept
RESULT = "result.json"
HISTORY = "history.csv"
LOG = "lrbench.log"
EVENTS = "events.out.tfevents."  # what the names of TensorBoard's files begin with
STUDY = "study.json"  # in a study's folder: where its runs on fresh seeds are, under "final"
SWEEP = "multirun.yaml"  # in a sweep's folder, which Hydra writes as it begins
KEPT = "kept"  # in a run's folder: its states at the updates that it was told to keep
SHARED = ".shared"  # in a sweep's folder while it runs: states that runs leave for others
# Keys that only steer the command, and what follows its runs.
STEERING = ("resume", "resume_policy", "rerun", "share", "keep_at", "dry_run", "tracker")

# Keys that say where a run is made and how often it saves, not what it is: they are recorded, and
# a run stays the same run when they change.
PLACES = (
    "dataset.cache",
    "dataset.download",
    "dataset.path",
    "dataset.root",
    "model.weights",  # the file's content counts, as model.weights_digest
    "trainer.checkpoint_interval_seconds",
    "trainer.device",
    "trainer.num_threads",
)

# What a config says of a run whose training loop is the user's.
PROGRAM_PARTS = ("loop", "scheduler", "optimizer", "trainer")

_RESOLVER = re.compile(r"\$\{[\w.]+:.*\}")
_ELSEWHERE = "choose another folder with hydra.run.dir=... (sweep: hydra.sweep.dir=...)"


class FolderError(ValueError):
    """A run folder that this run must not touch, and why."""


def plain_config(cfg: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """What a config says of a run: resolved, without `STEERING` and Hydra's own node.

    Of a run whose training loop is the user's, only what that loop is told of the run counts.

    A value that comes whole from a resolver, such as ``${oc.env:SEED}``, is a text that may spell
    a number: it is that number. A file of weights is named with its digest, by which it counts.

    Raises:
        ConfigError: the file of weights cannot be read.
    """
    content: Any = cfg
    if isinstance(cfg, DictConfig):
        shown = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        written = OmegaConf.to_container(shown, resolve=False)
        content = _decoded(written, OmegaConf.to_container(shown, resolve=True))
    skipped = (*STEERING, "hydra")
    found = {str(key): value for key, value in content.items() if key not in skipped}
    if found.get("loop") is not None:
        found = {key: found[key] for key in (*PROGRAM_PARTS, "seed")}
        for group, key in (("optimizer", "lr"), ("trainer", "length")):
            found[group] = {key: found[group][key]}
        return found
    found.pop("loop", None)  # lrbench's own
    model = found.get("model")
    if isinstance(model, Mapping) and weights.is_weights_file(model.get("weights")):
        own = model.get("weights_digest") or weights.digest(model["weights"])
        found["model"] = {**model, "weights_digest": own}
    return found


def _decoded(written: Any, resolved: Any) -> Any:
    if isinstance(written, dict) and isinstance(resolved, dict):
        return {key: _decoded(written.get(key), value) for key, value in resolved.items()}
    if isinstance(written, list) and isinstance(resolved, list):
        return [_decoded(w, r) for w, r in zip(written, resolved, strict=True)]
    alone = isinstance(written, str) and _RESOLVER.fullmatch(written)
    return parse_scalar(resolved) if alone and isinstance(resolved, str) else resolved


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without `PLACES`: two runs with equal identities are the same run."""
    return {
        group: {key: v for key, v in node.items() if f"{group}.{key}" not in PLACES}
        if isinstance(node, Mapping)
        else node
        for group, node in config.items()
    }


def fingerprint(config: Mapping[str, Any]) -> str:
    """A hash that two configs share exactly if their identities are equal."""
    content = json.dumps(identity(config), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def check_ours(folder: Path) -> None:
    """Refuse a folder with files that are nobody's run, and links in place of a run's files.

    Raises:
        FolderError: it is one; nothing in it was touched.
    """
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        ours = name in (HIDDEN, LOG, RESULT, CHECKPOINT, BEST, HISTORY, SWEEP) or name.startswith(
            EVENTS
        )
        if ours and (folder / name).is_symlink():
            raise FolderError(f"{folder / name} is a link, and lrbench writes through none")
    scratch = re.compile(rf"\..*\.\d+{re.escape(SCRATCH)}")
    others = [n for n in names if n not in (HIDDEN, LOG) and not scratch.fullmatch(n)]
    if others and not (folder / CONFIG).is_file():
        raise FolderError(f"{folder} holds {others[0]} and no run of lrbench: {_ELSEWHERE}")


def lock(folder: Path, *, wait: bool = False) -> int:
    """Claim `folder` for this process; returns the handle that holds it until the process ends.

    The lock is the kernel's, on the folder itself: it leaves no file and dies with the process.

    Args:
        wait: until whoever has it lets go: a sweep that is repeated may meet a worker that has
            outlived the one before.

    Raises:
        FolderError: another process has it, and `wait` is false.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            os.close(handle)
            raise FolderError(
                f"{folder} is in use by another process: wait for it to end, or {_ELSEWHERE}"
            ) from None
        log.warning("%s is in use by another process: waiting for it to end", folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        why = error.strerror
        log.warning("%s cannot be locked (%s): nothing keeps another process out", folder, why)
    return handle


def clear(folder: Path) -> None:
    """Delete what a killed process has left half-written; who calls holds the lock."""
    for path in (folder, folder / ".hydra"):
        remove_scratch(path)


def finished(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of the run in `folder`, or None where it is not finished.

    Raises:
        FolderError: the folder belongs to another config, or its files are not lrbench's as it
            wrote them.
    """
    if (folder / CONFIG).exists():
        differences = diff(read_config(folder), config)
        if differences:
            raise FolderError(
                f"{folder} holds a run of another config ({differences}): {_ELSEWHERE}"
            )
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result = read_result(folder)
    except ValueError as error:
        raise FolderError(f"{path} is damaged or no result ({error}): {_ELSEWHERE}") from error
    recorded_print = result.get("fingerprint")
    if recorded_print != fingerprint(config):
        raise FolderError(
            f"{path} is the result of another config (fingerprint {recorded_print}, "
            f"now {fingerprint(config)}): {_ELSEWHERE}"
        )
    return result


def read_config(folder: Path) -> dict[str, Any]:
    """The config of the run in `folder`: plain data, without `STEERING`.

    Raises:
        FileNotFoundError: there is none.
        FolderError: it is not what lrbench wrote.
    """
    config = _read_yaml(folder, CONFIG)
    parts = PROGRAM_PARTS if config.get("loop") else PARTS
    missing = [key for key in (*parts, "seed") if key not in config]
    if missing:
        raise _damaged(folder, CONFIG, f"it has no {missing[0]}")
    keys = {key: value for key, value in config.items() if key not in STEERING}
    for key, value in flatten(keys).items():
        if isinstance(value, str) and "${" in value:
            raise _damaged(folder, CONFIG, f"{key}={value}, where a value must stand")
    return keys


def read_choices(folder: Path) -> dict[str, str]:
    """The names of what was chosen for the run in `folder`, such as its scheduler's.

    Nothing else is read of what Hydra left there.

    Raises:
        FolderError: a name is none, or the file is damaged.
    """
    node: Any = _read_yaml(folder, CHOICES)
    for key in ("hydra", "runtime", "choices"):
        node = node.get(key) if isinstance(node, dict) else None
    names = node if isinstance(node, dict) else {}
    for key, value in names.items():
        for text in (key, "" if value is None else value):
            if not isinstance(text, str) or not re.fullmatch(r"[\w./@+ -]*", text):
                raise _damaged(folder, CHOICES, f"{text!r} is no name of a choice")
    return {key: value for key, value in names.items() if value is not None}


def recorded_overrides(folder: Path) -> list[str]:
    """What the command that began the run in `folder` said of the run's parts, and nothing else.

    Raises:
        FolderError: the file is damaged.
    """
    try:
        words = _read_sealed(folder, OVERRIDES)
    except FileNotFoundError:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _damaged(folder, OVERRIDES, "not a list of texts")
    known = "|".join((*GROUPS, "seed"))
    own = re.compile(rf"[+~]*({known})(\.[\w.]+)?(@({known})\.[\w.]+)?(=.*)?", re.DOTALL)
    return [word for word in words if own.fullmatch(word)]


def _read_sealed(folder: Path, name: str) -> Any:
    """What the YAML file `name` says, as its checksum is right."""
    try:
        text = read_bytes(folder / name).decode()
        check_text(text)
        return parse_yaml(text)
    except ValueError as error:
        raise _damaged(folder, name, " ".join(str(error).split())) from error


def _read_yaml(folder: Path, name: str) -> dict[str, Any]:
    content = _read_sealed(folder, name)
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and "." not in key for key in content
    ):
        raise _damaged(folder, name, "it is no mapping of names")
    return content


def _damaged(folder: Path, name: str, reason: str) -> FolderError:
    return FolderError(
        f"{folder / name} is damaged or not lrbench's ({reason}): {_ELSEWHERE}, or restore it"
    )


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs between two runs, as ``key: old → new, ...``; empty where nothing does."""
    before, after = flatten(identity(old)), flatten(identity(new))
    return ", ".join(
        f"{key}: {before.get(key, 'unset')} → {after.get(key, 'unset')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, ...) != after.get(key, ...)
    )


def write_config(folder: Path, cfg: Mapping[str, Any] | DictConfig, hydra: DictConfig) -> None:
    """Write `.hydra/`: the config resolved, and once what Hydra itself would leave there.

    lrbench does it in Hydra's stead, which overwrites these files before anything can be refused.
    """
    hidden = folder / HIDDEN
    hidden.mkdir(exist_ok=True)
    try:
        if not (folder / CHOICES).exists():
            write_yaml(folder / CHOICES, OmegaConf.create({"hydra": hydra}))
            write_yaml(folder / OVERRIDES, hydra.overrides.task)
        write_yaml(folder / CONFIG, OmegaConf.create(plain_config(cfg)))
    except OSError:  # a full disk: what is begun here is not worth keeping
        if not (folder / CHECKPOINT).exists():
            shutil.rmtree(hidden, ignore_errors=True)
        raise


def write_yaml(path: Path, node: Any) -> None:
    """Write the config `node`, its interpolations unresolved, and its checksum as a comment."""
    with atomic_write(path) as file:
        file.write(sealed_text(OmegaConf.to_yaml(node, resolve=False)).encode())


def read_result(folder: Path) -> dict[str, Any]:
    """The content of result.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is damaged, and how.
    """
    try:
        result = json.loads(read_bytes(folder / RESULT))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(result, dict):
        raise ValueError("not an object")
    check_object(result)
    return result


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write result.json, whole; its presence says that the run is done. NaN becomes null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in result.items()
    }
    with atomic_write(folder / RESULT) as file:
        file.write(json.dumps(sealed_object(finite), indent=2, allow_nan=False).encode() + b"\n")


def start_over(folder: Path) -> None:
    """Forget the run's result and checkpoint, so that it is trained from the start."""
    for name in (
        BEST,
        CHECKPOINT,
        RESULT,
    ):  # so that a kill in between leaves a result to start over
        (folder / name).unlink(missing_ok=True)


def last_error(folder: Path) -> str | None:
    """The error that the run's log ends with, or None where it ends otherwise or is missing."""
    try:
        with (folder / LOG).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 20_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if line.startswith("["):  # "[time] LEVEL message"; a traceback's lines follow it
            _, mark, message = line.partition("] ERROR ")
            return message if mark else None
    return None


def sweep_away(folder: Path) -> None:
    """Remove what a refused run or sweep left: nothing, or one file; never a folder with more."""
    with suppress(OSError, FolderError):
        os.close(lock(folder))  # another process may just have begun there
        names = [path.name for path in folder.iterdir()]
        if names in ([LOG], [SWEEP]):
            (folder / names[0]).unlink()
        folder.rmdir()
