"""The recommendation: which schedule and peak lr to use, what is known of it, what to try next.

Every word follows from the tuned runs at the largest budget. The strategy that is named is the one
that stands first in their comparison; how sure that is, the comparison's own headline says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrbench.cli.wording import counted, listed, shell_line
from lrbench.compare.analysis import Analysis
from lrbench.compare.verdict import verdict
from lrbench.config import trust
from lrbench.study import screen
from lrbench.study.guide import claim
from lrbench.study.records import Setting, StudyOutcome
from lrbench.study.report.tuning import lr_trials
from lrbench.study.runs import Runs, mean, score

MAX_STEPS = 4
OPEN = ("not distinguishable", "ahead", "one pair", "no pair")  # findings that decide nothing


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """What to do.

    Attributes:
        strategy: the one to use; None where nothing trained.
        setting: its peak lr and knobs.
        sure: whether it beats every other strategy.
        paragraph: its command's words, then what is known of it.
        next_steps: what to try next, most useful first.
        command: of a run at the recommended setting; empty where there is none.
    """

    strategy: str | None
    setting: Setting | None
    sure: bool
    paragraph: str
    next_steps: tuple[str, ...]
    command: str


def recommend(outcome: StudyOutcome, tuned: Analysis, runs: Runs) -> Recommendation:
    """What `tuned`, the runs on fresh seeds at the largest budget, recommend.

    Args:
        runs: all finished runs, for those of the guide's references.
    """
    rows = tuned.standings
    if all(row.num_completed == 0 for row in rows):
        return Recommendation(
            strategy=None,
            setting=None,
            sure=False,
            paragraph="No recommendation: every run on the final seeds diverged.",
            next_steps=("lower peak lrs (study.lrs=[...])",),
            command="",
        )
    best = rows[0]
    setting = outcome.full.chosen[best.strategy]
    sure = len(rows) > 1 and all(row.mark == "worse" for row in rows[1:])
    steps = [
        *_edges(outcome),
        *_more_seeds(tuned, sure),
        *_diverged(best.strategy, best.num_diverged),
        *_references(outcome, tuned, runs),
        *_untried(outcome),
    ]
    knobs = "".join(f", {key}={value}" for key, value in setting.knobs.items())
    return Recommendation(
        strategy=best.strategy,
        setting=setting,
        sure=sure,
        paragraph=(
            f"Use {best.strategy} at peak lr {setting.lr:g}{knobs}. {verdict(tuned).headline}"
            f"{_left_out(outcome)}"
        ),
        next_steps=tuple(steps[:MAX_STEPS]),
        command=command(outcome, best.strategy, setting),
    )


def _left_out(outcome: StudyOutcome) -> str:
    """Which strategies were never trained in full because of a forecast, and at what risk."""
    found = outcome.full.screened
    gone = screen.gone(found, outcome.study.strategies) if found else []
    gone = [name for name in gone if name not in outcome.study.references]
    if not found or not gone:
        return ""
    return (
        f" Not trained in full, as a forecast from short runs puts them behind (at a risk of "
        f"{100 * found.risk:g} %): {listed(gone)}."
    )


def command(outcome: StudyOutcome, strategy: str, setting: Setting) -> str:
    """The command of one run of `strategy` at `setting`."""
    own = {f"scheduler.{key}": value for key, value in setting.knobs.items()}
    words = [
        f"scheduler={strategy}",
        f"optimizer.lr={setting.lr!r}",
        *(f"{key}={_quoted(value)}" for key, value in own.items()),
    ]
    if outcome.full.share < 1:
        words.append(f"trainer.length={_quoted(outcome.full.length)}")
    taken = {word.partition("=")[0] for word in words}
    given = [text for text in outcome.overrides if text.partition("=")[0] not in taken]
    return shell_line(["python", "-m", "lrbench", *given, *words, *trust.words()])


def _quoted(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) and " " in value else str(value)


def _edges(outcome: StudyOutcome) -> Iterator[str]:
    """Strategies that are best at the end of the peak lrs that were tried."""
    told = []
    for name in outcome.study.strategies:
        lrs = [trial.setting.lr for trial in lr_trials(outcome.full.trials[name])]
        chosen = outcome.full.chosen[name].lr
        if len(lrs) > 1 and not lrs[0] < chosen < lrs[-1]:
            told.append(f"{name} (best at the {'highest' if chosen >= lrs[-1] else 'lowest'})")
    if told:
        more = outcome.study.max_extensions + 3
        yield f"peak lrs beyond those tried, for {listed(told)}: study.max_extensions={more}"


def _more_seeds(tuned: Analysis, sure: bool) -> Iterator[str]:
    best = tuned.standings[0].strategy
    tests = [p.test for p in tuned.pairs if best in (p.a, p.b) and p.finding in OPEN]
    if tests and not sure:
        more = claim.more_seeds(tests, "study.final_seeds", tuned.margin.text)
        own = ", planned in a folder of their own (hydra.sweep.dir): this one's are spent"
        yield f"{more}{own if 'seeds (' in more else ''}"


def _diverged(name: str, num_diverged: int) -> Iterator[str]:
    if num_diverged:
        runs = counted(num_diverged, "final run")
        yield f"a lower peak lr or a warmup: {runs} of {name} diverged"


def _references(outcome: StudyOutcome, tuned: Analysis, runs: Runs) -> Iterator[str]:
    """A reference of the guide whose mean is above every strategy's is worth a place."""
    measure = tuned.measure
    limit = tuned.standings[0].mean_score
    means = {}
    for name in outcome.study.references:
        found = claim.by_seed(outcome.full.final.get(name, ()), runs).values()
        means[name] = mean(score(run, "test", measure) for run in found)
    ahead = [f"{n} ({measure.value(m)})" for n, m in means.items() if measure.better(m, limit)]
    if ahead:
        yield (
            f"a place in study.strategies for {listed(ahead)}: among the guide's references, and "
            f"by mean ahead of every strategy ({measure.value(limit)})"
        )


def _untried(outcome: StudyOutcome) -> Iterator[str]:
    if len(outcome.study.budgets) == 1:
        yield "whether this holds when time is shorter: study.budgets=[10%,30%,100%]"
    if not outcome.study.knob_trials:
        yield "the schedules' own knobs: study.knob_trials=2"
