"""SIGKILL at the n-th passing of a point inside a run, by phase of the run."""

from __future__ import annotations

import builtins
import io
import os
import pathlib
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PHASES = ("start-up", "update", "evaluation", "recording", "checkpoint", "result", "decoding")


@dataclass
class Bomb:
    """Kills its process when a point of `phase` is passed for the `fuse`-th time.

    With ``fuse=0`` it never does, and leaves the number of passings in the file `count`.
    """

    phase: str
    fuse: int = 0
    count: Path | None = None
    passed: int = 0

    def tick(self, before_dying: Callable[[], object] = lambda: None) -> None:
        """Pass a point."""
        self.passed += 1
        if self.count is not None:
            with builtins.open(self.count, "w") as file:
                file.write(str(self.passed))
        if self.passed == self.fuse:
            before_dying()
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str) -> None:
        """Make a call of ``owner.name`` two points: before and after it."""
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            result = real(*args, **kwargs)
            self.tick()
            return result

        setattr(owner, name, call)

    def arm(self) -> None:
        """Lay the points of the phase in this process."""
        getattr(self, f"_arm_{self.phase.replace('-', '_')}")()

    def _arm_start_up(self) -> None:
        import lrbench.model
        import lrbench.run.parts
        import lrbench.run.run
        from lrbench.files import run_folder
        from lrbench.record import hparams
        from lrbench.record.recorder import Recorder
        from lrbench.trainer.loop import Loop

        for owner, name in (
            (run_folder, "lock"),
            (run_folder, "finished"),
            (run_folder, "write_config"),
            (lrbench.model, "build_model"),
            (lrbench.run.parts, "build"),
            (lrbench.run.run, "_load_checkpoint"),
            (Loop, "__init__"),
            (Loop, "restore"),
            (Recorder, "__init__"),
            (Recorder, "add"),
            (hparams, "layout"),
        ):
            self.around(owner, name)
        self._in_files(".hydra")

    def _arm_update(self) -> None:
        import torch

        from lrbench.trainer.loop import Loop
        from lrbench.trainer.update import Updater

        for owner, name in (
            (Loop, "_update"),
            (Updater, "_step_optimizer"),
            (torch.Tensor, "backward"),
            (torch.optim.SGD, "step"),
        ):
            self.around(owner, name)

    def _arm_evaluation(self) -> None:
        from lrbench.trainer import evaluator
        from lrbench.trainer.evaluate import evaluate as real

        def evaluate(*args: Any, **kwargs: Any) -> Any:
            asked = kwargs["stop"]

            def stop() -> bool:
                self.tick()
                return bool(asked())

            result = real(*args, **{**kwargs, "stop": stop})
            self.tick()
            return result

        evaluator.evaluate = evaluate  # type: ignore[attr-defined]

    def _arm_recording(self) -> None:
        from lrbench.record.recorder import Recorder

        for name in ("flush", "position", "record_test", "text"):
            self.around(Recorder, name)
        real = Recorder.record

        def record(recorder: Recorder, *args: Any) -> None:
            def tear() -> None:  # what a buffer that fills up in mid-line leaves
                recorder.flush()
                os.write(recorder._history._file.fileno(), b"17,0.8")
                os.write(recorder._events_file._file.fileno(), b"\x30\x00\x00")

            self.tick()
            real(recorder, *args)
            self.tick(tear)

        Recorder.record = record  # type: ignore[method-assign, assignment]

    def _arm_checkpoint(self) -> None:
        self._in_files("checkpoint.pt")

    def _arm_result(self) -> None:
        from lrbench.files import run_folder
        from lrbench.record.recorder import Recorder

        self.around(Recorder, "record_test")
        self.around(run_folder, "write_result")
        self._in_files("result.json")

    def _arm_decoding(self) -> None:
        import lrbench.dataset.cache as cache
        import lrbench.dataset.decode as decode

        cache._CHUNK_BYTES = 2**16  # some twenty images, so that there are chunks enough
        for owner, name in (
            (decode, "decode_chunk"),
            (cache, "_write_meta"),
            (cache, "_sync"),
            (cache, "_remove_others"),
            (os, "rename"),
        ):
            self.around(owner, name)
        real = decode._write_at

        def write_at(path: str, row: int, array: Any) -> int:
            half = len(array) // 2
            self.tick(lambda: real(path, row, array[:half]) if half else None)
            return real(path, row, array)

        decode._write_at = write_at

    def _in_files(self, part: str) -> None:
        """Points before, within and after each write, fsync and rename of files named `part`."""
        real_open, real_fsync, real_replace = pathlib.Path.open, os.fsync, os.replace

        def watched(path: object) -> bool:
            return part in str(path)

        def opened(path: Path, *args: Any, **kwargs: Any) -> Any:
            file = real_open(path, *args, **kwargs)
            if watched(path) and isinstance(file, io.BufferedWriter):
                self.tick()
                return _Tearing(file, self)
            return file

        def fsync(handle: int) -> None:
            is_ours = watched(os.readlink(f"/proc/self/fd/{handle}"))
            if is_ours:
                self.tick()
            real_fsync(handle)
            if is_ours:
                self.tick()

        def replace(source: Path, target: Path) -> None:
            if watched(target):
                self.tick()
            real_replace(source, target)
            if watched(target):
                self.tick()

        pathlib.Path.open, os.fsync, os.replace = opened, fsync, replace  # type: ignore


class _Tearing(io.RawIOBase):
    """A file each of whose writes is a point, passed when half of it is on the disk."""

    def __init__(self, file: io.BufferedWriter, bomb: Bomb) -> None:
        self._file = file
        self._bomb = bomb

    def write(self, content: Any) -> int:
        def tear() -> None:
            self._file.write(bytes(content)[: len(bytes(content)) // 2])
            self._file.flush()

        self._bomb.tick(tear)
        return self._file.write(content)

    def __getattribute__(self, name: str) -> Any:
        if name in ("flush", "fileno", "close", "seek", "tell"):
            return getattr(object.__getattribute__(self, "_file"), name)
        return object.__getattribute__(self, name)
