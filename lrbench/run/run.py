"""One run from its config to its result: assemble the parts, train, write down what came out."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from lrbench.cli.mistakes import Failure
from lrbench.config import Call, ConfigError, build, flatten, trust
from lrbench.files import run_folder
from lrbench.files.result import COMPLETED, DIVERGED, FORMAT
from lrbench.model import Model
from lrbench.optimizer import Optimizer
from lrbench.record.trackers import Tracker, opened
from lrbench.run.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from lrbench.run.parts import Parts, build_parts
from lrbench.run.programs import run_program
from lrbench.run.report import environment, header, outcome, summary
from lrbench.run.shared import Branch, keep
from lrbench.run.signals import Stopped, StopRequest
from lrbench.scheduler import Scheduler, lint
from lrbench.task import TaskConfig
from lrbench.trainer import Trainer, distributed

if TYPE_CHECKING:
    import torch

    from lrbench.dataset import Data
    from lrbench.trainer.evaluate import Evaluation
    from lrbench.trainer.loop import Loop

log = logging.getLogger(__name__)

ONE_VALUE = "Expected more than 1 value per channel"  # so torch's BatchNorm begins its complaint


class DivergedRun(Failure):
    """The run's loss left the finite numbers; its result says so."""


def run(
    cfg: DictConfig,
    folder: Path,
    hydra: DictConfig,
    *,
    rerun: str | None = None,
    in_sweep: bool = False,
    shared_in: Path | None = None,
    keep_at: Sequence[str] = (),
) -> dict[str, Any]:
    """Train what `cfg` describes in `folder`, or finish what was begun there.

    Args:
        cfg: the composed config.
        folder: the run folder; it exists.
        hydra: Hydra's own config, for the names of the choices and for `.hydra/`.
        rerun: ``"failed"`` trains a diverged run again, from the start.
        in_sweep: the run is one of a sweep: it shows no progress bar, the sweep has its own, and
            waits where another process still trains it.
        shared_in: the folder of the sweep with whose other runs it may share updates.
        keep_at: durations from the run's start, after which its state is kept.

    Returns:
        The content of result.json.

    Raises:
        ValueError, OSError: the run cannot be made; the message is one line with the remedy, and
            nothing is left behind.
        DivergedRun: after writing the result.
        Stopped: after saving a checkpoint.
    """
    handle = run_folder.lock(folder, wait=in_sweep)
    try:
        return _run(cfg, folder, hydra, rerun, in_sweep, shared_in, keep_at)
    except (MemoryError, RuntimeError) as error:
        reason = _lacks_memory(error)
        if reason is None:
            raise
        raise ConfigError(f"not enough memory for this model and batch: {reason}") from error
    except ValueError as error:
        if ONE_VALUE not in str(error):
            raise
        raise ConfigError(
            f"trainer.batch_size={cfg.trainer.batch_size} in trainer.gradient_accumulation_steps="
            f"{cfg.trainer.gradient_accumulation_steps} parts gives the model one value a channel, "
            "and its BatchNorm needs more: raise the first or lower the second"
        ) from error
    finally:
        os.close(handle)


