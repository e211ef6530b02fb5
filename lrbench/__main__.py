"""``python -m lrbench``: compose the config, build the parts, train."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from lrbench import command_line, display, hydra_loader, run_folder, sweep, trust
from lrbench.config import CONF, ConfigError
from lrbench.resume_policy import resume
from lrbench.run import DivergedRun, follow, run
from lrbench.signals import Stopped, unwind_on_sigterm
from lrbench.trainer import distributed

log = logging.getLogger(__name__)
_full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"

MISTAKES = (*command_line.MISTAKES, DivergedRun)


def job(cfg: DictConfig) -> float | None:
    """Train one run in the folder that Hydra made for it; its last validation loss."""
    distributed.adopt_submitit_tasks()
    if distributed.rank() > 0:
        follow()
        return None
    try:
        return _lead(cfg)
    finally:
        distributed.lead(None)


def _lead(cfg: DictConfig) -> float | None:
    hydra_config: Any = HydraConfig.get()
    in_sweep = hydra_config.mode is RunMode.MULTIRUN
    folder = Path(hydra_config.runtime.output_dir)
    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    logging.raiseExceptions = False  # a log that cannot be written is no reason to stop
    if in_sweep:
        sweep.follow_launcher()
        display.quiet()
    try:
        if cfg.resume is None and cfg.resume_policy is not None:
            raise ConfigError(
                f"resume_policy={cfg.resume_policy} needs a run to go on with: resume=FOLDER"
            )
        if cfg.resume is not None:
            asked = cfg if command_line.changes_on_resume(hydra_config.overrides.task) else None
            cfg = resume(folder, asked, cfg.resume_policy)
            hydra_config = run_folder.recorded(folder, "hydra").hydra
        result = run(cfg, folder, hydra_config, rerun=cfg.get("rerun"), in_sweep=in_sweep)
        return cast("float | None", result["val_loss"])
    except DivergedRun as error:
        if in_sweep:  # a result like any other
            log.info(str(error))
            return None
        raise _told(error) from error
    except MISTAKES as error:
        if in_sweep:
            return _failed(folder, cfg, command_line.explain(error))
        run_folder.sweep_away(folder)
        raise _told(error) from error
    except Exception as error:
        if in_sweep:
            return _failed(folder, cfg, f"{type(error).__name__}: {command_line.explain(error)}")
        raise


def _failed(folder: Path, cfg: DictConfig, reason: str) -> float | None:
    """Leave a sweep's failed job to its folder, for the report, and let the others go on."""
    log.error(reason, exc_info=True)  # the log's last line tells why
    with suppress(OSError):  # a full disk, or the folder is gone: the others may still go on
        if run_folder.last_error(folder) is None:  # logging was configured away
            with (folder / run_folder.LOG).open("a") as file:
                file.write(f"[{time.strftime('%F %T')}] ERROR {reason}\n")
        if not (folder / ".hydra").exists():
            run_folder.write_config(folder, cfg, HydraConfig.get())  # type: ignore[arg-type]
    if run_folder.last_error(folder) != reason:  # then the console must tell
        display.say(f"{folder}  failed  {reason}", "bold yellow")
    return None


def _told(error: BaseException) -> BaseException:
    """What ends the process with one line, or with the traceback where that is asked for."""
    return error if _full_error else SystemExit(f"lrbench: {command_line.explain(error)}")


task = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)


def main() -> None:
    """Run Hydra; a mistake is one line on stderr and exit code 1, HYDRA_FULL_ERROR=1 shows all."""
    if distributed.rank() > 0:
        with suppress(ValueError):  # which process 0 tells
            trust.take(sys.argv[1:])
        follow()
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # make Hydra hand exceptions on instead of printing them
    if distributed.num_processes() == 1:  # else unwinding would wait for the others
        unwind_on_sigterm()
    try:
        try:
            sys.argv[1:] = command_line.prepare(sys.argv[1:])
            with hydra_loader.installed():
                task()
        finally:
            distributed.lead(None)  # where it came to no run
            # Not when interrupted: the same command will go on with the sweep, and conclude it.
            interrupted = isinstance(sys.exception(), KeyboardInterrupt | Stopped)
            incomplete = 0 if interrupted else sweep.conclude()
    except (KeyboardInterrupt, Stopped) as stop:
        sweep.abandon()
        sys.exit(stop.code if isinstance(stop, Stopped) else 130)
    except MISTAKES as error:
        raise _told(error) from error
    if incomplete:
        sys.exit(f"lrbench: {incomplete} of the sweep's runs did not complete")


if __name__ == "__main__":
    main()
