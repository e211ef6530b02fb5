"""Runs of one sweep that are the same run up to some update train what they share once.

In the sweep's folder lies, for each set of runs that differ only in their schedule or length, which
runs those are (written before they begin), and the states that one of them has left for others. A
run that begins takes the state that was left for it, and waits for one where another process is on
its way to it. All of that is found from the run's config alone, whatever launches the run.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.config import ConfigError, build, duration
from lrbench.files import run_folder
from lrbench.files.atomic import atomic_write, remove_scratch
from lrbench.run.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from lrbench.run.report import environment
from lrbench.trainer import Trainer, distributed
from lrbench.trainer.course import Course

if TYPE_CHECKING:
    from lrbench.trainer.loop import Loop

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2  # between two looks at whether a state was left
RUNS = "runs.json"  # in a set's folder: its runs
LOCK = "lock"
LIVE = ".live"  # how the name of a file ends that a run in training holds locked
STATE = ".pt"

Job = tuple[str, Mapping[str, Any]]  # a run's folder within the sweep's, and its plain config


def common(config: Mapping[str, Any]) -> dict[str, Any]:
    """`config` without what may differ between runs that share updates."""
    free = ("length", "checkpoint_interval_seconds")
    trainer = {key: value for key, value in config["trainer"].items() if key not in free}
    return {**config, "scheduler": None, "trainer": trainer}


def sets_of(jobs: Iterable[Job]) -> dict[str, dict[str, Job]]:
    """The jobs by what they have in common, and in that by their fingerprint, in their order.

    Runs in loops of others are left out, and a set has at least two runs.
    """
    found: dict[str, dict[str, Job]] = {}
    for folder, config in jobs:
        if "loop" not in config:
            own = found.setdefault(_digest(common(config)), {})
            own.setdefault(run_folder.fingerprint(config), (folder, config))
    return {digest: own for digest, own in found.items() if len(own) > 1}


def prepare(sweep: Path, jobs: Iterable[Job]) -> None:
    """Write to the folder `sweep` which of the runs that are to be made may share updates.

    States that the runs of an earlier attempt have left stay.

    Raises:
        OSError: it cannot be written.
    """
    for digest, own in sets_of(jobs).items():
        folder = sweep / run_folder.SHARED / digest
        folder.mkdir(parents=True, exist_ok=True)
        remove_scratch(folder)
        runs = {
            name: {
                "folder": place,
                "scheduler": config["scheduler"],
                "length": config["trainer"]["length"],
            }
            for name, (place, config) in own.items()
        }
        with atomic_write(folder / RUNS) as file:
            file.write(json.dumps(runs, indent=1).encode())


def remove(sweep: Path) -> None:
    """Delete what `prepare` wrote and the runs have left, once the sweep is over."""
    shutil.rmtree(sweep / run_folder.SHARED, ignore_errors=True)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def keep(
    loop: Loop,
    points: Sequence[str],
    folder: Path,
    config: Mapping[str, Any],
    checkpoint: Mapping[str, Any] | None,
) -> None:
    """Let `loop` keep its state in the run folder `folder` at `points`, which are durations.

    Args:
        config: the run's, plain.
        checkpoint: the one that the run goes on from; None: it begins.

    Raises:
        ConfigError: a point is none of the run, or the run's length is a time.
    """
    from lrbench.trainer.forks import Forks

    steps = kept_steps(loop.total_steps, loop.steps_per_epoch, points)
    if loop.seconds is not None or distributed.num_processes() > 1:
        raise ConfigError("keep_at is for a run in one process whose length is in updates: null")
    had = kept(folder)
    steps = [step for step in steps if step not in had and step >= loop.state.step]

    def save(state: dict[str, Any]) -> None:
        made = {"environment": environment(loop.device, config), "from": str(folder)}
        path = folder / run_folder.KEPT / f"{state['state']['step']}{STATE}"
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(path, {**state, **made})

    if not steps:
        return
    if loop.forks is None and not loop.begin_forks(
        Forks(loop.course, {}, lambda *_: None, lambda *_: None), checkpoint
    ):
        log.warning("keep_at: the run began without it, and its states cannot be kept now")
        return
    assert loop.forks is not None
    loop.forks.points, loop.forks.keep = steps, save


def kept_steps(total_steps: int, steps_per_epoch: int, points: Sequence[str]) -> list[int]:
    """The updates that `points` are, of a run.

    Raises:
        ConfigError: one is no duration, or lies outside the run.
    """
    found = []
    for text in points:
        try:
            step = duration.whole_steps(
                text, total_steps=total_steps, steps_per_epoch=steps_per_epoch
            )
        except ValueError as error:
            raise ConfigError(f"keep_at={error}") from error
        if not 1 <= step <= total_steps:
            raise ConfigError(f"keep_at={text} is update {step}, of {total_steps}")
        found.append(step)
    return found


def kept(folder: Path) -> dict[int, Path]:
    """The states that the run in `folder` has kept, by the updates taken."""
    found = (folder / run_folder.KEPT).glob(f"*{STATE}")
    return {int(path.stem): path for path in found if path.stem.isdecimal()}


def lend(sweep: Path, config: Mapping[str, Any], step: int, path: Path) -> None:
    """Let the run of `config` in `sweep`, once prepared, begin with the state at `path`.

    Raises:
        OSError: it cannot be copied.
    """
    folder = sweep / run_folder.SHARED / _digest(common(config))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / f"{run_folder.fingerprint(config)}-{step}{STATE}") as file:
        file.write(path.read_bytes())


class Branch:
    """A run's part in its set: what it takes from another run, and what it leaves to others.

    Args:
        sweep: the sweep's folder.
        config: the run's, plain.

    Attributes:
        fork: the state that the run begins with; None: its own, or none.
        taken: what was trained in another run, for the result; None: nothing.
    """

    def __init__(self, sweep: Path, config: Mapping[str, Any]) -> None:
        self.fork: dict[str, Any] | None = None
        self.taken: dict[str, Any] | None = None
        self._sweep = sweep
        self._config = config
        self._folder = sweep / run_folder.SHARED / _digest(common(config))
        self._name = run_folder.fingerprint(config)
        self._runs: dict[str, Any] = {}
        self._promised: dict[str, int] = {}
        self._handle: int | None = None  # of the file that is locked while the run trains

    def join(self, loop: Loop, checkpoint: Mapping[str, Any] | None) -> None:
        """Find what the run begins with, and tell `loop` which states it must leave.

        Where another run is on its way to what this one begins with, it is waited for.

        Args:
            checkpoint: the run's own, which it goes on from: then it takes nothing.
        """
        self.taken = None if checkpoint is None else checkpoint.get("shared")
        if loop.seconds is not None or distributed.num_processes() > 1:
            return
        try:
            self._runs = json.loads((self._folder / RUNS).read_bytes())
            others = dict(self._courses(loop))
            self._wait(others, loop, begins=checkpoint is None)
            if checkpoint is None:
                self._take(loop)
            self._share(loop, others, checkpoint)
        except FileNotFoundError:  # the run is in no set, or the sweep was planned without sharing
            return
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            log.warning("no updates are shared with other runs of the sweep: %s", reason)

    def close(self, *, done: bool) -> None:
        """Let others know that the run trains no more; if it is `done`, delete its state."""
        if self._handle is None:
            return
        with suppress(OSError), self._mutex():
            self._path(LIVE).unlink(missing_ok=True)
            for path in self._states(self._name).values() if done else ():
                path.unlink()
        os.close(self._handle)
        self._handle = None

    def _courses(self, loop: Loop) -> Iterator[tuple[str, Course]]:
        """The other runs of the set, as far as they can be laid out."""
        for name, node in self._runs.items():
            if name == self._name:
                continue
            settings: Trainer = replace(loop.settings, length=node["length"])
            task = (loop.task.unit, loop.task.units_per_example)
            with suppress(ValueError):
                scheduler = build(node["scheduler"], "scheduler")
                parts = (scheduler, loop.schedules, settings, loop.steps_per_epoch)
                yield name, Course.of(*parts, *task)

    def _wait(self, others: Mapping[str, Course], loop: Loop, *, begins: bool) -> None:
        """Wait while some run in training owes this one a state, then count as in training."""
        from lrbench.trainer.forks import promised

        told = False
        while True:
            with self._mutex():
                live = dict(self._live(others))
                trunks = [name for name, its in live.items() if self._name in its]
                if not (begins and trunks):
                    had: dict[str, int] = dict.fromkeys(live, loop.total_steps)
                    left = {name: max(self._states(name), default=0) for name in others}
                    for its in (*live.values(), left):
                        had |= {n: max(step, had.get(n, 0)) for n, step in its.items()}
                    pending = {n: course for n, course in others.items() if not self._done(n)}
                    self._promised = promised(loop.course, pending, had)
                    self._handle = _lock(self._path(LIVE))
                    self._tell()
                    return
            if not told:
                where = ", ".join(str(self._runs[name]["folder"]) for name in trunks)
                log.info("waiting for %s, which trains the first updates of this run, too", where)
                told = True
            time.sleep(POLL_SECONDS)

    def _take(self, loop: Loop) -> None:
        """Begin with the furthest state that was left for the run and is the run's own."""
        from lrbench.trainer.journal import Journal

        now = environment(loop.device, self._config)
        for step, path in sorted(self._states(self._name).items(), reverse=True):
            try:
                fork = load_checkpoint(path)
            except CheckpointError as error:
                log.warning("%s", error)
                continue
            same = (
                fork["environment"] == now
                and fork["arithmetic"] == loop.arithmetic
                and fork["data"] == loop.data.record(loop.settings.batch_size)
            )
            if same and fork["state"]["step"] == step:
                journal = Journal.of(fork["journal"])
                if len(journal.rows) == step and journal.agrees(loop.course):
                    seconds = round(fork["state"]["seconds"], 3)
                    self.taken = {"updates": step, "seconds": seconds, "from": fork["from"]}
                    self.fork = fork
                    return

    def _share(
        self, loop: Loop, others: Mapping[str, Course], checkpoint: Mapping[str, Any] | None
    ) -> None:
        """Tell `loop` which runs it must leave a state."""
        from lrbench.trainer.forks import Forks

        chosen = {name: others[name] for name in self._promised}
        if not chosen:
            return
        config, device = self._config, loop.device

        def leave(names: Sequence[str], state: dict[str, Any]) -> None:
            made = {"environment": environment(device, config), "from": self._place(self._name)}
            self._leave(names, {**state, **made})

        forks = Forks(loop.course, chosen, leave, self._give_up)
        if not loop.begin_forks(forks, checkpoint):
            self._give_up(list(chosen))

    def _leave(self, names: Sequence[str], state: dict[str, Any]) -> None:
        """Keep `state` for the runs of these names; a full disk stops nothing."""
        step = state["state"]["step"]
        paths = [self._folder / f"{name}-{step}{STATE}" for name in names]
        try:
            for path in paths:
                try:
                    os.link(paths[0], path)
                except FileExistsError:
                    continue
                except OSError:  # no file to link to yet, or the file system has no links
                    save_checkpoint(path, state)
            log.info("left the state after update %d for %d other runs", step, len(names))
            for name in names:
                for earlier, path in self._states(name).items():
                    if earlier < step:
                        path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the state after update %d is left to no other run: %s", step, error)
        self._give_up(names)

    def _give_up(self, names: Sequence[str]) -> None:
        """Let the runs of these names wait no longer."""
        with suppress(OSError), self._mutex():
            for name in names:
                self._promised.pop(name, None)
            self._tell()

    def _tell(self) -> None:
        """Write which runs will be left a state, and after which update."""
        assert self._handle is not None
        content = json.dumps(self._promised).encode()
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, content, 0)

    def _live(self, names: Iterable[str]) -> Iterator[tuple[str, dict[str, int]]]:
        """The runs in training among `names`, and what each will leave."""
        for name in names:
            path = self._folder / f"{name}{LIVE}"
            try:
                with path.open("rb") as file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        yield name, json.loads(file.read() or b"{}")
            except FileNotFoundError:
                continue

    def _states(self, name: str) -> dict[int, Path]:
        """The states that were left for a run, by the updates taken."""
        found = self._folder.glob(f"{name}-*{STATE}")
        return {int(path.stem.rpartition("-")[2]): path for path in found}

    def _done(self, name: str) -> bool:
        return (self._sweep / self._place(name) / run_folder.RESULT).exists()

    def _place(self, name: str) -> str:
        return str(self._runs[name]["folder"])

    def _path(self, ending: str) -> Path:
        return self._folder / f"{self._name}{ending}"

    @contextmanager
    def _mutex(self) -> Iterator[None]:
        """Hold the set's lock: one process at a time looks and decides."""
        handle = _lock(self._folder / LOCK)
        try:
            yield
        finally:
            os.close(handle)


def _lock(path: Path) -> int:
    """Lock the file at `path` (the lock dies with the process); returns its handle."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        os.close(handle)
        raise
    return handle
