"""The comparison on paper: report.html, report.md, report.json, CSVs and summary.tex."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from lrbench.cli.wording import counted
from lrbench.compare import tables
from lrbench.compare.analysis import Analysis, evaluated_on
from lrbench.compare.as_json import content
from lrbench.compare.conditions import number
from lrbench.compare.pooled import Pooled, sentence, table
from lrbench.compare.read import Problem
from lrbench.compare.rows import frame
from lrbench.compare.verdict import Verdict
from lrbench.draw.figure import Picture
from lrbench.files.atomic import atomic_write
from lrbench.files.reading import plain_text

HTML, MARKDOWN, JSON = "report.html", "report.md", "report.json"
LONG = 6  # headings from which on a page has a list of them
CONTENTS = "<!-- contents -->"  # where a page has it
FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One group in the report: its numbers, its words, its pictures (none if it was too many).

    Attributes:
        pictures: the answer first, where there is anything to compare.
    """

    analysis: Analysis
    verdict: Verdict
    pictures: tuple[Picture, ...]

    @property
    def label(self) -> str:
        """What sets the group apart; empty where there is one."""
        return self.analysis.group.label

    @property
    def answer(self) -> Picture | None:
        """The picture that stands at the top."""
        return next((p for p in self.pictures if p.name.endswith("answer")), None)

    @property
    def rest(self) -> Sequence[Picture]:
        """The other pictures."""
        return [picture for picture in self.pictures if picture is not self.answer]

    @property
    def tables(self) -> Sequence[tables.Table]:
        """The tables of the group."""
        return tables.all_tables(self.analysis)

    @property
    def facts(self) -> str:
        """What all runs of the group share, in one line; what varies is told with each value."""
        analysis = self.analysis
        members = analysis.group.members
        runs = [member.run for member in members]
        first = runs[0]
        seeds = sorted({run.seed for run in runs})
        lrs = sorted({member.lr for member in members if not math.isnan(member.lr)})
        size, examples = evaluated_on(analysis.group, analysis.metric)
        batch = _each(run.config.get("trainer.batch_size") for run in runs)
        unit, window = first.result.unit or "examples", first.result.data.get("window")
        if isinstance(window, int):  # of text
            unit = f"windows of {window} {unit}"
        environment = {
            key: plain_text(value, 80) for key, value in first.result.environment.items()
        }
        facts = [
            counted(len(members), "run"),
            f"{len(analysis.standings)} strateg{'y' if len(analysis.standings) == 1 else 'ies'}",
            f"{counted(len(seeds), 'seed')} ({_range(seeds)})",
            ", ".join(_each(run.choices.get(n) for run in runs) for n in ("model", "dataset")),
            _each(run.choices.get("optimizer") for run in runs),
            _each(run.config.get("trainer.length") for run in runs)
            or counted(max(run.result.steps for run in runs), "update"),
            f"{batch} {unit} per update" if batch else "",
            f"peak lr {', '.join(number(lr) for lr in lrs)}" if lrs else "",
            f"{size:,} {examples}" if size else "",
            f"lrbench {environment.get('lrbench', 'unknown')}",
            environment.get("device", ""),
            environment.get("precision", ""),
        ]
        return " · ".join(fact for fact in facts if fact.strip(", "))

    @property
    def paired(self) -> bool:
        """Whether its strategies are compared seed by seed."""
        return self.analysis.group.paired


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the report tells.

    Attributes:
        command: what makes it again.
        notes: how the runs were sorted into groups, and what is uneven.
        unfinished: begun runs without a result, with the reason where one is known.
        problems: folders and files that could not be used.
        pooled: all groups together, where they can be.
    """

    sections: tuple[Section, ...]
    command: str
    notes: tuple[Problem, ...]
    unfinished: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    overview: Picture | None
    pooled: Pooled | None

    @property
    def together(self) -> tuple[str, tables.Table] | None:
        """What holds over all groups, in words and as a table."""
        return None if self.pooled is None else (sentence(self.pooled), table(self.pooled))

    @property
    def paired(self) -> bool:
        """Whether all strategies are compared seed by seed."""
        return all(section.paired for section in self.sections)

    def table(self, kind: str) -> pd.DataFrame:
        """The ``standings`` or the ``pairs`` of all groups."""
        return _tabulated(self.sections, kind)

    @property
    def content(self) -> dict[str, Any]:
        """What report.json holds."""
        problems = (*self.notes, *self.unfinished, *self.problems)
        together = self.together[0] if self.together else None
        return {**content(self.sections, self.command, problems), "together": together}


def write(report: Report, folder: Path) -> list[Path]:
    """Write all files but the pictures into `folder`; returns their paths."""
    page, text = pages("lrbench.compare")
    contents = {
        HTML: page("report.j2", report=report),
        MARKDOWN: text("report.j2", report=report),
        JSON: dumped(report.content),
        **data_files(report.sections, report.unfinished, report.problems),
    }
    return write_files(contents, folder)


def dumped(found: Mapping[str, Any]) -> str:
    """`found` as the text of report.json."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


