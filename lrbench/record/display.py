"""A run's progress on the console: a live bar in a terminal, plain lines in a pipe."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress

from rich import get_console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from lrbench.cli.console import tolerant_console
from lrbench.task import Measure

log = logging.getLogger(__name__)

REFRESH_SECONDS = 0.1  # of the bar
LINE_SECONDS = 30.0  # longest silence in a pipe


class ConsoleHandler(logging.Handler):
    """Prints log records above the live bar, unwrapped, so that paths stay whole in a pipe."""

    def __init__(self) -> None:
        super().__init__()
        tolerant_console()  # also in a process that a sweep's launcher has started

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record, a warning or an error with its level before it."""
        try:
            text = Text(self.format(record))
            if record.levelno >= logging.WARNING:
                text = Text(f"{record.levelname.lower()}: ", style="bold yellow") + text
            get_console().print(text, soft_wrap=True)
        except Exception:
            self.handleError(record)


def say(line: str, style: str = "") -> None:
    """Print one line, unwrapped, above a live bar if there is one."""
    with suppress(OSError):  # a terminal that has gone, a full disk: no reason to stop
        get_console().print(Text(line, style=style), soft_wrap=True)


def quiet() -> None:
    """Print no message of this run: its log has them, and the sweep that it belongs to prints."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, ConsoleHandler):
            handler.setLevel(logging.CRITICAL + 1)


class Display:
    """The progress of one run. In a pipe, one line per evaluation and at least one per 30 s.

    Args:
        total_steps: updates of the whole run.
        start_step: updates already taken when this process began.
        units_per_step: what an update trains on, in the task's unit.
        unit: ``images``, ``tokens``, ``rows``.
        primary: the measure that the line shows of a validation.
        live: whether there may be a bar, where there is a terminal.
    """

    def __init__(
        self,
        *,
        total_steps: int,
        start_step: int,
        units_per_step: int,
        unit: str,
        primary: Measure,
        live: bool = True,
    ) -> None:
        self._total = total_steps
        self._start = start_step
        self._units_per_step, self._unit, self._primary = units_per_step, unit, primary
        self._began = time.perf_counter()
        self._last_shown = self._last_line = self._began
        self._values: dict[str, float] = {}
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            _Numbers(table_column=Column(no_wrap=True)),
            disable=not (live and get_console().is_terminal),
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task(
            "training", total=total_steps, completed=start_step, line=""
        )

    def __enter__(self) -> Display:
        with suppress(OSError):
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._bar.stop()

    def advance(self, step: int, total_steps: int) -> None:
        """Move the bar to `step` of `total_steps`; cheap enough for every update."""
        self._total = total_steps
        now = time.perf_counter()
        if now - self._last_shown >= REFRESH_SECONDS:
            self._last_shown = now
            self._bar.update(self._task, completed=step, total=total_steps, line=self._line(step))

    def update(self, step: int, values: Mapping[str, float | None]) -> None:
        """Show the newest numbers, by TensorBoard's tags; in a pipe a validation prints a line."""
        self._values.update({tag: value for tag, value in values.items() if value is not None})
        self.advance(step, self._total)
        now = time.perf_counter()
        evaluated = any(tag.startswith("val/") for tag in values)
        if self._bar.disable and (evaluated or now - self._last_line >= LINE_SECONDS):
            self._last_line = now
            log.info("%*d/%d  %s", len(str(self._total)), step, self._total, self._line(step))

    def _line(self, step: int) -> str:
        """Loss, lr, the validation's primary measure, units per second and the time left."""
        values = self._values
        parts = []
        if "train/loss" in values:
            parts.append(f"loss {values['train/loss']:#.4g}")
        if "lr" in values:
            parts.append(f"lr {values['lr']:.3g}")
        validation = values.get(f"val/{self._primary.name}")
        if validation is not None:
            parts.append(f"val {self._primary.value(validation)}")
        seconds = time.perf_counter() - self._began
        done = step - self._start
        if done > 0 and seconds > 0:
            parts.append(f"{done * self._units_per_step / seconds:,.0f} {self._unit}/s")
            parts.append(f"{clock((self._total - step) * seconds / done)} left")
        return "  ".join(parts)


class _Numbers(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{int(task.completed)}/{int(task.total or 0)}  {task.fields['line']}")


def clock(seconds: float) -> str:
    """A duration as ``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}" if hours else f"{minutes}:{whole:02}"
