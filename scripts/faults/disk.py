"""Disks that fill up or turn read-only, folders that vanish, folders that two want."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faults import Row, forks, kill, processes, same_run

SIZE = 6 * 2**20  # of the disk, in bytes: a run needs one


def disk(work: Path, count: int, seed: int) -> list[Row]:
    """Each fault `count` times, at a random update; then the fault is mended and the run ended."""
    forks.warm_up(sweeps=True)
    random_ = random.Random(seed)
    rows = []
    with _small_disk(work / "disk") as mounted:
        ended = forks.lrbench(_arguments("whole"), work)
        sweep = forks.lrbench(_sweep("whole-sweep"), work)
        if ended.code or sweep.code:
            return [Row("disk", tried=1, lost=[ended.said + sweep.said])]
        if mounted:
            rows += [
                _faulty(work, count, random_, "disk: full", _fill, _free),
                _faulty(work, count, random_, "disk: read-only", _lock_up, _unlock),
                _faulty_sweep(work, count, random_),
                _full_cache(work, count, random_),
            ]
        else:
            rows.append(Row("disk: full, read-only", remark="no small disk may be mounted here"))
        rows += [
            _faulty(work, count, random_, "disk: folder deleted", _delete, _free),
            _deleted_in_sweep(work),
            _two_processes(work, count, random_),
        ]
    return rows


def _arguments(folder: str) -> list[str]:
    return [
        *kill.arguments("cosine", "mlp", folder),
        "trainer.checkpoint_interval_seconds=0.02",
    ]


def _sweep(folder: str) -> list[str]:
    settings = [a for a in _arguments("x") if not a.startswith(("scheduler", "hydra"))]
    return ["-m", "scheduler=cosine", "seed=range(3)", *settings, f"hydra.sweep.dir={folder}"]


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A disk of `SIZE` bytes at `folder`, if that is allowed here."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def _free(disk: Path) -> None:
    (disk / "filler").unlink(missing_ok=True)


def _lock_up(disk: Path) -> None:
    """Remount the disk; where the run has files open, which forbids that, refuse in its stead."""
    command = ["mount", "-o", "remount,ro", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        _read_only(disk)


def _unlock(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], capture_output=True, check=True)


def _delete(disk: Path) -> None:
    for folder in disk.glob("run-*"):
        shutil.rmtree(folder)


def _at_update(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """What makes a run `act` before its update `number` (0: before anything else)."""

    def arm() -> None:
        if number == 0:
            act()
            return
        from lrbench.trainer.loop import Loop

        real, taken = Loop._update, [0]

        def update(loop: Loop, *args: object) -> None:
            taken[0] += 1
            if taken[0] == number:
                act()
            real(loop, *args)  # type: ignore[arg-type]

        Loop._update = update  # type: ignore[method-assign, assignment]

    return arm


def _faulty(
    work: Path,
    count: int,
    random_: random.Random,
    fault: str,
    act: Callable[[Path], None],
    mend: Callable[[Path], None],
) -> Row:
    row, disk = Row(fault), work / "disk"
    refused = 0
    for trial in range(count):
        name = f"run-{fault[6:10]}-{trial}"
        folder = disk / name
        number = random_.choice([0, random_.randint(1, 60), random_.randint(1, 60)])
        leave = random_.choice([0, random_.randint(0, 10**6)])  # bytes that are still free

        def fault_now(leave: int = leave) -> None:
            spare = disk / "spare"
            spare.write_bytes(bytes(leave if act is _fill else 0))
            act(disk)
            with suppress(OSError):
                spare.unlink()

        ended = forks.lrbench(_arguments(f"disk/{name}"), work, arm=_at_update(number, fault_now))
        problems = [] if ended.code in (0, 1) else [f"exit code {ended.code}: {ended.said[-600:]}"]
        if ended.code == 1:
            refused += 1
            problems += processes.one_line(ended.said)
        mend(disk)
        problems += _whole_files(folder)
        again = forks.lrbench(_arguments(f"disk/{name}"), work)
        if again.code:
            problems.append(f"after mending: {again.said[-600:]}")
        else:
            problems += same_run(work / "whole", folder)
        row.add(problems, f"{name} at update {number}, {leave} bytes free")
        shutil.rmtree(folder, ignore_errors=True)
    row.remark = f"{refused} told in one line, the others went on"
    return row


def _read_only(folder: Path) -> None:
    """Make every way of writing below `folder` fail as a read-only file system does."""
    import builtins
    import pathlib

    real_open, real_mkdir = pathlib.Path.open, pathlib.Path.mkdir
    real_io, real_makedirs = builtins.open, os.makedirs

    def refuse(path: object) -> None:
        if str(path).startswith((str(folder), f"{folder.name}/")):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    def opened(path: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if set(mode) & set("wax+"):
            refuse(path)
        return real_open(path, mode, *args, **kwargs)  # type: ignore

    def made(path: Path, *args: object, **kwargs: object) -> None:
        refuse(path)
        real_mkdir(path, *args, **kwargs)  # type: ignore

    def plain(path: object, mode: str = "r", *args: object, **kwargs: object) -> object:
        if set(mode) & set("wax+"):
            refuse(path)
        return real_io(path, mode, *args, **kwargs)  # type: ignore

    def makedirs(path: object, *args: object, **kwargs: object) -> None:
        refuse(path)
        real_makedirs(path, *args, **kwargs)  # type: ignore

    pathlib.Path.open, pathlib.Path.mkdir = opened, made  # type: ignore
    builtins.open, os.makedirs = plain, makedirs  # type: ignore


def _whole_files(folder: Path) -> list[str]:
    """What is half-written in a run's folder."""
    from lrbench.files import run_folder
    from lrbench.files.checksum import check_text
    from lrbench.run.checkpoint import load_checkpoint

    problems = []
    try:
        if (folder / "checkpoint.pt").exists():
            load_checkpoint(folder / "checkpoint.pt")
        if (folder / "result.json").exists():
            run_folder.read_result(folder)
        for path in (folder / ".hydra").glob("*.yaml"):
            check_text(path.read_text())
    except ValueError as error:
        problems.append(str(error))
    return problems + [f"{path} is left" for path in folder.rglob("*.tmp")]