Render = Callable[..., str]


@cache
def _environment(form: str, packages: tuple[str, ...]) -> jinja2.Environment:
    """What the templates of `packages` are compiled in, once a process; `form` is html or md."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        finalize=_for_markdown if form == "md" else None,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"inline": inline, "slug": slug}
    environment.globals["contents"] = Markup(CONTENTS)
    environment.globals["part"] = environment.get_template(f"parts.{form}.j2").module
    return environment


def pages(*packages: str) -> tuple[Render, Render]:
    """What renders the templates of `packages`, the first one's first: as HTML, as Markdown.

    Each takes a template's name and what it is to be filled with. One template serves both: it
    writes its parts with the macros ``part.heading``, ``part.table``, …, which the format defines,
    and whatever is filled in is escaped for the format.
    """

    def render(form: str, template: str, contents: Mapping[str, object]) -> str:
        return _environment(form, packages).get_template(template).render(contents)

    def page(template: str, **contents: object) -> str:
        return with_contents(render("html", template, contents))

    def text(template: str, **contents: object) -> str:
        found = with_contents(render("md", template, contents))
        return re.sub(r"\n{3,}", "\n\n", found).strip() + "\n"

    return page, text


def with_contents(page: str) -> str:
    """`page`, HTML or Markdown, with a list of its headings at `CONTENTS` if it is long."""
    html = page.startswith("<!DOCTYPE")
    found = re.findall(
        r'<h2 id="([^"]*)">(.*?)</h2>' if html else r"^##( )(.*)$", page, flags=re.MULTILINE
    )
    if html:
        items = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in found)
        listed = f'<nav><ul class="contents">{items}</ul></nav>'
    else:
        listed = "\n".join(f"- [{title}](#{slug(title)})" for _, title in found)
    return page.replace(CONTENTS, listed if len(found) >= LONG else "", 1)


def slug(title: str) -> str:
    """The anchor that GitHub and others give a heading, which is HTML's here too."""
    return re.sub(r"[^\w\- ]", "", str(title).replace("\\", "").lower()).strip().replace(" ", "-")


def _for_markdown(value: object) -> object:
    """What Jinja puts into a page of Markdown: a text with all that is markup escaped."""
    plain = isinstance(value, str) and not hasattr(value, "__html__")
    return Markup(markdown(value)) if plain else value


def data_files(
    sections: Sequence[Section], unfinished: Sequence[Problem], problems: Sequence[Problem]
) -> dict[str, str]:
    """The numbers as files: name to content."""
    tabulated = {
        "runs.csv": runs_table(sections, unfinished, problems),
        "summary.csv": _tabulated(sections, "standings"),
        "pairs.csv": _tabulated(sections, "pairs"),
    }
    contents = {name: csv(table) for name, table in tabulated.items()}
    return {**contents, "summary.tex": latex(sections)}


