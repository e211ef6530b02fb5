"""Runs that other tools logged, as run folders that are compared like lrbench's own.

``python -m lrbench.importer SOURCE… to=FOLDER`` on the command line, `import_runs` from code.
Files are known by their content; nothing of a source is ever executed or unpickled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.cli.wording import alike
from lrbench.importer.choices import Choices

if TYPE_CHECKING:
    from lrbench.importer.normalise import Imported, Reading


@dataclass(frozen=True)
class Import:
    """What was imported.

    Attributes:
        folder: where the run folders are.
        runs: each with its place below `folder`.
        reading: how the logs' columns were read.
        notes: what was guessed, left out or not used, in sentences.
    """

    folder: Path
    runs: Mapping[str, Imported]
    reading: Reading
    notes: tuple[str, ...]

    @property
    def read_as(self) -> list[str]:
        """What was read as what, in lines: the measures, the first compared by, the lr, the runs'
        strategies."""
        told = []
        for measure in self.reading.measures:
            columns = [f"{n} as {c}" for n, c in self.reading.columns.items()
                       if c.endswith(f"_{measure.name}")]  # fmt: skip
            way = "higher" if measure.higher_is_better else "lower"
            unit = f", unit {measure.unit}" if measure.unit else ""
            first = "compared by " if measure is self.reading.measures[0] else ""
            told.append(f"{first}{measure.label} ({', '.join(columns)}; better: {way}{unit})")
        lrs = [n for n, c in self.reading.columns.items() if c == "lr" or c.startswith("lr/")]
        strategies = Counter(str(run.result["strategy"]) for run in self.runs.values())
        shown = ", ".join(f"{name} {num}" for name, num in sorted(strategies.items()))
        return [*told, f"learning rate: {', '.join(lrs) or 'not logged'}", f"strategies: {shown}"]

    @property
    def remarks(self) -> list[str]:
        """`notes`, then what is to be known of single runs, once where it is of several."""
        each = ((name, note) for name, run in self.runs.items() for note in run.notes)
        return [*self.notes, *(f"{name}: {what}" for name, what in alike(each))]


def import_runs(
    sources: str | Path | Sequence[str | Path], to: str | Path, **choices: Any
) -> Import:
    """Read the logs in and below `sources` and write a run folder of each run below `to`.

    Args:
        sources: files or folders of TensorBoard, Lightning, Hugging Face, Keras, W&B, MLflow, timm,
            or of any CSV with a header.
        choices: see `lrbench.importer.choices.Choices` (pattern, measure, better, ...).

    Raises:
        ValueError: nothing is read, a choice fits nothing, or `to` holds runs that were not
            imported.
        OSError: a run folder cannot be written.
    """
    from lrbench.importer.normalise import normalise, read_columns
    from lrbench.importer.sources import read_sources
    from lrbench.importer.write import write_runs

    checked = Choices(**choices)
    given = [sources] if isinstance(sources, str | Path) else sources
    raws, notes = read_sources([Path(source) for source in given])
    reading = read_columns(raws, checked)
    runs, told = normalise(raws, checked, reading)
    return Import(Path(to), write_runs(runs, Path(to)), reading, (*notes, *told))
