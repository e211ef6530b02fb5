"""The comparison on paper: report.html, report.md, runs.csv, summary.csv, summary.tex."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from lrbench.compare import tables
from lrbench.compare.analysis import Analysis
from lrbench.compare.groups import number
from lrbench.compare.read import Problem
from lrbench.compare.verdict import Verdict
from lrbench.draw.figure import Picture
from lrbench.files.atomic import atomic_write

HTML, MARKDOWN = "report.html", "report.md"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One group in the report: its numbers, its words, its pictures (none if it was too many)."""

    analysis: Analysis
    verdict: Verdict
    pictures: tuple[Picture, ...]

    @property
    def label(self) -> str:
        """What sets the group apart; empty where there is one."""
        return self.analysis.group.label

    @property
    def tables(self) -> Sequence[tables.Table]:
        """The tables of the group."""
        return tables.all_tables(self.analysis)

    @property
    def facts(self) -> str:
        """What all runs of the group share, in one line."""
        members = self.analysis.group.members
        run = members[0].run
        seeds = sorted({member.run.seed for member in members})
        choices = [
            run.choices[name] for name in ("model", "dataset", "optimizer") if name in run.choices
        ]
        lrs = sorted({member.lr for member in members})
        environment = run.result.get("environment") or {}
        facts = [
            count(len(members), "run", "runs"),
            count(len(self.analysis.group.strategies), "strategy", "strategies"),
            f"{count(len(seeds), 'seed', 'seeds')} ({_range(seeds)})",
            ", ".join(choices),
            f"{run.config.get('trainer.length')}, "
            f"{run.config.get('trainer.batch_size')} images per update",
            f"peak lr {', '.join(number(lr) for lr in lrs)}",
            f"lrbench {environment.get('lrbench', 'unknown')}",
            str(environment.get("device", "")),
            str(environment.get("precision", "")),
        ]
        return " · ".join(fact for fact in facts if fact)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the report tells.

    Attributes:
        notes: how the runs were sorted into groups, and what is uneven.
        unfinished: begun runs without a result, with the reason where one is known.
        problems: folders and files that could not be used.
    """

    sections: tuple[Section, ...]
    notes: tuple[Problem, ...]
    unfinished: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    overview: Picture | None


def write(report: Report, folder: Path) -> list[Path]:
    """Write all files but the pictures into `folder`; returns their paths."""
    page, text = pages("lrbench.compare")
    contents = {
        HTML: page("report.html.j2", report=report),
        MARKDOWN: text("report.md.j2", report=report),
        **data_files(report.sections, report.unfinished, report.problems),
    }
    return write_files(contents, folder)


Render = Callable[..., str]


def pages(*packages: str) -> tuple[Render, Render]:
    """What renders the templates of `packages`, the first one's first: as HTML, as Markdown.

    Each takes a template's name and what it is to be filled with.
    """
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["inline"] = inline
    environment.filters["cell"] = markdown_cell

    def page(template: str, **contents: object) -> str:
        return environment.get_template(template).render(contents)

    def text(template: str, **contents: object) -> str:
        return re.sub(r"\n{3,}", "\n\n", page(template, **contents)).strip() + "\n"

    return page, text


def data_files(
    sections: Sequence[Section], unfinished: Sequence[Problem], problems: Sequence[Problem]
) -> dict[str, str]:
    """The numbers as files: name to content."""
    tabulated = {
        "runs.csv": runs_table(sections, unfinished, problems),
        "summary.csv": pd.concat([_with_group(s, s.analysis.summary) for s in sections]),
        "pairs.csv": pd.concat([_with_group(s, s.analysis.pairs) for s in sections]),
    }
    contents = {name: csv(table) for name, table in tabulated.items()}
    return {**contents, "summary.tex": latex(sections)}


def csv(table: pd.DataFrame) -> str:
    """`table` as the content of a CSV file."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def write_files(contents: Mapping[str, str], folder: Path) -> list[Path]:
    """Write each of `contents` (name to text) into `folder`; returns their paths."""
    for name, content in contents.items():
        with atomic_write(folder / name) as file:
            file.write(content.encode())
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
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def markdown_cell(text: str) -> str:
    """`text` for a cell of a Markdown table."""
    return re.sub(r"([|*_<>`\\])", r"\\\1", text)


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


def count(number: int, one: str, many: str) -> str:
    """``1 run``, ``5 runs``."""
    return f"{number} {one if number == 1 else many}"


def _range(seeds: Sequence[int]) -> str:
    """``0 to 4`` for neighbours, else each."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]} to {seeds[-1]}"
    text = ", ".join(map(str, seeds[:10]))
    return f"{text} and {len(seeds) - 10} more" if len(seeds) > 10 else text
