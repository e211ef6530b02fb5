"""From run folders to an answer: statistics, pictures and a verdict in words.

``python -m lrbench.compare DIR…`` on the command line, ``lrbench.compare("DIR")`` from code: the
module itself can be called, as its function `compare`. Nothing here imports torch or the training
code; pandas, scipy and matplotlib are imported when a comparison begins.
"""

from __future__ import annotations

import shlex
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lrbench.cli.console import Progress, silent
from lrbench.cli.wording import alike
from lrbench.config.checks import require_choice

if TYPE_CHECKING:
    import pandas as pd

    from lrbench.compare.read import Problem
    from lrbench.compare.report import Report
    from lrbench.draw.figure import Picture

MAX_PICTURED_GROUPS = 6  # more groups get tables and words alone


@dataclass(frozen=True)
class Comparison:
    """What a comparison found and wrote.

    Attributes:
        folder: where the files are.
        report: per group the tables (`report.sections[0].analysis`) and the words
            (`report.sections[0].verdict`), and what was left out.
        files: everything written, report.html first.

    In a notebook it shows the verdict, its picture and the results of each group.
    """

    folder: Path
    report: Report
    files: tuple[Path, ...]

    @property
    def verdict(self) -> str:
        """The answer in a sentence or two; of several groups a line each, its name in front."""
        return "\n".join(
            f"{section.label}: {section.verdict.headline}".removeprefix(": ")
            for section in self.report.sections
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row per strategy and group, best first; the columns of summary.csv."""
        return self.report.table("standings")

    @property
    def pairs(self) -> pd.DataFrame:
        """One row per pair of strategies and group; the columns of pairs.csv."""
        return self.report.table("pairs")

    def figure(self, name: str = "answer") -> Picture:
        """The picture `name` (``answer``, ``final``, ``validation``, …), which a notebook shows.

        Of several groups the first one's, or another's by its file's name: ``group2-final``.

        Raises:
            ValueError: there is none of that name.
        """
        pictures = {p.name: p for section in self.report.sections for p in section.pictures}
        if self.report.overview is not None:
            pictures[self.report.overview.name] = self.report.overview
        found = pictures.get(name) or pictures.get(f"group1-{name}")
        if found is None:
            raise ValueError(f"figure={name!r} is not one of {', '.join(pictures)}")
        return found

    def _repr_html_(self) -> str:
        from lrbench.compare.report import pages

        page, _ = pages("lrbench.compare")
        return page("cell.j2", report=self.report)


def compare(
    dirs: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    format: str | None = None,
    progress: Progress = silent,
    **settings: Any,
) -> Comparison:
    """Read the run folders in and below `dirs`, compare them, and write the report.

    Args:
        dirs: a folder of runs, of one sweep or several; or several folders.
        output: where to write; None: the first of `dirs`, or "comparison" in it if it is a study's,
            which has a report of its own.
        format: ``auto``: `dirs` hold other tools' logs, as `lrbench.importer` reads them, whose
            choices (pattern, measure, …) may then stand among the settings. Nothing is written
            beside them: `output` is ``outputs/compare/<name>`` unless it is given.
        progress: shows how far the reading is, as `lrbench.cli.console.progress` does.
        settings: see `lrbench.compare.settings.Settings` (metric, margin, planned_seeds, ...).

    Raises:
        ValueError: there is no finished run, a folder is missing, or a setting has no meaning.
        OSError: the report cannot be written.
    """
    from lrbench.importer.choices import KEYS, Choices

    folders = [Path(f) for f in ([dirs] if isinstance(dirs, (str, Path)) else dirs)]
    if format is not None:
        require_choice("format", format, ("auto",))
        from lrbench.compare.read import Problem
        from lrbench.importer import import_runs

        choices = Choices.take({key: settings.pop(key) for key in KEYS if key in settings})
        target = Path(output or Path("outputs/compare", folders[0].resolve().stem))
        with TemporaryDirectory() as scratch:
            found = import_runs(folders, scratch, **vars(choices))
            told = [Problem("", f"imported: {text}") for text in (*found.read_as, *found.remarks)]
            words = {"format": format, **choices.words(), **settings, "output": str(target)}
            return _compare(
                [Path(scratch)], target, settings, told, _command(folders, words), progress
            )
    for key in KEYS:
        if key in settings:
            raise ValueError(f"{key}={settings[key]} says how other tools' logs are read: add "
                             "format=auto, or leave it out for run folders")  # fmt: skip
    where = None if output is None else Path(output)
    return _compare(folders, where, settings, [], _command(folders, settings), progress)


def _compare(
    folders: Sequence[Path],
    output: Path | None,
    settings: Mapping[str, Any],
    told: Sequence[Problem],
    command: str,
    progress: Progress,
) -> Comparison:
    """`compare` of run folders; `told` is already known of them, and `command` does it again."""
    from lrbench.compare.find import CompareError, final_folders, find
    from lrbench.compare.settings import Settings

    checked = Settings(**settings)
    run_folders = find(folders)
    studies = [folder for folder in folders if final_folders(folder)]

    # Half a second of imports, only once there is something to compare.
    from lrbench.audit import LrLog, audit_each
    from lrbench.compare.analysis import analyse
    from lrbench.compare.conditions import LR
    from lrbench.compare.family import family_of
    from lrbench.compare.groups import split
    from lrbench.compare.heat_map import heat_map
    from lrbench.compare.plots import PICTURES, draw
    from lrbench.compare.pooled import pooled
    from lrbench.compare.read import Problem, read
    from lrbench.compare.report import Report, Section, write
    from lrbench.compare.verdict import verdict
    from lrbench.draw.figure import keep

    found = read(run_folders, progress)
    vary = (*checked.vary, *([LR] if studies else []))  # each strategy was tuned by itself
    groups, notes = split(found.runs, vary, checked.ignore, checked.metric, checked.x)
    what = "is a study's: its runs on fresh seeds are compared, not those that tuned it"
    notes += [Problem(str(folder), what) for folder in studies]
    logs = [(run.name, LrLog.of(run.result, run.history, run.config))
             for run in found.runs if run.history is not None]  # fmt: skip
    audits = audit_each(log for _, log in logs)  # whether each used the lr of its schedule
    each = ((name, str(finding)) for (name, _), audit in zip(logs, audits, strict=True)
            for finding in audit.findings)  # fmt: skip
    notes += [*(Problem(name, what) for name, what in alike(each)), *told]
    kept = folders[0] if not told or output is None else output  # what was read so far
    analyses = []
    for group in groups:
        try:
            analyses.append(analyse(group, checked, family_of(group, groups, checked, kept)))
        except CompareError as error:  # another group may have what this one lacks
            if len(groups) == 1 or (group is groups[-1] and not analyses):
                raise
            notes.append(Problem(group.label, f"{error}: left out"))

    target = folders[0] / "comparison" if folders[0] in studies else folders[0]
    target = target if output is None else output
    plots = target / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    sections = []
    for number, analysis in enumerate(analyses, start=1):
        prefix = f"group{number}-" if len(analyses) > 1 else ""
        pictures = draw(analysis, plots, prefix) if number <= MAX_PICTURED_GROUPS else []
        words = verdict(analysis)
        sections.append(Section(analysis=analysis, verdict=words, pictures=tuple(pictures)))
    report = Report(
        sections=tuple(sections),
        command=command,
        notes=(*notes, *(note for analysis in analyses for note in analysis.group.notes)),
        unfinished=tuple(found.unfinished),
        problems=tuple(found.problems),
        overview=heat_map(analyses, plots),
        pooled=pooled(analyses, min(analysis.family.alpha for analysis in analyses)),
    )
    files = write(report, target)
    drawn = [picture for section in sections for picture in section.pictures]
    drawn += [report.overview] if report.overview else []
    own = rf"(group\d+-)?({'|'.join(PICTURES)}|heat_map)"
    return Comparison(target, report, (*files, *keep(drawn, plots, own)))


def _command(folders: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """The command line that compares `folders` again."""
    given = [(k, v) for k, v in settings.items() if v not in (None, ())]
    words = [f"{k}={','.join(v) if k == 'targets' else v}" for k, v in given
             if k not in ("vary", "ignore")]  # fmt: skip
    words += [f"{k}={key}" for k, keys in given if k in ("vary", "ignore") for key in keys]
    return shlex.join(["python", "-m", "lrbench.compare", *map(str, folders), *words])


class _Room(types.ModuleType):
    """This module, which is called as its function of the same name."""

    def __call__(
        self, dirs: str | Path | Sequence[str | Path], output: str | Path | None = None, **more: Any
    ) -> Comparison:
        return compare(dirs, output, **more)


sys.modules[__name__].__class__ = _Room
