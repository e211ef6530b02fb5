"""The records of a run in anybody's training loop: the rows, the validations, what came out."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from lrbench.files import run_folder
from lrbench.task.measure import Measure


class Records:
    """Collects what a loop reports, and writes a row once the loop has gone beyond its step.

    Args:
        folder: the run folder; None: nothing is written, as another process does.

    Attributes:
        step: the last update that was reported.
        row: what is known of that update and not yet written: ``lr``, ``train_loss``, …
        validations: updates taken, and the values measured then (``val_loss``, …), oldest first.
        test: the test's values (``test_loss``, …).
    """

    def __init__(self, folder: Path | None, measures: Sequence[Measure]) -> None:
        self._folder, self._measures = folder, measures
        self.names = {f"{s}_{m.name}" for s in ("train", "val", "test") for m in measures}
        self.step = 0
        self.steps_per_epoch: int | None = None
        self.row: dict[str, float] = {}
        self.validations: list[tuple[int, dict[str, float]]] = []
        self.test: dict[str, float] = {}
        self._kept: list[dict[str, float]] = []  # rows of history.csv from before a resume
        self._began, self._earlier_seconds = time.perf_counter(), 0.0
        self._recorder: Any = None

    @property
    def begun(self) -> bool:
        """Whether anything was reported."""
        return bool(self.row) or self._recorder is not None

    @property
    def val_losses(self) -> tuple[list[float], list[int]]:
        """The validation losses so far, and after how many updates each was measured."""
        heard = [(v["val_loss"], step) for step, v in self.validations if "val_loss" in v]
        return [loss for loss, _ in heard], [step for _, step in heard]

    def check_names(self, values: Mapping[str, float], split: str) -> None:
        """Refuse values that are no measure of `split`.

        Raises:
            ValueError: one is none.
        """
        known = sorted(name for name in self.names if name.startswith(f"{split}_"))
        for name in values:
            if name not in known:
                raise ValueError(
                    f"{name} is not recorded here ({', '.join(known)}): declare it with "
                    "lrbench.start(..., measure=[...])"
                )

    def note(self, step: int, values: Mapping[str, float], split: str) -> None:
        """Add `values` of `split` after `step` updates; a later step writes the one before it.

        Raises:
            ValueError: a name is no measure, or the step goes back.
        """
        self.check_names(values, split)
        if step < max(self.step, 1):
            raise ValueError(
                f"step={step} comes after {self.step}: steps count the updates taken, and a run "
                "that is taken up again says so with run.resume_from(step)"
            )
        if step > self.step:
            self.flush()
            self.step = step
        self.row |= {name: float(value) for name, value in values.items()}

    def resume(self, step: int) -> None:
        """Keep what was recorded up to update `step`, and drop what lies beyond.

        Raises:
            ValueError: the history does not reach so far, or cannot be read.
        """
        rows = [] if self._folder is None else _read_rows(self._folder / run_folder.HISTORY)
        self._kept = [row for row in rows if row["step"] <= step]
        if step > 0 and not self._kept and self._folder is not None:
            raise ValueError(
                f"{self._folder} has no record up to update {step}: begin anew, without "
                "run.resume_from"
            )
        self._earlier_seconds = self._kept[-1].get("seconds", 0.0) if self._kept else 0.0
        self.validations = [
            (int(row["step"]), values)
            for row in self._kept
            if (values := {key: v for key, v in row.items() if key.startswith("val_")})
        ]
        self.step = step
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Wall time of the run so far."""
        return self._earlier_seconds + time.perf_counter() - self._began

    def flush(self) -> None:
        """Write the row of the last step."""
        row = {name: value for name, value in self.row.items() if math.isfinite(value)}
        self.row = {}
        if self._folder is None or not row:
            return
        if self._recorder is None:
            from lrbench.record.recorder import Recorder

            self._recorder = Recorder(
                self._folder, position=None, next_step=1, measures=self._measures, display=None
            )
            for kept in self._kept:
                self._write(int(kept["step"]), kept, kept.get("seconds", 0.0))
        self._write(self.step, row, self.seconds())

    def _write(self, step: int, row: Mapping[str, float], seconds: float) -> None:
        tags = {name.replace("_", "/", 1): row.get(name) for name in sorted(self.names)}
        epoch = None if self.steps_per_epoch is None else step / self.steps_per_epoch
        self._recorder.record(step, epoch, seconds, {"lr": row.get("lr"), **tags})

    def outcome(self, *, completed: bool) -> dict[str, Any]:
        """The numbers of result.json.

        The best validation is the one with the best primary measure, among equals the first.
        """
        primary = self._measures[0]
        name = f"val_{primary.name}"
        found = [(s, v) for s, v in self.validations if name in v]
        at, best = max(found, key=lambda each: primary.sign * each[1][name], default=(None, {}))
        last = self.validations[-1][1] if self.validations and completed else {}
        return {
            "steps": self.step,
            "measures": {m.name: m.as_json() for m in self._measures},
            **last,
            **(self.test if completed else {}),
            **{f"best_{key}": value for key, value in best.items()},
            "best_val_step": at,
            "seconds": round(self.seconds(), 3),
        }

    def conclude(self, result: Mapping[str, Any]) -> None:
        """Write `result`, whole, once all rows are written."""
        if self._folder is None:
            return
        self.flush()
        files = {}
        if self._recorder is not None:
            if self.test:
                tests = {key.removeprefix("test_"): value for key, value in self.test.items()}
                self._recorder.record_test(self.step, tests)
            files = self._recorder.position()
        run_folder.write_result(self._folder, {**result, "files": files})

    def close(self, error: BaseException | None) -> None:
        """Write what is left and close the files; a failed disk hides no earlier error."""
        with nullcontext() if error is None else suppress(OSError):
            self.flush()
        if self._recorder is not None:
            self._recorder.__exit__(None, error, None)
            self._recorder = None


def _read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a history, without their empty cells; none where there is no file."""
    try:
        with path.open(newline="") as file:
            rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
        return [row for row in rows if "step" in row]
    except FileNotFoundError:
        return []
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): begin anew, at update 0") from error
