"""Runs whose training loop is the user's: a function or a command, which calls `lrbench.start`."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lrbench.cli.mistakes import Failure
from lrbench.config import ConfigError, build, duration, locate
from lrbench.config.checks import require
from lrbench.files import run_folder
from lrbench.run.parts import build_part, checked_seed
from lrbench.run.process import VARIABLE
from lrbench.run.started_run import PACE, PROBE, Diverged, Probed

log = logging.getLogger(__name__)

OUTPUT = "program.log"  # what a sweep's command prints


@dataclass(frozen=True, kw_only=True)
class FunctionLoop:
    """A function that trains the run: called without arguments, in lrbench's process."""

    target: str  # package.module.function
    config: Mapping[str, Any]  # the user's own settings, which `run.config` hands on

    def train(self, folder: Path, *, in_sweep: bool) -> None:
        """Train the run in `folder`.

        Raises:
            Failure: the function raised something; the log has the traceback.
        """
        del in_sweep
        function = locate(self.target, "loop.target")
        try:
            with _assigned(folder):
                function()
        except (Diverged, Probed):
            pass  # the run's folder says so
        except Exception as error:
            log.exception("loop.target=%s failed", self.target)
            reason = " ".join(str(error).split())
            raise Failure(f"loop.target={self.target}: {type(error).__name__}: {reason}") from error


@dataclass(frozen=True, kw_only=True)
class CommandLoop:
    """A command that trains the run, in a process of its own; no shell reads its line."""

    line: str  # such as: python train.py
    config: Mapping[str, Any]

    def __post_init__(self) -> None:
        try:
            words = shlex.split(self.line)
        except ValueError as error:
            raise ValueError(f"line={self.line} cannot be split into words: {error}") from None
        require(bool(words), "line", self.line, "must name a program")

    def train(self, folder: Path, *, in_sweep: bool) -> None:
        """Train the run in `folder`; in a sweep, what it prints goes to a file there.

        Raises:
            Failure: there is no such program, or it ended with another exit code than 0 and wrote
                no result.
        """
        with _assigned(folder), (folder / OUTPUT if in_sweep else Path(os.devnull)).open("wb") as f:
            try:
                process = subprocess.Popen(
                    shlex.split(self.line),
                    stdout=f if in_sweep else None,
                    stderr=subprocess.STDOUT if in_sweep else None,
                )
            except OSError as error:
                raise Failure(
                    f"loop.line={self.line} cannot be started ({error.strerror}): name a program, "
                    "such as python train.py"
                ) from error
            try:
                code = process.wait()
            except BaseException:  # Ctrl-C reaches both; SIGTERM only this process
                process.terminate()
                process.wait()
                raise
        if code and not (folder / run_folder.RESULT).exists():
            where = f"; its output is in {folder / OUTPUT}" if in_sweep else ""
            raise Failure(f"loop.line={self.line} ended with exit code {code}{where}")


def run_program(
    cfg: DictConfig, folder: Path, hydra: DictConfig, *, rerun: str | None, in_sweep: bool
) -> dict[str, Any]:
    """Have the user's loop train what `cfg` describes in `folder`; the content of result.json.

    The caller holds the folder's lock.

    Raises:
        ValueError: the run cannot be made; one line with the remedy.
        Failure: the loop failed, or ended without a result.
    """
    config = run_folder.plain_config(cfg)
    loop = build(config["loop"], "loop", (FunctionLoop, CommandLoop))
    _check(config, loop, hydra.overrides.task)
    run_folder.check_ours(folder)
    result = run_folder.finished(folder, config)
    run_folder.clear(folder)
    if result is not None and not (rerun == "failed" and result["status"] != "completed"):
        log.info("already done: %s (%s)", folder, result["status"])
        return result
    if result is not None:
        run_folder.start_over(folder)
    run_folder.write_config(folder, cfg, hydra)
    named = getattr(loop, "target", None) or getattr(loop, "line", "")
    lr, length = config["optimizer"]["lr"], config["trainer"]["length"]
    log.info("%s by %s: peak lr %g, %s", hydra.runtime.choices.scheduler, named, lr, length)
    log.info("  folder     %s", folder)
    loop.train(folder, in_sweep=in_sweep)
    try:
        result = run_folder.read_result(folder)
    except FileNotFoundError:
        raise Failure(
            f"{named} has ended without a result: it must call lrbench.start() and run.finish()"
        ) from None
    log.info("done: %s after %d updates, in %s", result["status"], result["steps"], folder)
    return result


def time_program(cfg: DictConfig, hydra: DictConfig, seconds: float) -> tuple[float, float]:
    """Seconds of an update, and of all around training, of the user's loop that `cfg` describes.

    It trains for about as many `seconds`, in a folder that is removed again.

    Raises:
        ValueError: the run cannot be made.
        Failure: the loop failed, or recorded too little to be timed.
    """
    config = run_folder.plain_config(cfg)
    loop = build(config["loop"], "loop", (FunctionLoop, CommandLoop))
    _check(config, loop, hydra.overrides.task)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_folder.write_config(folder, cfg, hydra)
        os.environ[PROBE] = str(seconds)
        try:
            loop.train(folder, in_sweep=True)
            update = float((folder / PACE).read_text())
        except FileNotFoundError:
            raise Failure(
                "the loop cannot be timed: it must call run.log or run.evaluate twice or more"
            ) from None
        finally:
            del os.environ[PROBE]
    around = time.perf_counter() - began - seconds
    return update, around if around > 0 else 0.0


def assignment(folder: Path) -> dict[str, Any]:
    """What `lrbench.start` must know of the run in `folder`, for which lrbench started the program.

    Raises:
        FolderError: the folder's files are not lrbench's.
    """
    config = run_folder.read_config(folder)
    length = config["trainer"]["length"]
    amount, unit = duration.parse(length)
    in_steps = unit == "steps"
    return {
        "folder": folder,
        "strategy": run_folder.read_choices(folder)["scheduler"],
        "schedule": build_part(config, "scheduler"),
        "seed": config["seed"],
        "lr": config["optimizer"]["lr"],
        "total_steps": int(amount) if in_steps else None,
        "length": length,
        "config": config["loop"]["config"],
        "fingerprint": run_folder.fingerprint(config),
    }


def _check(config: Mapping[str, Any], loop: Any, words: Sequence[str]) -> None:
    """Refuse what no program could be told, and a command that the user did not write."""
    checked_seed(config.get("seed"))
    build_part(config, "scheduler")
    lr, length = config["optimizer"]["lr"], config["trainer"]["length"]
    if type(lr) is not float or not 0 < lr < float("inf"):
        raise ConfigError(f"optimizer.lr={lr} must be the run's peak lr: write optimizer.lr=0.001")
    if length is None:
        raise ConfigError("trainer.length has no value: write trainer.length='2000 steps'")
    try:
        _, unit = duration.parse(length)
    except ValueError as error:
        raise ConfigError(f"trainer.length={length}: {error}") from None
    if unit == "%":
        raise ConfigError(f"trainer.length={length} must be in steps or epochs: 2000 steps")
    given = any(word.lstrip("+").startswith("loop.line=") for word in words)
    if isinstance(loop, CommandLoop) and not given:
        raise ConfigError(
            f"loop.line={loop.line} stands in a file, and a command counts on the command line "
            "alone: write loop.line=... there"
        )


@contextmanager
def _assigned(folder: Path) -> Iterator[None]:
    """Let `lrbench.start`, here and in processes started here, be told of the run in `folder`."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
