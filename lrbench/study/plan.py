"""``dry_run=true``: what a study would run, what of it is done, and how long the rest takes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lrbench.cli.wording import counted
from lrbench.config import duration
from lrbench.files.result import RunResult
from lrbench.run import savings
from lrbench.study import guide
from lrbench.study.allocation import expected_runs
from lrbench.study.composed import StudyConfig, parse
from lrbench.study.guide import plateau, warmup
from lrbench.study.launcher import Launcher
from lrbench.study.probe import Pace, probe
from lrbench.study.protocol import NOISE, SHORT, conduct, noise
from lrbench.study.records import GUIDE, Point
from lrbench.study.settings import Study, share

LEAD = 1.5  # standard deviations: of the lead that the plan's expectation is for


class _Unmade(Exception):
    """The plan has reached runs that are not made yet, and the rest depends on them."""


@dataclass(kw_only=True)
class PlannedRuns:
    """A phase's runs.

    Attributes:
        lengths: `trainer.length` of each run that is not done.
        num_done: runs that are done.
        exact: whether these are all; else at most so many.
        shared: updates that its runs will surely share, as far as those are known.
    """

    title: str
    lengths: list[str]
    num_done: int
    exact: bool
    shared: int = 0

    @property
    def num_runs(self) -> int:
        """Done or not."""
        return len(self.lengths) + self.num_done


class _Dry:
    """Follows a study through its phases as far as their runs are done; makes none."""

    def __init__(self, launcher: Launcher) -> None:
        self._launcher = launcher
        self.results: dict[Path, RunResult] = launcher.results
        self.missing = launcher.missing
        self.asked: dict[str, dict[Path, Point]] = {}

    def run(self, points: Sequence[Point], title: str) -> None:
        found = self.asked.setdefault(title, {})
        found |= {point.folder: point for point in points}
        if sum(self._launcher.known(point) for point in points) < len(points):
            raise _Unmade

    def phase(self, title: str) -> PlannedRuns:
        points = self.asked.get(title, {}).values()
        unmade = [point for point in points if point.folder not in self.results]
        sets = savings.plan(self._launcher.to_share(unmade), share=True)
        return PlannedRuns(
            title=title,
            lengths=[_length(p) for p in unmade],
            num_done=len(points) - len(unmade),
            exact=True,
            shared=sum(run.shared for own in sets for run in own),
        )


def phases(config: StudyConfig, launcher: Launcher) -> list[PlannedRuns]:
    """The study's phases; those that depend on runs to be made as large as they can get."""
    dry = _Dry(launcher)
    with suppress(_Unmade):
        noise(config, dry)
    with suppress(_Unmade):
        outcome = conduct(config, dry, tell=_nobody)
        dry.run(guide.points(outcome), GUIDE)
    study = config.study
    num_names = len(study.strategies) + len(study.references)
    num_lrs = len(study.lrs) if study.lrs and config.tuner == "grid" else study.num_trials
    found = [dry.phase(title) for title in dry.asked if title.endswith(NOISE)]
    found += [dry.phase(title) for title in dry.asked if title.endswith(SHORT)]
    for _, length in config.lengths():
        tuning = num_names * (num_lrs + study.knob_trials) * len(study.tuning_seeds)
        final = num_names + study.untuned * len(study.strategies)  # runs of each further seed
        trials, fresh = dry.phase(f"{length}, tuning"), dry.phase(f"{length}, fresh seeds")
        if fresh.title not in dry.asked:  # after tuning
            trials.lengths += [length] * (tuning - trials.num_runs)
            trials.exact = config.tuner == "grid" and not study.screen
        asked = {point.seed for point in dry.asked.get(fresh.title, {}).values()}
        if not asked or fresh.lengths:
            more = final * (len(study.final_seeds) - len(asked))
            fresh.lengths += [length] * more
            fresh.exact = not more
        found += [trials, fresh]
    if study.guide is not None:
        found.append(dry.phase(GUIDE) if GUIDE in dry.asked else _guide_phase(config))
    return found