def csv(table: pd.DataFrame) -> str:
    """`table` as the content of a CSV file, in which no text is a spreadsheet's formula."""
    texts = table.select_dtypes(exclude="number")
    safe = texts.map(lambda v: f"'{v}" if isinstance(v, str) and v[:1] in FORMULA else v)
    text: str = table.assign(**safe).to_csv(index=False, lineterminator="\n")
    return text


def write_files(contents: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each of `contents` (name to text) into `folder`; returns their paths."""
    for name, text in contents.items():
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    return [folder / name for name in contents]


def runs_table(
    sections: Sequence[Section], unfinished: Sequence[Problem], problems: Sequence[Problem]
) -> pd.DataFrame:
    """One row per run folder, those without a usable result included."""
    rows = [_with_group(section, section.analysis.runs) for section in sections]
    for status, found in (("unfinished", unfinished), ("set aside", problems)):
        told = [p for p in found if status == "unfinished" or p.what.endswith("set aside")]
        if told:
            rows.append(
                pd.DataFrame([{"folder": p.name, "status": status, "reason": p.what} for p in told])
            )
    whole = {"seed": "Int64", "steps": "Int64"}  # whole numbers also where some are missing
    return pd.concat([row.astype({k: v for k, v in whole.items() if k in row}) for row in rows])


def _tabulated(sections: Sequence[Section], kind: str) -> pd.DataFrame:
    """The ``standings`` or the ``pairs`` of `sections`, a row each."""
    found = [_with_group(s, frame(getattr(s.analysis, kind))) for s in sections]
    return pd.concat(found, ignore_index=True)


def _with_group(section: Section, table: pd.DataFrame) -> pd.DataFrame:
    table = table.copy()
    table.insert(0, "group", section.label)
    return table


def inline(picture: Picture) -> Markup:
    """The picture's SVG for an HTML page: no prologue, its ids made its own, a text alternative."""
    svg = picture.svg[picture.svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{picture.name}-", svg)
    label = Markup.escape(picture.title)
    attributes = f'role="img" aria-label="{label}" style="max-width: {picture.rem:.0f}rem"'
    return Markup(svg.replace("<svg ", f"<svg {attributes} ", 1))


def markdown(text: object) -> str:
    """`text` for Markdown, in a table or outside, with what would be markup escaped."""
    return re.sub(r"([|*<>`\\\[\]]|(?<!\w)_|_(?!\w))", r"\\\1", str(text))


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "−": "$-$", "–": "--", ">": "$>$", "<": "$<$", "×": r"$\times$",
    "◂": r"$\triangleleft$",
}  # fmt: skip


def tex(text: str) -> str:
    """`text` with what LaTeX reads as commands escaped."""
    return "".join(_TEX.get(character, character) for character in text)


def latex(sections: Sequence[Section]) -> str:
    """The results as LaTeX tables; they need the package booktabs."""
    lines = ["% Written by lrbench.compare; needs \\usepackage{booktabs}."]
    for section in sections:
        table = tables.results(section.analysis)
        caption = f"{table.title}: {section.label}. " if section.label else f"{table.title}. "
        lines += [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{tex(caption + table.caption)}}}",
            rf"  \begin{{tabular}}{{l{'r' * (len(table.headers) - 1)}}}",
            r"    \toprule",
            f"    {' & '.join(map(tex, table.headers))} \\\\",
            r"    \midrule",
        ]
        for index, row in enumerate(table.rows):
            cells = list(map(tex, row))
            if index in table.strong:
                cells[0] = rf"\textbf{{{cells[0]}}}"
            lines.append(f"    {' & '.join(cells)} \\\\")
        lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""]
    return "\n".join(lines)


def _each(values: Iterable[object]) -> str:
    """``64``, or ``32 or 128``: every different one of the known `values`."""
    known = {str(v) if not isinstance(v, float) else number(v) for v in values if v is not None}
    return " or ".join(sorted(known, key=lambda text: (len(text), text)))


def _range(seeds: Sequence[int]) -> str:
    """``0 to 4`` for neighbours, else each."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    text = ", ".join(map(str, seeds[:10]))
    return f"{text} and {len(seeds) - 10} more" if len(seeds) > 10 else text