def _lacks_memory(error: BaseException) -> str | None:
    """What was asked for in vain, if that is what `error` says; torch has no type of its own."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return text or "the machine has no more"
    _, found, reason = text.partition("can't allocate memory: ")
    return reason if found else None


def _run(
    cfg: DictConfig,
    folder: Path,
    hydra: DictConfig,
    rerun: str | None,
    in_sweep: bool,
    shared_in: Path | None,
    keep_at: Sequence[str],
) -> dict[str, Any]:
    config = run_folder.plain_config(cfg)
    if "loop" in config:
        trained = run_program(cfg, folder, hydra, rerun=rerun, in_sweep=in_sweep)
        if trained["status"] == DIVERGED:
            raise DivergedRun(f"diverged: recorded in {folder / run_folder.RESULT}")
        return trained
    parts = build_parts(config)
    tracker = None if cfg.get("tracker") is None else build(cfg.tracker, "tracker", Tracker)
    # Their names are texts of the command line too, which may not resolve.
    OmegaConf.to_container(hydra.runtime.choices, resolve=True)
    if rerun not in (None, "failed"):
        raise ConfigError(f"rerun={rerun} must be null or failed")
    run_folder.check_ours(folder)
    result = run_folder.finished(folder, config)
    run_folder.clear(folder)
    if result is not None and rerun == "failed" and result["status"] == DIVERGED:
        run_folder.start_over(folder)
    elif result is not None:
        digest = parts.dataset.digest()
        if digest is not None:
            _require_same_data(folder, result.get("data", {}), {"digest": digest})
        log.info("already done: %s (%s)", folder, result["status"])
        return result
    distributed.lead({"config": config, "folder": str(folder.absolute())})
    # A run that began with another one's state would lack those that it is told to keep.
    branch = None if shared_in is None or keep_at else Branch(shared_in, config)
    # torch takes seconds to import: not before everything that can be checked without it.
    try:
        with _assembled(parts, folder, config) as (loop, checkpoint):
            if branch is not None:
                branch.join(loop, checkpoint)
            if keep_at:
                keep(loop, keep_at, folder, config, checkpoint)
            return _train(loop, checkpoint, parts, cfg, folder, hydra, tracker, in_sweep, branch)
    except distributed.ProcessLost as error:
        saved = (folder / run_folder.CHECKPOINT).exists()
        again = shlex.join([f"resume={folder}", *trust.words()])
        remedy = f"; go on with {again}" if saved else ""
        raise distributed.ProcessLost(f"{error}{remedy}") from error
    finally:
        if branch is not None:
            branch.close(done=(folder / run_folder.RESULT).exists())


@contextmanager
def _assembled(
    parts: Parts | None, folder: Path, config: Mapping[str, Any]
) -> Iterator[tuple[Loop, dict[str, Any] | None]]:
    """The loop, as its checkpoint left it, and that; all processes are connected meanwhile.

    Args:
        parts: None builds them from `config`.
    """
    from lrbench.trainer import hardware

    with distributed.together():
        seed, settings, scheduler, dataset, optimizer, model, task = parts or build_parts(config)
        device = hardware.choose_device(settings.device)
        hardware.set_up(settings, device)
    data = distributed.in_turn(lambda: dataset.load(device, channels_last=settings.channels_last))
    with distributed.connected(device):
        with distributed.together():
            loop = assemble(
                model, task, data, scheduler, optimizer, settings, seed=seed, device=device
            )
            path = folder / run_folder.CHECKPOINT
            if distributed.largest(path.exists()) and not path.exists():
                raise FileNotFoundError(
                    f"{path} is not there: the run folder must be on a file system that all nodes "
                    "share"
                )
            checkpoint = _load_checkpoint(folder, config)
            if checkpoint is not None:
                now = loop.data.record(settings.batch_size)
                _require_same_data(folder, checkpoint.get("data", {}), now)
                _restore(loop, checkpoint, folder)
        yield loop, checkpoint


def _require_same_data(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to take the run in `folder` for one on the data that there are now.

    Args:
        before, now: what is known of the data, by `lrbench.dataset.Data.record`.
    """
    known = before.keys() & now.keys()
    differences = run_folder.diff({k: before[k] for k in known}, {k: now[k] for k in known})
    if differences:
        raise run_folder.FolderError(
            f"{folder} holds a run on other data ({differences}): bring them back, or choose "
            "another folder with hydra.run.dir=... (sweep: hydra.sweep.dir=...)"
        )


def _restore(loop: Loop, checkpoint: dict[str, Any], folder: Path) -> None:
    try:
        loop.restore(checkpoint)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{folder / run_folder.CHECKPOINT} is of another run or version of lrbench "
            f"({reason}): start anew in another folder"
        ) from error


