"""From a study's outcome to its report: pages, tables, pictures, and a recommendation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lrbench.cli.wording import counted, listed
from lrbench.compare import plots as comparison_plots
from lrbench.compare import pooled
from lrbench.compare import tables as comparison_tables
from lrbench.compare.analysis import Analysis
from lrbench.compare.read import FinishedRun, Found, Problem
from lrbench.compare.report import (
    HTML,
    JSON,
    MARKDOWN,
    Section,
    csv,
    data_files,
    dumped,
    pages,
    write_files,
)
from lrbench.compare.tables import Table
from lrbench.compare.verdict import verdict
from lrbench.draw.figure import Picture, keep
from lrbench.files.run_folder import STUDY
from lrbench.study import guide, screen
from lrbench.study.guide import ClaimVerdict
from lrbench.study.noise import NoiseFloor
from lrbench.study.records import Point, Stage, StudyOutcome
from lrbench.study.report import as_json, pictures, tables, tracks
from lrbench.study.report.recommendation import Recommendation, recommend
from lrbench.study.report.tuning import trial_error, trials_table
from lrbench.study.runs import Runs, fresh, read_points

if TYPE_CHECKING:
    from rich.console import Console

SMALLER = ("answer", "final", "validation")  # pictures of a budget that is not the largest


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a study found, and where it is written.

    Attributes:
        folder: the study's.
        tuned: the comparison on fresh seeds, each strategy at its own best, at the largest budget;
            `smaller`, at the others.
        untuned: results of the same at the shared default lr, and what tuning changed, in tables.
        changed: the latter in words; empty where there is no untuned track.
        screened: what was left out by forecasts, in words; `forecasts`, of each setting.
        seeds: how many seeds each strategy had and why no more, and what tuning is part of.
        grids: which peak lrs were tried, and how their grid grew.
        tuning: tables and pictures of the trials.
        budgets: tables and pictures over budgets; empty where there is one.
        guide: a verdict on each claim, and `claims`, all of them in one table.
        missing: runs without a result, and why.
        notes: what is uneven, and what could not be used.
        json: the content of report.json.
    """

    folder: Path
    recommendation: Recommendation
    tuned: Section
    smaller: tuple[Section, ...]
    untuned: tuple[Table, ...]
    changed: str
    tuning: tuple[Table, ...]
    screened: tuple[str, ...]
    forecasts: tuple[Table, ...]
    seeds: tuple[str, ...]
    grids: tuple[str, ...]
    tuning_pictures: tuple[Picture, ...]
    budgets: tuple[Table, ...]
    budget_pictures: tuple[Picture, ...]
    guide: tuple[ClaimVerdict, ...]
    claims: Table
    missing: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    json: str

    def show(self, console: Console) -> None:
        """Print the recommendation, the results and the guide."""
        from lrbench.study.report.terminal import show

        show(self, console)


