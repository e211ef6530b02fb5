"""Where a study's runs are made: each phase one multirun on the launcher of the composed config."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from lrbench.cli.sweep_folders import quoted
from lrbench.cli.wording import counted
from lrbench.files import run_folder
from lrbench.files.result import RunResult, read_result
from lrbench.record.display import say
from lrbench.run import shared, sweep
from lrbench.run.job import MISTAKES, job
from lrbench.study.composed import StudyConfig
from lrbench.study.protocol import StudyError
from lrbench.study.records import Point

log = logging.getLogger(__name__)


class Launcher:
    """Makes runs and knows their results.

    Attributes:
        results: result.json of every run that was asked for and has one.
        missing: run folders that were asked for and did not end in a result, and why.
        cfg: the launcher's config.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.results: dict[Path, RunResult] = {}
        self.missing: dict[Path, str] = {}
        self.cfg = _launcher_config(config)  # now, so that a mistake in it is told at once
        self._launched = 0

    def run(self, points: Sequence[Point], title: str) -> None:
        """Make the runs of `points` that have no result yet, all in one multirun.

        Raises:
            StudyError: the launcher stopped, or no run of `points` has a result.
            FolderError: a run folder holds a run of another config.
        """
        points = list({point.folder: point for point in points}.values())
        new = [point for point in points if not self.known(point)]
        if not points:
            return
        done = len(points) - len(new)
        say(
            f"{title}: {counted(len(points), 'run')}"
            + (f", {done} of them done already" if done else "")
        )
        if new:
            self._launch(points, new, title)
        if not any(point.folder in self.results for point in points):
            first = next(self.missing[p.folder] for p in points if p.folder in self.missing)
            raise StudyError(f"{title}: every run failed, the first one with: {first}")

    def known(self, point: Point) -> bool:
        """Whether the run of `point` is done, or was tried in this process.

        Raises:
            FolderError: its folder holds a run of another config, or a damaged one.
        """
        if point.folder in self.results or point.folder in self.missing:
            return True
        if not (point.folder / run_folder.RESULT).exists():
            return False
        self.results[point.folder] = self._read(point)
        return True

    def _read(self, point: Point) -> RunResult:
        """The result of the run of `point`.

        Raises:
            FolderError: it is damaged, or of another config.
        """
        path, config = point.folder / run_folder.RESULT, self.config.run_config(point)
        try:
            result, _ = read_result(path)
        except ValueError as error:
            raise run_folder.FolderError(f"{path} cannot be used: {error}") from error
        if result.fingerprint != run_folder.fingerprint(config):
            run_folder.finished(point.folder, config)  # which says what differs
            raise run_folder.FolderError(f"{path} is the result of another config")
        return result

    def _launch(self, points: Sequence[Point], new: Sequence[Point], title: str) -> None:
        cfg = self.cfg
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        callbacks = Callbacks(cfg)
        callbacks.on_multirun_start(config=cfg, config_name="config")
        context = HydraContext(config_loader=hydra.config_loader, callbacks=callbacks)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=job, config=cfg
        )
        jobs = [
            [*self.config.words(point), f"hydra.sweep.subdir={quoted(self._below(point.folder))}"]
            for point in new
        ]
        watched = sweep.Sweep(
            self.config.folder,
            len(points),
            title=title,
            runs=[p.folder for p in points],
            brief=True,
        )
        watched.start()
        try:
            with suppress(OSError):  # the runs go without it
                shared.prepare(self.config.folder, self.to_share(new))
            launcher.launch(jobs, initial_job_idx=self._launched)
        except MISTAKES:
            raise
        except Exception as error:
            what = " ".join(str(error).split())[:300]
            raise StudyError(
                f"the launcher stopped ({type(error).__name__}: {what}); the same command continues"
            ) from error
        finally:
            watched.finish()
        shared.remove(self.config.folder)
        self._launched += len(new)
        callbacks.on_multirun_end(config=cfg, config_name="config")
        for point in new:
            self._collect(point)

    def to_share(self, new: Sequence[Point]) -> list[shared.Job]:
        """The runs of `new`, which may train once what they have in common; none if they must not.

        Raises:
            ConfigError: whether they may is neither true nor false.
        """
        sweep.check_steering(self.cfg)
        if not self.cfg.share or self.cfg.get("loop") is not None:
            return []
        return [(self._below(point.folder), self.config.run_config(point)) for point in new]

    def _below(self, folder: Path) -> str:
        return folder.relative_to(self.config.folder).as_posix()

    def _collect(self, point: Point) -> None:
        try:
            self.results[point.folder] = self._read(point)
        except FileNotFoundError:
            error = run_folder.last_error(point.folder) or "it left no result"
            self.missing[point.folder] = error
        except ValueError as error:
            self.missing[point.folder] = str(error)


def _launcher_config(config: StudyConfig) -> DictConfig:
    """What a launcher is set up with: its own settings, and the folder of all jobs."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    words = [
        *config.for_hydra,
        "hydra.mode=MULTIRUN",
        f"hydra.sweep.dir={quoted(str(config.folder))}",
        *config.overrides,
    ]
    cfg = hydra.compose_config("config", words, run_mode=RunMode.MULTIRUN)
    with open_dict(cfg.hydra.callbacks):
        del cfg.hydra.callbacks.watch  # a sweep's progress; the study shows its phases' own
    return cfg
