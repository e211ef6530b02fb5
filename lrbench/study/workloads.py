"""Several workloads, one verdict: a study of each, and their runs on fresh seeds pooled.

The pooled report has 5 % of false claims of its own, beside those of each workload's.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lrbench.compare.inference import ALPHA
from lrbench.compare.pooled import Pooled, pooled, sentence, table
from lrbench.compare.report import HTML, JSON, MARKDOWN, dumped, pages, write_files
from lrbench.study.arguments import Arguments
from lrbench.study.records import StudyOutcome
from lrbench.study.report import tracks
from lrbench.study.runs import read_final


def of_each(arguments: Arguments, workloads: Sequence[str], folder: Path) -> dict[str, Arguments]:
    """The command of each workload's own study, by the workload's words.

    All of its seeds go to all strategies: seeds that followed one workload's results would favour
    what leads there.
    """
    return {
        words: replace(
            arguments,
            folder=folder / re.sub(r"[^\w.=-]+", "_", words),
            first=False,
            overrides=(*arguments.overrides, *shlex.split(words)),
            settings=(*arguments.settings, "study.workloads=null", "study.looks=[]"),
        )
        for words in workloads
    }


def pool(outcomes: Mapping[str, StudyOutcome]) -> Pooled | None:
    """The verdict over the largest budget of every workload; None where they cannot be pooled."""
    found = [
        tracks.track(outcome, outcome.full, outcome.full.final, read_final(outcome), "tuned")
        for outcome in outcomes.values()
    ]
    return pooled([analysis for analysis in found if analysis is not None], ALPHA)


def write(
    outcomes: Mapping[str, StudyOutcome], reports: Mapping[str, str], folder: Path
) -> tuple[str, Path, str]:
    """Write the pooled report into `folder`.

    Args:
        reports: each workload's report.json.

    Returns:
        its first sentence, the page's path, and the content of its report.json.
    """
    found = pool(outcomes)
    told = (
        "The workloads are not pooled: that takes two or more of them with the same measure."
        if found is None
        else sentence(found)
    )
    pages_of = {words: outcome.folder.relative_to(folder) for words, outcome in outcomes.items()}
    contents = {
        "told": told,
        "tables": [] if found is None else [table(found)],
        "links": [f"{words}: {path / HTML}" for words, path in pages_of.items()],
    }
    page, text = pages("lrbench.study.report", "lrbench.compare")
    known = {words: json.loads(text) for words, text in reports.items()}
    content = dumped({"together": told, "workloads": known})
    files = {
        HTML: page("workloads.j2", **contents),
        MARKDOWN: text("workloads.j2", **contents),
        JSON: content,
    }
    return told, write_files(files, folder)[0], content
