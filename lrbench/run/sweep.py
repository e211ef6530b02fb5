"""A sweep seen as a whole: its progress while it runs, and what is told and compared at its end.

It watches run folders alone, so that it is the same for every launcher, wherever the jobs run.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich import get_console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from lrbench.config import ConfigError, sweeps
from lrbench.files import run_folder
from lrbench.files.result import parse_result
from lrbench.record.display import clock, say
from lrbench.run import savings, shared
from lrbench.trainer import distributed

POLL_SECONDS = 0.5
POLL_SHARE = 0.05  # of the time at most: looking through thousands of folders takes a while
LINE_SECONDS = 30.0  # longest silence of a brief watch in a pipe

LAUNCHER = "LRBENCH_LAUNCHER"  # the environment's name for the process that has launched a sweep
SAVING_SECONDS = 30.0  # that a worker without a launcher has to save

current: Sweep | None = None  # the sweep that this process has launched
_follower: threading.Thread | None = None


class Watch(Callback):
    """Hydra's callback: begins to watch when a sweep is launched."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Give a run whose folder is named after the time the first name that is free."""
        written: Any = OmegaConf.to_container(config.hydra.run, resolve=False)
        if "${now:" not in written["dir"]:
            return
        HydraConfig.instance().set_config(config)  # for ${hydra:...} in the name
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.run.dir = str(_claim(Path(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Note the sweep's folder and its number of jobs, and show its progress."""
        distributed.require_one_process("a sweep (-m)")
        global current
        folder = Path(config.hydra.sweep.dir)
        for name in (run_folder.SWEEP, run_folder.SHARED, ".submitit"):
            if (folder / name).is_symlink():  # Hydra and its launchers would write through it
                raise SystemExit(
                    f"lrbench: {folder / name} is a link, and nothing is written there"
                )
        planned = Sweep(folder, number_of_jobs(config))
        sweeps.listener = _planner(config, planned)
        current = planned
        if not config.dry_run:  # which says what is done, and starts nothing
            if planned.done_before:
                say(f"{planned.done_before} runs are done already in {planned.folder}")
            if advice := at_once(config, (planned.num_jobs or 0) - planned.done_before):
                say(advice)
        current.start()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002
        """Plan no more: all jobs of the sweep were composed."""
        sweeps.listener = None

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget the job's configs, which Hydra would keep for each job to the sweep's end."""
        job_return.cfg = job_return.hydra_cfg = None


def at_once(config: DictConfig, num_jobs: int) -> str | None:
    """Which launcher would train several of `num_jobs` runs at once on this machine's cores.

    None where the sweep has another launcher already, may have a GPU, or would have to install one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    number = min(num_jobs, cores or 1)
    device = OmegaConf.select(config, "trainer.device")
    on_cpu = device == "cpu" or (device == "auto" and not Path("/dev/nvidiactl").exists())
    basic = str(config.hydra.launcher._target_).endswith("BasicLauncher")
    if number < 2 or not (on_cpu and basic and find_spec("hydra_plugins.hydra_joblib_launcher")):
        return None
    return f"one run after another: hydra/launcher=joblib trains {number} at once"


def check_steering(cfg: DictConfig) -> None:
    """Check the keys that say how a sweep is made.

    Raises:
        ConfigError: one is neither true nor false.
    """
    for key in ("share", "dry_run"):
        if not isinstance(cfg.get(key), bool):
            raise ConfigError(f"{key}={cfg.get(key)} must be true or false")


def kept_points(text: Any) -> list[str]:
    """The durations that ``keep_at`` names, a list or one alone; none where null.

    Raises:
        ConfigError: it names none.
    """
    if text is None:
        return []
    parts = [text] if isinstance(text, str) else text
    if not isinstance(parts, Sequence) or not all(isinstance(p, str) and p.strip() for p in parts):
        raise ConfigError(f"keep_at={text} must be durations, such as [20%,40%], or null")
    return [part.strip() for part in parts]


def _shares(config: DictConfig) -> bool:
    """Whether the sweep's runs may begin with states of one another."""
    return bool(config.share) and config.keep_at is None


def _planner(config: DictConfig, planned: Sweep) -> Callable[[DictConfig], None] | None:
    """What hears of the jobs that Hydra's own sweeper composes before the first one begins.

    Once it has heard of all, it plans what they share; in a dry run it says so and ends the sweep.

    Raises:
        SystemExit: a key is wrong, or it is the dry run of a sweep whose jobs are not known yet.
    """
    try:
        check_steering(config)
    except ConfigError as error:
        raise SystemExit(f"lrbench: {error}") from error
    if planned.num_jobs is None:
        if config.dry_run:
            sweeper = config.hydra.sweeper._target_
            raise SystemExit(f"lrbench: dry_run=true: {sweeper} chooses its runs as it goes")
        return None
    loader = GlobalHydra.instance().config_loader()
    swept = [key for key, o in sweeps.overrides_of(config, loader).items() if o.is_sweep_override()]
    varied = any(key.startswith(("scheduler", "trainer", "experiment")) for key in swept)
    if not (config.dry_run or (_shares(config) and varied)):
        return None
    jobs: dict[str, dict[str, Any]] = {}

    def listen(job: DictConfig) -> None:
        try:
            place = str(OmegaConf.select(job, "hydra.sweep.subdir"))
            jobs[place] = run_folder.plain_config(job)
        except OmegaConfBaseException:  # a name or a value that only the job itself knows
            sweeps.listener = None
            return
        if len(jobs) == planned.num_jobs:
            sweeps.listener = None
            _plan(planned, list(jobs.items()), config)

    return listen


def _plan(planned: Sweep, jobs: Sequence[shared.Job], config: DictConfig) -> None:
    """Prepare what the runs that are not done share; in a dry run, say it and end the sweep.

    Raises:
        SystemExit: it is a dry run.
    """
    new = savings.undone(planned.folder, jobs)
    if not config.dry_run:
        with suppress(OSError):  # the sweep goes without it
            shared.prepare(planned.folder, new)
        return
    sets = savings.plan(new, share=_shares(config))
    _end()
    for line in savings.describe(planned.folder, sets, len(jobs) - len(new)):
        say(line)
    run_folder.sweep_away(planned.folder)
    raise SystemExit(0)


def _claim(folder: Path) -> Path:
    """Make `folder`, or ``<folder>-2`` where another run has it already, or ``-3``."""
    for number in itertools.count(1):
        free = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            free.mkdir(parents=True)
        except FileExistsError:
            continue
        return free
    raise AssertionError


def follow_launcher() -> None:
    """End this process, as SIGTERM does, when the one that has launched it for the sweep is gone.

    joblib's workers would train on, job after job, unseen. A job that a cluster or submitit minds
    is no child of the launcher's and outlives it.
    """
    global _follower
    parent = os.getppid()
    if _follower is not None or os.environ.get(LAUNCHER) != str(parent):
        return

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(POLL_SECONDS)
        while True:  # the first time a run saves, the second time nothing trains any more
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(SAVING_SECONDS)

    _follower = threading.Thread(target=follow, name="launcher", daemon=True)
    _follower.start()


def number_of_jobs(config: DictConfig) -> int | None:
    """How many different jobs the sweep has; None where only the sweeper knows."""
    if not str(config.hydra.sweeper._target_).endswith("BasicSweeper"):
        return None
    hydra = GlobalHydra.instance()
    loader = hydra.config_loader() if hydra.is_initialized() else None
    overrides = sweeps.overrides_of(config, loader).values()
    swept = [override for override in overrides if override.is_sweep_override()]
    if not all(override.is_discrete_sweep() for override in swept):
        return None  # which this sweeper will refuse
    return math.prod(len({str(value) for value in o.sweep_iterator()}) for o in swept)


def conclude(compare: Callable[[Path], None]) -> int:
    """End the sweep that this process launched, if any: its failures told, its runs compared.

    Args:
        compare: shows the comparison of the runs in a folder.

    Returns:
        How many of its runs did not complete.
    """
    ended = _end()
    if ended is None:
        return 0
    saved = (ended.folder / run_folder.SHARED).is_dir()
    shared.remove(ended.folder)
    run_folder.sweep_away(ended.folder)
    if not ended.folder.exists():  # refused before its first run
        return 0
    failures = ended.failures()
    for name, reason in failures.items():
        say(f"{name}  {reason}", "bold yellow")
    lost = max(0, (ended.num_jobs or 0) - len(ended.outcomes))
    if sys.exception() is not None:  # it stopped half-way, and its reason is told
        lost = 0
    if lost:
        say(f"{lost} of {ended.num_jobs} runs left neither a result nor a reason", "bold yellow")
    if saved:
        _tell_shared(ended)
    compare(ended.folder)
    folder = ended.folder
    if folder.is_absolute() and folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())
    say(f"curves  tensorboard --logdir {shlex.quote(str(folder))}")
    return len(failures) + lost


def _tell_shared(ended: Sweep) -> None:
    """Say how many updates the sweep's runs took over from one another."""
    results = []
    for name in ended.outcomes:
        with suppress(OSError, ValueError):
            results.append(run_folder.read_result(ended.folder / name))
    saved, whole = savings.shared_of(results)
    if saved:
        say(f"{saved:,} of {whole:,} updates were trained once for several runs")


def abandon() -> None:
    """Stop watching a sweep that was interrupted."""
    if _end() is not None:
        say("interrupted: run the same command again to train what is missing", "bold yellow")


def _end() -> Sweep | None:
    """Stop watching; the sweep that was watched."""
    global current
    ended, current = current, None
    if ended is not None:
        ended.finish()
    return ended


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``completed``, ``diverged`` or ``failed``, and a line on it."""

    status: str
    text: str


class Sweep:
    """The runs of one sweep folder.

    Args:
        folder: the sweep folder; need not exist yet.
        num_jobs: runs that will be done at the end, or None.
        title: what the progress is of.
        runs: the run folders to watch, which need not exist yet; None: all in `folder`.
        brief: tell only of runs that failed, and in a pipe how far it is now and then.
    """

    def __init__(
        self,
        folder: Path,
        num_jobs: int | None,
        *,
        title: str = "sweep",
        runs: Iterable[Path] | None = None,
        brief: bool = False,
    ) -> None:
        self.folder = folder
        self.num_jobs = num_jobs
        self._title = title
        self._run_folders = None if runs is None else tuple(runs)
        self._brief = brief
        ended = {name: outcome for name, outcome in self._look() if outcome is not None}
        # A failed run is tried again; a diverged one is a result.
        self.outcomes = {name: o for name, o in ended.items() if o.status != "failed"}
        self.done_before = len(self.outcomes)
        self._began = time.time()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sweep", daemon=True)

    def start(self) -> None:
        """Watch in the background: a live line in a terminal, a line per run in a pipe."""
        os.environ[LAUNCHER] = str(os.getpid())
        self._thread.start()

    def finish(self) -> None:
        """Stop watching, after a last look."""
        self._stop.set()
        self._thread.join()

    def failures(self) -> dict[str, str]:
        """Runs that diverged or failed, and why."""
        return {
            n: f"{o.status}: {o.text}" for n, o in self.outcomes.items() if o.status != "completed"
        }

    def _watch(self) -> None:
        with Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            TextColumn("{task.fields[line]}", table_column=Column(no_wrap=True)),
            disable=not get_console().is_terminal,
            transient=True,
            expand=True,
        ) as bar:
            task = bar.add_task(self._title, total=self.num_jobs, line="")
            stopping = False
            last_line = time.time()
            while True:
                running, began = 0, time.monotonic()
                for name, outcome in self._look(changed_since=self._began):
                    if outcome is None:
                        running += 1
                    elif self.outcomes.get(name) != outcome:
                        self.outcomes[name] = outcome
                        self._tell(name, outcome)
                line = self._line(running)
                bar.update(task, completed=len(self.outcomes), line=line)
                if stopping:
                    return
                if self._brief and bar.disable and time.time() - last_line >= LINE_SECONDS:
                    last_line = time.time()
                    say(f"{self._title}  {line}")
                took = time.monotonic() - began
                stopping = self._stop.wait(max(POLL_SECONDS, took / POLL_SHARE))

    def _tell(self, name: str, outcome: Outcome) -> None:
        if not self._brief or outcome.status == "failed":
            style = "" if outcome.status == "completed" else "bold yellow"
            say(f"{name}  {outcome.status}  {outcome.text}", style)

    def _look(self, changed_since: float = 0.0) -> Iterator[tuple[str, Outcome | None]]:
        """Each run's name and how it ended; None for one that has not."""
        found = self._run_folders
        for path in _run_folders(self.folder) if found is None else found:
            newest = _newest(path)
            try:
                if newest and (path / newest).stat().st_mtime >= changed_since:
                    yield path.relative_to(self.folder).as_posix(), _outcome(path, newest)
            except (
                OSError,
                ValueError,
                KeyError,
            ):  # removed or damaged meanwhile: the report tells
                continue

    def _line(self, running: int) -> str:
        done, failed = len(self.outcomes), len(self.failures())
        parts = [f"{done}/{self.num_jobs or '?'} done", f"{running} running"]
        if failed and not self._brief:
            parts.append(f"{failed} failed")
        if self.num_jobs and done > self.done_before:
            each = (time.time() - self._began) / (done - self.done_before)
            parts.append(f"{clock(each * (self.num_jobs - done))} left")
        return "  ".join(parts)


def _run_folders(folder: Path) -> Iterator[Path]:
    for root, subfolders, files in os.walk(folder):
        subfolders.sort()
        if run_folder.RESULT in files or run_folder.LOG in files:
            subfolders.clear()
            yield Path(root)


def _newest(path: Path) -> str | None:
    """The file that says how the run in `path` ended: its log where that ends in a later error."""
    result, log = path / run_folder.RESULT, path / run_folder.LOG
    if not result.exists():
        return run_folder.LOG if log.exists() else None
    later = log.exists() and log.stat().st_mtime >= result.stat().st_mtime
    # As of a job that was refused because another's result lies in its folder.
    return run_folder.LOG if later and run_folder.last_error(path) else run_folder.RESULT


def _outcome(path: Path, newest: str) -> Outcome | None:
    if newest == run_folder.LOG:
        error = run_folder.last_error(path)
        return None if error is None else Outcome("failed", error)
    result = run_folder.read_result(path)
    if result["status"] == "completed":
        primary = parse_result(result).measures[0]
        text = primary.value(result[f"test_{primary.name}"])
        return Outcome("completed", f"test {primary.name} {text} in {clock(result['seconds'])}")
    where = result["diverged_at"]
    return Outcome(result["status"], f"at update {where['step']}, lr {where['lr']:.4g}")