def _span(seconds: float) -> str:
    """``4.2 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _nobody(line: str) -> None:
    """A plan prints nothing of what tuning found."""


def _guide_phase(config: StudyConfig) -> PlannedRuns:
    """The guide's own runs before it is known which: as many as they can get."""
    asked, study = config.study.guide, config.study
    assert asked is not None
    _, length = max(config.lengths())
    models = warmup.models(asked, config.choices, config.overrides)
    num_warmup = 2 * len(models) * len(asked.warmup_lr_factors) * len(asked.warmup_seeds)
    short = duration.scaled(length, share("warmup_budget", asked.warmup_budget))
    num_cuts = min(asked.cut_seeds, len(study.final_seeds)) * asked.max_cuts
    if plateau.PLATEAU not in study.strategies:
        num_cuts = 0
    lengths = [short] * num_warmup + [length] * num_cuts
    return PlannedRuns(title=GUIDE, lengths=lengths, num_done=0, exact=False)


def measure(config: StudyConfig, launcher: Launcher) -> tuple[Pace, int]:
    """How long a run takes, and how many the launcher makes at once, as far as that is known."""
    launched = launcher.cfg.hydra.launcher
    workers = threads = None
    if "joblib" in str(launched._target_):
        num_cores = os.cpu_count() or 1
        asked = launched.get("n_jobs") or 1
        workers = asked if asked > 0 else max(1, num_cores + 1 + asked)
        threads = max(1, num_cores // workers)  # what joblib gives each
    began = time.perf_counter()
    cfg = config.compose([*config.overrides, f"scheduler={config.study.strategies[0]}"])
    seconds = time.perf_counter() - began
    return probe(cfg, launcher.cfg.hydra, seconds, threads), workers or 1


def describe(
    config: StudyConfig, found: Sequence[PlannedRuns], pace: Pace, workers: int
) -> Iterator[str]:
    """The plan in words and numbers, a line each."""
    study = config.study
    rows = [("", "runs", "done", "updates to make")]
    for phase in found:
        most = "" if phase.exact else "≤ "
        updates = sum(map(pace.steps, phase.lengths))
        number = f"{most}{phase.num_runs:,}"
        rows.append((phase.title, number, f"{phase.num_done:,}", f"{most}{updates:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield f"{config.folder}: the plan"
    for title, *cells in rows:
        texts = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        yield "  ".join([f"  {title:{widths[0]}}", *texts])
    if config.tuner == "grid" and study.max_extensions:
        more = len(study.tuning_seeds) * (len(study.strategies) + len(study.references))
        yield (
            f"the grid may grow by up to {counted(study.max_extensions, 'lr')} for each budget, "
            f"by {counted(more, 'run')} each time"
        )
    shared = sum(phase.shared for phase in found)
    if shared:
        yield (
            f"of the runs that are known, those alike but for their schedule share at least "
            f"{shared:,} updates, which are trained once"
        )
    yield from _expected(study)
    if config.tuner == "optuna":
        yield "fewer runs where hopeless trials are stopped"
    whole = config.length
    yield (
        f"a run of {whole}: {_span(pace.run(whole))}, for {pace.steps(whole):,} updates of "
        f"{1000 * pace.update:.3g} ms, {counted(pace.evaluations(whole), 'evaluation')} of "
        f"{1000 * pace.evaluation:.3g} ms and {pace.around:.2g} s around them, measured just now"
    )
    seconds = sum(pace.run(length) for phase in found for length in phase.lengths) / workers
    at_once = f"{workers} at once" if workers > 1 else "one after another"
    yield f"about {_span(seconds)} for what is not done yet, {at_once}"
    launcher = config.choices.get("hydra/launcher", "basic")
    if launcher not in ("basic", "joblib"):
        yield f"hydra/launcher={launcher} makes several at once, which is not counted"
    if config.choices["loop"] != "own":
        yield "the guide's claims need lrbench's own training loop: they are left out"
    if study.guide is not None and len(warmup.models(study.guide, config.choices, ())) > 1:
        yield "the guide also trains a larger network, whose runs are counted as if they were not"


def _expected(study: Study) -> Iterator[str]:
    """How many of the runs on fresh seeds are needed on average, where there is a choice."""
    names, looks = study.strategies, study.planned_looks
    if len(names) == 1 or len(looks) == 1:
        return
    alike, ahead = (expected_runs(study, lead) for lead in (0.0, LEAD))
    yield (
        f"fresh seeds go where they decide, at each budget to at most {len(names)} × {looks[-1]} "
        f"runs at tuned lrs: on average {alike:.0f} if all strategies are alike, {ahead:.0f} if "
        f"one leads by {LEAD:g} standard deviations of a difference (simulated)"
    )


def _length(point: Point) -> str:
    found = {parse(word).key_or_group: parse(word).value() for word in point.overrides}
    return str(found["trainer.length"])
