"""One job of Hydra's: train the run it describes, or leave to its folder why that failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lrbench.cli import mistakes
from lrbench.cli.shell import told
from lrbench.config import ConfigError
from lrbench.files import run_folder
from lrbench.record import display
from lrbench.run import sweep
from lrbench.run.resume import resume
from lrbench.run.run import DivergedRun, follow, run
from lrbench.trainer import distributed

log = logging.getLogger(__name__)


MISTAKES = mistakes.MISTAKES


def job(
    cfg: DictConfig, changes: Sequence[str] = (), config_dir: Path | None = None
) -> float | None:
    """Train one run in the folder that Hydra made for it; its last validation loss.

    Args:
        changes: where a run is resumed, overrides of its recorded config.
        config_dir: a folder with files of the user's own, for the choices in `changes`.
    """
    distributed.adopt_submitit_tasks()
    if distributed.rank() > 0:
        follow()
        return None
    try:
        return _lead(cfg, changes, config_dir)
    finally:
        distributed.lead(None)


def _lead(cfg: DictConfig, changes: Sequence[str], config_dir: Path | None) -> float | None:
    hydra_config: Any = HydraConfig.get()
    in_sweep = hydra_config.mode is RunMode.MULTIRUN
    folder = Path(hydra_config.runtime.output_dir)
    # Not under hydra.job.chdir, where a relative path would not be the user's.
    if not hydra_config.job.chdir and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    logging.raiseExceptions = False  # a log that cannot be written is no reason to stop
    if in_sweep:
        sweep.follow_launcher()
        display.quiet()
    rerun, shared_in = cfg.rerun, None
    try:
        sweep.check_steering(cfg)
        points = sweep.kept_points(cfg.keep_at)
        if in_sweep and cfg.share:
            shared_in = Path(hydra_config.runtime.cwd, hydra_config.sweep.dir)
        elif cfg.dry_run:
            raise ConfigError("dry_run=true is for a sweep: add -m, and what it varies")
        if cfg.resume is None and cfg.resume_policy is not None:
            raise ConfigError(
                f"resume_policy={cfg.resume_policy} needs a run to go on with: resume=FOLDER"
            )
        if cfg.resume is not None:
            run_folder.check_ours(folder)
            config, choices = resume(folder, changes, config_dir, cfg.resume_policy)
            hydra_config = OmegaConf.create(
                {"runtime": {"choices": choices}, "overrides": {"task": list(changes)}}
            )
            cfg = OmegaConf.create({**config, "tracker": cfg.tracker})
        how: dict[str, Any] = {"rerun": rerun, "in_sweep": in_sweep, "shared_in": shared_in}
        how["keep_at"] = points
        result = run(cfg, folder, hydra_config, **how)
        return cast("float | None", result.get("val_loss"))
    except DivergedRun as error:
        if in_sweep:  # a result like any other
            log.info(str(error))
            return None
        raise told(error) from error
    except MISTAKES as error:
        if isinstance(error, OSError) and error.strerror and not error.filename:
            error.filename = str(folder)
        if in_sweep:
            return _failed(folder, cfg, mistakes.explain(error))
        run_folder.sweep_away(folder)
        raise told(error) from error
    except Exception as error:
        if in_sweep:
            return _failed(folder, cfg, f"{type(error).__name__}: {mistakes.explain(error)}")
        raise


def _failed(folder: Path, cfg: DictConfig, reason: str) -> float | None:
    """Leave a sweep's failed job to its folder, for the report, and let the others go on."""
    log.error(reason, exc_info=True)  # the log's last line tells why
    with suppress(*MISTAKES):  # a full disk, or the folder is gone: the others may still go on
        if run_folder.last_error(folder) is None:  # logging was configured away
            with (folder / run_folder.LOG).open("a", encoding="utf-8") as file:
                file.write(f"[{time.strftime('%F %T')}] ERROR {reason}\n")
        (folder / run_folder.LOG).touch()  # the reason is of now, even if it is that of last time
        if not (folder / run_folder.HIDDEN).exists():
            run_folder.write_config(folder, cfg, HydraConfig.get())  # type: ignore[arg-type]
    if run_folder.last_error(folder) != reason:  # then the console must tell
        display.say(f"{folder}  failed  {reason}", "bold yellow")
    return None