def _faulty_sweep(work: Path, count: int, random_: random.Random) -> Row:
    """The disk fills up in the middle of a sweep of three runs."""
    row, disk = Row("disk: full, in a sweep"), work / "disk"
    for trial in range(max(1, count // 4)):
        name = f"sweep-{trial}"
        arm = _at_update(random_.randint(1, 170), lambda: _fill(disk))
        ended = forks.lrbench(_sweep(f"disk/{name}"), work, arm=arm)
        problems = [] if ended.code == 1 else [f"exit code {ended.code}: {ended.said[-800:]}"]
        problems += processes.one_line(ended.said)
        _free(disk)
        again = forks.lrbench(_sweep(f"disk/{name}"), work)
        problems += [again.said[-600:]] if again.code else []
        for seed in range(3):
            run = f"cosine/seed={seed}"
            problems += same_run(work / "whole-sweep" / run, disk / name / run)
        row.add(problems, name)
        shutil.rmtree(disk / name, ignore_errors=True)
    return row


def _full_cache(work: Path, count: int, random_: random.Random) -> Row:
    """The disk with the dataset's cache is full."""
    row, disk = Row("disk: full, for the decoded images"), work / "disk"
    images = kill.image_folder(work / "images", 40)

    def arguments(run: str) -> list[str]:
        settings = [
            a for a in kill.decode_arguments(images) if "dir=" not in a and "cache=" not in a
        ]
        return [*settings, f"dataset.cache={disk / 'cache'}", f"hydra.run.dir={run}"]

    forks.lrbench(arguments("cache-whole"), work)
    for trial in range(max(1, count // 4)):
        shutil.rmtree(disk / "cache")
        spare = disk / "spare"
        spare.write_bytes(bytes(random_.randint(0, 1_400_000)))
        _fill(disk)
        spare.unlink()
        ended = forks.lrbench(arguments(f"cache-{trial}"), work)
        problems = processes.one_line(ended.said) if ended.code else []
        _free(disk)
        again = forks.lrbench(arguments(f"cache-{trial}"), work)
        problems += [again.said[-600:]] if again.code else []
        problems += same_run(work / "cache-whole", work / f"cache-{trial}")
        row.add(problems, f"cache-{trial}")
    shutil.rmtree(disk / "cache")
    return row


def _deleted_in_sweep(work: Path) -> Row:
    """One run's folder is deleted while it trains: the others go on, and that it failed is told."""
    row = Row("disk: folder deleted, in a sweep")
    folder = work / "deleted"
    arm = _at_update(90, lambda: shutil.rmtree(folder / "cosine" / "seed=1"))
    ended = forks.lrbench(_sweep("deleted"), work, arm=arm)
    problems = processes.one_line(ended.said)
    if ended.code != 1:
        problems.append(f"exit code {ended.code}: {ended.said[-600:]}")
    again = forks.lrbench(_sweep("deleted"), work)
    problems += [again.said[-600:]] if again.code else []
    for seed in range(3):
        run = f"cosine/seed={seed}"
        problems += same_run(work / "whole-sweep" / run, folder / run)
    row.add(problems, "deleted")
    return row


def _two_processes(work: Path, count: int, random_: random.Random) -> Row:
    """A second process wants the folder at a random moment of the first: it is refused."""
    row = Row("disk: two processes on one folder")
    met = 0
    for trial in range(count):
        name = f"two-{trial}"
        arguments = [*_arguments(name), "trainer.length=240 steps"]
        if trial == 0:
            forks.lrbench([*arguments, "hydra.run.dir=whole-two"], work)
        child = os.fork()
        if child == 0:
            code = forks.lrbench(arguments, work).code
            os._exit(code % 256)
        time.sleep(random_.uniform(0.1, 1.0))
        second = forks.lrbench(arguments, work)
        _, status = os.waitpid(child, 0)
        codes = (os.waitstatus_to_exitcode(status), second.code)
        problems = []
        if second.code:
            met += 1
            if "is in use by another process" not in second.said:
                problems.append(second.said[-600:])
            problems += processes.one_line(second.said)
        if 0 not in codes:
            problems.append(f"neither ended well: {codes}")
        problems += same_run(work / "whole-two", work / name)
        row.add(problems, name)
    row.remark = f"met {met} times"
    return row
