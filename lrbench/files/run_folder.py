"""The run folder's rules: whose it is, whether its run is done, cut or new, and its result."""

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

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from lrbench.config import flatten
from lrbench.config.plain_yaml import parse_scalar
from lrbench.files.atomic import atomic_write, remove_scratch
from lrbench.files.checksum import SealError, check_object, check_text, sealed_object, sealed_text

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
RESULT = "result.json"
LOG = "lrbench.log"
SWEEP = "multirun.yaml"  # which Hydra writes as a sweep begins
STEERING = ("resume", "resume_policy", "rerun")  # keys that only steer the command


_RESOLVER = re.compile(r"\$\{[\w.]+:.*\}")


class FolderError(ValueError):
    """A run folder that this run must not touch, and why."""


def plain_config(cfg: Mapping[str, Any] | DictConfig) -> dict[str, Any]:
    """What a config says of a run: resolved, without `STEERING` and Hydra's own node.

    A value that comes whole from a resolver, such as ``${oc.env:SEED}``, is a text that may spell
    a number: it is that number.
    """
    content: Any = cfg
    if isinstance(cfg, DictConfig):
        shown = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        written = OmegaConf.to_container(shown, resolve=False)
        content = _decoded(written, OmegaConf.to_container(shown, resolve=True))
    skipped = (*STEERING, "hydra")
    return {str(key): value for key, value in content.items() if key not in skipped}


def _decoded(written: Any, resolved: Any) -> Any:
    if isinstance(written, dict) and isinstance(resolved, dict):
        return {key: _decoded(written.get(key), value) for key, value in resolved.items()}
    if isinstance(written, list) and isinstance(resolved, list):
        return [_decoded(w, r) for w, r in zip(written, resolved, strict=True)]
    alone = isinstance(written, str) and _RESOLVER.fullmatch(written)
    return parse_scalar(resolved) if alone and isinstance(resolved, str) else resolved


def fingerprint(config: Mapping[str, Any]) -> str:
    """A hash that two configs share exactly if they are equal."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


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
                f"{folder} is in use by another process: wait for it to end, or choose another "
                "folder with hydra.run.dir=..."
            ) from None
        log.warning("%s is in use by another process: waiting for it to end", folder)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks: go on without
        pass
    return handle


def clear(folder: Path) -> None:
    """Delete what a killed process has left half-written; who calls holds the lock."""
    for path in (folder, folder / ".hydra"):
        remove_scratch(path)


def finished(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result of the run in `folder`, or None where it is not finished.

    Raises:
        FolderError: the folder belongs to another config, or its files are damaged.
    """
    if (folder / ".hydra" / "config.yaml").exists():
        differences = diff(plain_config(recorded(folder, "config")), config)
        if differences:
            raise FolderError(
                f"{folder} holds a run of another config ({differences}): choose another folder "
                "with hydra.run.dir=... (sweep: hydra.sweep.dir=...)"
            )
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result = read_result(folder)
    except ValueError as error:
        raise FolderError(f"{path} is damaged ({error}): delete {folder}, run again") from error
    recorded_print = result.get("fingerprint")
    if recorded_print != fingerprint(config):
        raise FolderError(
            f"{path} is the result of another config (fingerprint {recorded_print}, "
            f"now {fingerprint(config)}): choose another folder with hydra.run.dir=..."
        )
    return result


def recorded(folder: Path, name: str) -> DictConfig:
    """``.hydra/{name}.yaml`` of the run in `folder`.

    Raises:
        FileNotFoundError: there is none.
        FolderError: it is damaged.
    """
    cfg = _read_yaml(folder, name)
    if not isinstance(cfg, DictConfig) or not cfg:
        raise _damaged(folder, name, "not a mapping")
    return cfg


def recorded_overrides(folder: Path) -> list[str]:
    """What the command that began the run in `folder` said of it.

    Not what a file from someone else could pretend that it said to Hydra.

    Raises:
        FolderError: the file is damaged.
    """
    try:
        words = OmegaConf.to_container(_read_yaml(folder, "overrides"))
    except FileNotFoundError:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise _damaged(folder, "overrides", "not a list of texts")
    return [w for w in words if not w.startswith("-") and not w.lstrip("+~").startswith("hydra")]


def _read_yaml(folder: Path, name: str) -> DictConfig | ListConfig:
    try:
        text = (folder / ".hydra" / f"{name}.yaml").read_text()
        check_text(text)
        return OmegaConf.create(text)
    except (SealError, YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise _damaged(folder, name, " ".join(str(error).split())) from error


def _damaged(folder: Path, name: str, reason: str) -> FolderError:
    path = folder / ".hydra" / f"{name}.yaml"
    return FolderError(f"{path} is damaged ({reason}): delete {folder}, run again")


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What differs between two configs, as ``key: old → new, ...``; empty where nothing does."""
    before, after = flatten(old), flatten(new)
    return ", ".join(
        f"{key}: {before.get(key, 'unset')} → {after.get(key, 'unset')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key, ...) != after.get(key, ...)
    )


def write_config(folder: Path, cfg: DictConfig, hydra: DictConfig) -> None:
    """Write `.hydra/` as Hydra would.

    lrbench does it in Hydra's stead, which overwrites these files before anything can be refused.
    """
    hidden = folder / ".hydra"
    hidden.mkdir(exist_ok=True)
    nodes = {
        "hydra": OmegaConf.create({"hydra": hydra}),
        "overrides": hydra.overrides.task,
        "config": cfg,
    }
    try:
        for name, node in nodes.items():
            write_yaml(hidden / f"{name}.yaml", node)
    except OSError:  # a full disk: what is begun here is not worth keeping
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
        result = json.loads((folder / RESULT).read_text())
    except RecursionError as error:
        raise ValueError(str(error)) from error
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
    for name in (CHECKPOINT, RESULT):  # so that a kill in between leaves a result to start over
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