def write(
    outcome: StudyOutcome, missing: Mapping[Path, str], floor: NoiseFloor | None = None
) -> Report:
    """Write report.html, report.md, report.json, the CSVs and the pictures into the study's folder.

    Args:
        missing: run folders without a result, and why.
        floor: what the noise floor was, where it was measured.

    Raises:
        ValueError: no strategy has a finished run on the final seeds.
        OSError: the report cannot be written.
    """
    points = [point for stage in outcome.stages for point in fresh(stage)]
    own = guide.points(outcome)
    wanted = [point for point in [*points, *own] if point.folder not in missing]
    runs, found = read_points(wanted, outcome.folder)
    tuned = _analyses(outcome, runs, "tuned")
    untuned = _analyses(outcome, runs, "untuned")
    full = outcome.full
    if full.share not in tuned:
        raise ValueError(f"no run on the final seeds of {full.length} has a result: nothing to say")

    folder = outcome.folder / "plots"
    folder.mkdir(parents=True, exist_ok=True)
    names = list(outcome.study.strategies)
    drawn = [
        pictures.lr_sensitivity(full, names, folder, len(outcome.study.tuning_seeds)),
        pictures.best_of_trials(full, names, folder),
    ]
    heat_map = pictures.budgets(tuned, folder)
    sections = {
        share: _section(analysis, folder, _prefix(share) if share != full.share else "")
        for share, analysis in tuned.items()
    }
    verdicts = guide.judge(outcome, runs, tuned[full.share].margin)
    changed = []
    if full.share in untuned:
        changed = tracks.gains(outcome, full, tuned[full.share], untuned[full.share])
    error = trial_error(tuned[full.share], len(outcome.study.tuning_seeds))
    report = Report(
        folder=outcome.folder,
        recommendation=recommend(outcome, tuned[full.share], runs),
        tuned=sections[full.share],
        smaller=tuple(sections[s] for s in sorted(sections, reverse=True) if s != full.share),
        untuned=_untuned_tables(outcome, changed, untuned.get(full.share)),
        changed=tracks.gains_sentence(changed, outcome.default_lr) if changed else "",
        tuning=tuple(tables.tuning(outcome, stage, error) for stage in _largest_first(outcome)),
        screened=_screened(outcome),
        forecasts=tuple(
            tables.forecasts(stage)
            for stage in _largest_first(outcome)
            if stage.screened and stage.screened.law
        ),
        seeds=(
            *([] if floor is None else [floor.sentence]),
            *(line for stage in _largest_first(outcome) for line in _seeds(outcome, stage)),
        ),
        grids=tuple(line for stage in _largest_first(outcome) for line in _grid(outcome, stage)),
        tuning_pictures=tuple(picture for picture in drawn if picture),
        budgets=_over_budgets(tuned),
        budget_pictures=(heat_map,) if heat_map else (),
        guide=verdicts,
        claims=tables.guide(verdicts),
        missing=_missing(outcome, missing, points, own),
        notes=_notes(found, [*tuned.values(), *untuned.values()]),
        json="",
    )
    report = replace(report, json=dumped(as_json.content(report, outcome, floor)))
    untold = [_section(analysis, folder, None) for analysis in untuned.values()]
    _write_files(report, outcome, untold, own, runs)
    prefixes = "|".join(["", *(_prefix(share) for share in sections)])
    every = "|".join([*comparison_plots.PICTURES, *pictures.NAMES])
    keep(_pictures(report), folder, rf"({prefixes}|budget-[^/]*)({every})")
    return report


def _largest_first(outcome: StudyOutcome) -> list[Stage]:
    return sorted(outcome.stages, key=lambda stage: -stage.share)


def _screened(outcome: StudyOutcome) -> tuple[str, ...]:
    """What forecasts left out, at every budget, in words."""
    return tuple(
        f"{stage.length}: {line}" if len(outcome.stages) > 1 else line
        for stage in _largest_first(outcome)
        if stage.screened
        for line in screen.sentences(stage.screened, outcome.study.strategies)
    )


def _seeds(outcome: StudyOutcome, stage: Stage) -> Iterator[str]:
    """How many seeds each strategy had, why no more, and what the intervals hold of tuning."""
    found, budget = stage.allocation, f"{stage.length}: " if len(outcome.stages) > 1 else ""
    given = listed([f"{name} {num}" for name, num in found.num_seeds.items()])
    yield f"{budget}{found.ended}; seeds: {given}"
    for name, why in found.dropped.items():
        yield f"{budget}{name} got no more than {found.num_seeds[name]} seeds: {why}"
    if stage is not outcome.full:
        return
    draws = outcome.study.tuning_draws
    if draws == 1:
        yield (
            "all findings hold at these peak lrs: they were tuned once, and how they would have "
            "come out on other seeds is in no interval (study.tuning_draws=5 puts it in)"
        )
        return
    for name in outcome.study.strategies:
        lrs = ", ".join(draw[name].label for draw in stage.draws)
        yield f"{name} was tuned {draws} times, to {lrs}; intervals hold the noise of tuning"


def _grid(outcome: StudyOutcome, stage: Stage) -> Iterator[str]:
    budget = f"{stage.length}: " if len(outcome.stages) > 1 else ""
    if stage.grid:
        lrs = ", ".join(f"{lr:g}" for lr in stage.grid)
        seeds = counted(len(outcome.study.tuning_seeds), "seed")
        yield f"{budget}every strategy was tried at the peak lrs {lrs} on {seeds}"
    for words in stage.extensions:
        yield f"{budget}{words}"


def _analyses(outcome: StudyOutcome, runs: Runs, kind: str) -> dict[float, Analysis]:
    """By budget, where there is any finished run."""
    found = {}
    for stage in outcome.stages:
        own = stage.final if kind == "tuned" else stage.untuned
        analysis = tracks.track(outcome, stage, own, runs, kind)
        if analysis is not None:
            found[stage.share] = analysis
    return found


def _over_budgets(tuned: Mapping[float, Analysis]) -> tuple[Table, ...]:
    """What the strategies come to over all budgets, where there are several; exploratory."""
    found = pooled.pooled(list(tuned.values()), 0.0)
    return () if found is None else (replace(pooled.table(found), title="All budgets together"),)