def follow() -> None:
    """Take part in the run that process 0 leads; silently, for that one tells all there is."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # waiting for process 0 can be cut short
    logging.disable()
    warnings.simplefilter("ignore")
    job = distributed.follow()
    if job is None:
        return
    from lrbench.record.recorder import SilentRecorder
    from lrbench.trainer.loop import Diverged, Interrupted

    try:
        with (
            _assembled(None, Path(job["folder"]), job["config"]) as (loop, _),
            StopRequest() as stop,
        ):
            try:
                loop.run(
                    recorder=SilentRecorder(),
                    save=lambda _state: None,
                    stop=distributed.agreed(stop),
                )
            except Interrupted:
                distributed.largest(stop.signum or 0)
            except Diverged:
                pass
    except (distributed.Dismissed, distributed.ProcessLost):
        pass


def _train(
    loop: Loop,
    checkpoint: dict[str, Any] | None,
    parts: Parts,
    cfg: DictConfig,
    folder: Path,
    hydra: DictConfig,
    tracker: Tracker | None,
    in_sweep: bool,
    branch: Branch | None,
) -> dict[str, Any]:
    """Train what is assembled, and write down what comes of it."""
    from lrbench.record import hparams
    from lrbench.record.display import Display
    from lrbench.record.recorder import Recorder
    from lrbench.trainer.loop import Diverged, Interrupted

    config = run_folder.plain_config(cfg)
    run_folder.write_config(folder, cfg, hydra)
    choices = hydra.runtime.choices
    for line in header(loop, choices, parts.optimizer.lr, folder):
        log.info(line)
    if checkpoint is None and loop.seconds is None:
        for name, schedule in {"": parts.scheduler, **loop.schedules}.items():
            for warning in lint(schedule, loop.total_steps, loop.steps_per_epoch, loop.eval_every):
                log.warning(f"optimizer.groups.{name}: {warning}" if name else warning)
    identity = {"fingerprint": run_folder.fingerprint(config), "config": config}
    fork, taken = (None, None) if branch is None else (branch.fork, branch.taken)
    if taken is not None:
        log.info(
            "  shared     the first %d updates, trained in %s", taken["updates"], taken["from"]
        )

    def save(state: dict[str, Any]) -> None:
        save_checkpoint(folder / run_folder.CHECKPOINT, {**identity, "shared": taken, **state})

    sinks = [] if tracker is None else opened(tracker, folder, flatten(config), choices)
    test: Evaluation | None = None
    diverged: Diverged | None = None
    with (
        StopRequest() as stop,
        Display(**loop.shown, live=not in_sweep) as display,
        Recorder(
            folder,
            position=checkpoint["files"] if checkpoint else None,
            next_step=loop.state.step + 1,
            measures=loop.measures,
            display=display,
            sinks=sinks,
            groups=loop.lr_names,
        ) as recorder,
    ):
        if checkpoint is None:
            settings_shown = hparams.run_hparams(flatten(config), choices, hydra.overrides.task)
            recorder.add(hparams.session_start(settings_shown, time.time()))
            recorder.add(hparams.layout(loop.measures))
        try:
            agreed = distributed.agreed(stop)
            test = loop.run(recorder=recorder, save=save, stop=agreed, fork=fork)
        except Diverged as error:
            diverged = error
        except Interrupted:
            signum = distributed.largest(stop.signum or 0)
            name = signal.Signals(signum).name
            log.info("%s: stopped after update %d of %d", name, loop.state.step, loop.total_steps)
            again = shlex.join([f"resume={folder}", *trust.words()])
            log.info("resume with: python -m lrbench %s", again)
            raise Stopped(128 + signum) from None
        status = COMPLETED if diverged is None else DIVERGED
        if diverged is None and loop.others.best is not None:
            step, weights = loop.others.best
            save_checkpoint(folder / run_folder.BEST, {"step": step, "model": weights[""]})
        recorder.add(hparams.session_end(status, time.time()))
        recorder.end(status)
        files = recorder.position()
    result = {
        "format": FORMAT,
        "status": status,
        # A run that was made over on the way is no run of the plain strategy.
        "strategy": "+".join([choices.scheduler, *(r["policy"] for r in loop.state.resumes)]),
        "seed": parts.seed,
        "num_parameters": sum(p.numel() for p in loop.model.parameters()),
        **outcome(loop, test),
        "data": loop.data.record(parts.settings.batch_size),
        "paired": True,  # by lrbench's addresses of randomness
        "repeatable": loop.seconds is None,  # bit for bit; by the clock the updates vary
        "diverged_at": None if diverged is None else {"step": diverged.step, "lr": diverged.lr},
        "resumes": loop.state.resumes,
        "shared": taken,
        "environment": {
            **environment(loop.device, config),
            "precision": loop.arithmetic[0],
            "compiled": loop.compiled,
        },
        "fingerprint": identity["fingerprint"],
        "files": files,
    }
    run_folder.write_result(folder, result)
    if diverged is None:
        for line in summary(result, loop.measures, folder):
            log.info(line)
    if stop.signum is not None:  # too late for this run, but a sweep must not go on
        raise Stopped(128 + stop.signum)
    if diverged is not None:
        raise DivergedRun(f"diverged: {diverged}; recorded in {folder / run_folder.RESULT}")
    return result


def assemble(
    model_spec: Model | Call,
    task_config: TaskConfig,
    data: Data,
    scheduler: Scheduler,
    optimizer_spec: Optimizer,
    settings: Trainer,
    *,
    seed: int,
    device: torch.device,
) -> Loop:
    """The loop of a run: its network and optimizer built anew, on `device`.

    Raises:
        ValueError: the parts do not fit each other.
    """
    import torch

    from lrbench.model import build_model
    from lrbench.trainer.loop import Loop

    task = task_config.build(data.examples)
    model = build_model(model_spec, data.shapes(task), seed=seed)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    model = model.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = optimizer_spec.build(model)
    return Loop(
        model,
        task,
        data,
        scheduler,
        optimizer,
        settings,
        seed=seed,
        device=device,
        schedules=optimizer_spec.schedules,
    )


def _load_checkpoint(folder: Path, config: Mapping[str, Any]) -> dict[str, Any] | None:
    path = folder / run_folder.CHECKPOINT
    if not path.exists():
        return None
    checkpoint = load_checkpoint(path)
    differences = run_folder.diff(checkpoint.get("config", {}), config)
    if differences:
        raise run_folder.FolderError(f"{path} is of another config ({differences})")
    return checkpoint