def _prefix(share: float) -> str:
    return f"budget-{100 * share:g}-"


def _section(analysis: Analysis, folder: Path, prefix: str | None) -> Section:
    """The words and pictures of a track; no pictures where `prefix` is None."""
    drawn = []
    if prefix is not None:
        names = SMALLER if prefix else None
        drawn = comparison_plots.draw(analysis, folder, prefix, names)
    return Section(analysis=analysis, verdict=verdict(analysis), pictures=tuple(drawn))


def _untuned_tables(
    outcome: StudyOutcome, changed: Sequence[tracks.Gain], untuned: Analysis | None
) -> tuple[Table, ...]:
    if untuned is None:
        return ()
    results = replace(comparison_tables.results(untuned), title="Results at the shared default")
    return tracks.gains_table(changed, outcome.default_lr), results


def _missing(
    outcome: StudyOutcome,
    missing: Mapping[Path, str],
    points: Sequence[Point],
    own: Sequence[Point],
) -> tuple[Problem, ...]:
    """What `missing` says, and the runs that should be there and are not."""
    told = dict(missing)
    for point in (*points, *own):
        if point.folder not in told and not (point.folder / "result.json").is_file():
            told[point.folder] = "has no result"
    return tuple(
        Problem(path.relative_to(outcome.folder).as_posix(), why)
        for path, why in sorted(told.items())
    )


def _notes(found: Found, analyses: Sequence[Analysis]) -> tuple[Problem, ...]:
    uneven = [note for analysis in analyses for note in analysis.group.notes]
    return tuple(dict.fromkeys([*uneven, *found.unfinished, *found.problems]))


def _write_files(
    report: Report,
    outcome: StudyOutcome,
    untold: Sequence[Section],
    own: Sequence[Point],
    runs: Runs,
) -> list[Path]:
    page, text = pages("lrbench.study.report", "lrbench.compare")
    sections = [report.tuned, *report.smaller, *untold]
    contents = {
        HTML: page("study.j2", report=report),
        MARKDOWN: text("study.j2", report=report),
        JSON: report.json,
        **data_files(sections, report.missing, report.notes),
        "trials.csv": csv(trials_table(outcome.stages)),
        STUDY: _marker(outcome),
    }
    if report.guide:
        contents["guide.csv"] = csv(_claims(report.guide))
        contents["guide_runs.csv"] = csv(_guide_runs(outcome, own, runs))
    return write_files(contents, report.folder)


def _marker(outcome: StudyOutcome) -> str:
    """Which folders hold the strategies' runs on fresh seeds, for who compares the study again."""
    points = [p for stage in outcome.stages for n in outcome.study.strategies
              for p in stage.final.get(n, ())]  # fmt: skip
    folders = {p.folder.parent.relative_to(outcome.folder).as_posix() for p in points}
    return json.dumps({"final": sorted(folders)}, indent=2) + "\n"


def _claims(verdicts: Sequence[ClaimVerdict]) -> pd.DataFrame:
    """One row per claim."""
    return pd.DataFrame(
        {
            "claim": verdict.claim,
            "finding": verdict.finding,
            "num_seeds": verdict.num_seeds,
            "sentences": " ".join(verdict.sentences),
            "remedy": verdict.remedy,
        }
        for verdict in verdicts
    )


def _guide_runs(outcome: StudyOutcome, own: Sequence[Point], runs: Runs) -> pd.DataFrame:
    """One row per finished run of the guide's and of its references."""
    references = [p for n in outcome.study.references for p in outcome.full.final.get(n, ())]
    metrics = tuple(f"{split}_{outcome.measure.name}" for split in ("val", "test"))
    keys = ("status", "steps", *metrics, "largest_grad_norm", "largest_grad_norm_step")
    rows = [
        {
            "folder": run.name,
            "strategy": run.strategy,
            "model": run.choices.get("model"),
            "seed": run.seed,
            **{key: _recorded(run, key) for key in keys},
        }
        for point in [*references, *own]
        if (run := runs.get(point.folder)) is not None
    ]
    return pd.DataFrame(rows, columns=["folder", "strategy", "model", "seed", *keys])


def _recorded(run: FinishedRun, key: str) -> Any:
    """What result.json says under `key`."""
    known = {**run.result.more, **run.result.values}
    return known.get(key, getattr(run.result, key, None))


def _pictures(report: Report) -> list[Picture]:
    of_sections = [p for s in (report.tuned, *report.smaller) for p in s.pictures]
    return [*of_sections, *report.tuning_pictures, *report.budget_pictures]
