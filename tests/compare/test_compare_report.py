"""The files and the command: what is written can be read back, and stands on its own."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pictures
import pytest
from comparison_runs import write_run, write_sweep
from PIL import Image
from rich.console import Console

import lrbench
from lrbench.compare import Comparison, compare
from lrbench.compare.__main__ import main
from lrbench.compare.report import markdown, tex
from lrbench.compare.terminal import show
from lrbench.draw import palette
from lrbench.draw.figure import looks, spread

pytestmark = pytest.mark.pictures

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects what a page refers to, its ids, and tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.references.append(str(value))
            if name == "id":
                self.ids.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three strategies, one with a divergence, one short of a seed; and a damaged run."""
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(
        folder,
        {
            "cosine": [0.90, 0.91, 0.92, 0.93, 0.94],
            "onecycle": [0.91, 0.92, 0.93, 0.94, None],
            "plateau": [0.80, 0.82, 0.81, 0.83],
        },
    )
    (write_run(folder / "bad", seed=9) / "result.json").write_text("{")
    (write_run(folder / "cut", seed=8) / "result.json").unlink()
    return folder


@pytest.fixture(scope="module")
def comparison(folder: Path) -> Comparison:
    return compare([folder])


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_file_is_there(comparison: Comparison, folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in comparison.files}
    pictures = ("answer", "final", "lr", "loss", "validation", "speed")
    assert names == {
        "report.html", "report.md", "report.json", "runs.csv", "summary.csv", "pairs.csv",
        "summary.tex",
        *(f"plots/{p}.{ending}" for p in pictures for ending in ("svg", "png")),
    }  # fmt: skip
    assert all(path.stat().st_size > 0 for path in comparison.files)
    assert comparison.folder == folder


def test_runs_csv_holds_every_run(comparison: Comparison, folder: Path) -> None:
    found = {row["folder"]: row for row in rows(folder / "runs.csv")}
    assert len(found) == 16
    run = found["onecycle/seed=1"]
    assert (run["strategy"], run["seed"], run["status"]) == ("onecycle", "1", "completed")
    assert float(run["test_accuracy"]) == 0.92
    assert float(run["lr"]) == 0.1
    diverged = found["onecycle/seed=4"]
    assert (diverged["status"], diverged["test_accuracy"]) == ("diverged", "")
    assert float(diverged["score"]) == 0.1
    assert float(diverged["to_99%"]) == float("inf")
    assert found["bad"]["status"] == "set aside"
    assert found["cut"]["reason"] == "has no result.json: still running, or cut"
    assert len(comparison.report.problems) == 1


@pytest.mark.usefixtures("comparison")
def test_summary_csv(folder: Path) -> None:
    found = {row["strategy"]: row for row in rows(folder / "summary.csv")}
    assert float(found["cosine"]["completed_score"]) == pytest.approx(0.92)
    # sd sqrt(2.5) / 100, t 2.776 over sqrt(5): ± 0.01963
    assert float(found["cosine"]["completed_score_high"]) == pytest.approx(0.93963, abs=1e-5)
    assert found["cosine"]["mark"] == "best"
    assert found["onecycle"]["num_diverged"] == "1"
    assert [row["strategy"] for row in rows(folder / "summary.csv")] == [
        "cosine", "onecycle", "plateau",
    ]  # fmt: skip


@pytest.mark.usefixtures("comparison")
def test_the_page_is_valid_and_self_contained(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.faults == []
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    inside = [r for r in page.references if r.startswith("#")]
    assert inside
    assert {r[1:] for r in inside} <= set(page.ids)
    assert [r for r in page.references if not r.startswith("#")] == []
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.tags.count("svg") == 6
    assert "prefers-color-scheme: dark" in text
    for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(svg)


@pytest.mark.usefixtures("comparison")
def test_the_page_tells_everything(comparison: Comparison, folder: Path) -> None:
    text = re.sub(r"\s+", " ", (folder / "report.html").read_text())
    (section,) = comparison.report.sections
    for sentence in (section.verdict.headline, *section.verdict.remarks):
        assert sentence.replace(">", "&gt;") in text
    assert "plateau: lacks seed 4: pairs use common seeds only" in text
    assert "cut: has no result.json: still running, or cut" in text
    assert "bad: result.json cannot be used" in text
    assert "<td>4 + 1 diverged</td>" in text


@pytest.mark.usefixtures("comparison")
def test_markdown_tables_are_even(comparison: Comparison, folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert comparison.report.sections[0].verdict.headline in text
    assert "![Learning rate against updates](plots/lr.svg)" in text
    assert "\n\n\n\n" not in text
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1
    assert "| **cosine** | best | 5 | 92.00 ± 1.96 % |" in text


@pytest.mark.usefixtures("comparison")
def test_latex_table(folder: Path) -> None:
    text = (folder / "summary.tex").read_text()
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 4
    assert len({line.count(" & ") for line in lines}) == 1
    assert r"\textbf{cosine} & best & 5 & 92.00 $\pm$ 1.96 \%" in text
    assert not re.search(r"(?<!\\)%(?! Written)", text)


def test_latex_escapes() -> None:
    assert tex("a_b & 5% {x} \\ −0.1 ± 2") == (r"a\_b \& 5\% \{x\} \textbackslash{} $-$0.1 $\pm$ 2")
    assert markdown("a|b_c*") == r"a\|b_c\*"


@pytest.mark.usefixtures("comparison")
def test_pictures_suit_their_page_and_name_their_strategies(folder: Path) -> None:
    for name in ("final", "lr", "loss", "validation", "speed"):
        text = (folder / "plots" / f"{name}.svg").read_text()
        for strategy in ("cosine", "onecycle", "plateau"):
            assert f">{strategy}</text>" in text
            colour = palette.colour(strategy)
            assert f'{colour}"]{{stroke:{palette.on_dark(colour)}!important}}' in text
        with Image.open(folder / "plots" / f"{name}.png") as image:
            assert image.width > 800
            corner = image.convert("RGBA").getpixel((0, 0))
            assert corner == (255, 255, 255, 255)


def test_the_same_runs_give_the_same_files(comparison: Comparison, tmp_path: Path) -> None:
    again = compare([comparison.folder], tmp_path / "new")
    for first, second in zip(comparison.files, again.files, strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    for scheduler in ("<script>alert(1)</script>", "=b|c_$x$"):
        for seed in (0, 1):
            folder = tmp_path / f"{len(scheduler)}-{seed}"
            write_run(folder, scheduler=scheduler, seed=seed, accuracy=0.8 + 0.01 * seed)
            (folder / "history.csv").unlink()  # four pictures less to draw
    compare([tmp_path])
    page = Page()
    text = (tmp_path / "report.html").read_text()
    page.feed(text)
    assert "script" not in page.tags
    assert page.faults == []
    cells = [cell for row in rows(tmp_path / "runs.csv") for cell in row.values()]
    assert "'=b|c_$x$" in cells
    assert "=b|c_$x$" not in cells
    assert ">=b|c_$x$</text>" in (tmp_path / "plots" / "final.svg").read_text()


def test_groups_and_the_heat_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrbench.compare.MAX_PICTURED_GROUPS", 1)
    for depth in (20, 8):
        for width in (16, 32):
            write_sweep(
                tmp_path / f"{depth}-{width}",
                {"cosine": [0.9, 0.91], "plateau": [0.8 + depth / 1000, 0.82]},
                changes={"model.depth": depth, "model.width": width},
                curves=False,
            )
    found = compare([tmp_path])
    assert [section.label for section in found.report.sections] == [
        "depth=20, width=16", "depth=20, width=32", "depth=8, width=16", "depth=8, width=32",
    ]  # fmt: skip
    text = (tmp_path / "plots" / "heat_map.svg").read_text()
    assert text.count(">90.50</text>") == 4
    assert text.count(">82.00</text>") == 2
    assert text.count(">81.40</text>") == 2
    assert (tmp_path / "plots" / "group1-final.png").exists()
    assert not (tmp_path / "plots" / "group2-final.png").exists()
    assert 'href="#group-4"' in (tmp_path / "report.html").read_text()
    assert [row["group"] for row in rows(tmp_path / "summary.csv")][::2] == [
        section.label for section in found.report.sections
    ]
    compare([tmp_path / "8-16"], tmp_path)  # what an earlier report drew and this one doesn't goes
    assert not (tmp_path / "plots" / "group1-final.png").exists()
    assert not (tmp_path / "plots" / "heat_map.png").exists()
    assert (tmp_path / "plots" / "final.png").exists()


def test_a_swept_lr_has_its_picture_and_heat_map(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        changes = {"optimizer.lr": lr}
        accuracies = {"cosine": [0.9, 0.8], "rex": [0.8, 0.7]}
        write_sweep(tmp_path / str(lr), accuracies, changes=changes, curves=False)
    compare([tmp_path])
    text = (tmp_path / "plots" / "lr_sensitivity.svg").read_text()
    assert ">0.1</text>" in text
    assert ">0.2</text>" in text
    assert (tmp_path / "plots" / "heat_map.svg").exists()


def test_runs_without_curves_still_make_a_report(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.9, 0.8], "plateau": [0.7, 0.8]}, curves=False)
    found = compare([tmp_path])
    names = {path.stem for path in found.files if path.suffix == ".png"}
    assert names == {"answer", "final"}


def test_labels_keep_their_distance() -> None:
    assert spread([0.5, 0.5, 0.5], 0.1, top=1.0) == pytest.approx([0.4, 0.5, 0.6])
    assert spread([0.0, 0.9, 0.02], 0.1, top=1.0) == pytest.approx([0.0, 0.9, 0.1])
    assert spread([1.0, 1.0], 0.1, top=1.0) == pytest.approx([0.9, 1.0])
    assert spread([0.2, 0.7], 0.1, top=1.0) == [0.2, 0.7]


def test_variants_differ_in_look() -> None:
    found = looks(["onecycle", "onecycle (pct_start=20%)", "onecycle (pct_start=40%)", "cosine"])
    assert found["onecycle"].colour == palette.colour("onecycle")
    assert len({(look.colour, look.line_style) for look in found.values()}) == 4
    assert len({look.marker for look in found.values()}) == 4


def printed(comparison: Comparison, **console: object) -> str:
    file = io.StringIO()
    show(comparison, Console(file=file, highlight=False, **console))  # type: ignore[arg-type]
    return file.getvalue()


def test_a_pipe_gets_plain_lines(comparison: Comparison) -> None:
    text = printed(comparison, width=40)
    assert "\x1b" not in text
    lines = [re.sub(" +", " ", line) for line in text.splitlines()]
    assert lines[0] == comparison.report.sections[0].verdict.headline
    table = lines.index("strategy runs test acc., % median sd to 90% against the best")
    assert lines[2] == "Picked, a schedule may lose against the best, in points"
    assert lines[table + 1].startswith("cosine")
    assert "4 + 1 ×" in lines[table + 2]
    assert "×: diverged" in lines
    assert f"report {comparison.folder / 'report.html'}" in lines


def test_a_terminal_of_80_columns_is_not_overrun(comparison: Comparison) -> None:
    text = printed(comparison, width=80, force_terminal=True, color_system="truecolor")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 80
    assert "cosine" in plain


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(folder), "--output", str(tmp_path / "out"), "margin=1.5", "planned_seeds=5"])
    printed, errors = capsys.readouterr()
    assert errors == ""
    assert "cosine" in printed
    assert "note: plateau: lacks seed 4" in printed
    text = (tmp_path / "out" / "report.md").read_text()
    assert "± 1.5 points" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{empty}"], "no runs in {empty}: a run folder holds a result.json; other tools' logs: add format=auto"),  # noqa: E501
        (["{empty}/none"], "{empty}/none does not exist"),
        (["{empty}", "margin=x"], "margin=x must be above 0: a number in the measure's unit such as 0.2, or a share of the best mean such as 1%"),  # noqa: E501
        ([], "the following arguments are required: DIR (--help shows how)"),
        (["lr"], "lr does not exist"),  # a folder, though a key is called so
        (["{empty}", "require=wsd bests cosine"], "require='wsd bests cosine' is not understood: write 'wsd beats cosine' or 'loss(cosine) <= 0.5', in the measure's unit"),  # noqa: E501
        (["{empty}", "--targets", "soon"], "target soon must be a share of the way such as 90% or a value such as 0.93"),  # noqa: E501
        (["{runs}", "--output", "/dev/null/x"], None),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(
    arguments: list[str], message: str | None, folder: Path, tmp_path: Path
) -> None:
    names = {"empty": str(tmp_path), "runs": str(folder)}
    with pytest.raises(SystemExit) as caught:
        main([argument.format(**names) for argument in arguments])
    line = caught.value.code  # a text: Python prints it on stderr and exits with 1
    assert isinstance(line, str)
    assert line.startswith("lrbench.compare: ")
    assert "\n" not in line
    if message is not None:
        assert line == f"lrbench.compare: {message.format(**names)}"


def test_a_mistake_is_answered_before_anything_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from lrbench.compare.__main__ import main\n"
        f"try: main([{str(tmp_path)!r}])\n"
        "finally: print([n for n in ('pandas', 'scipy', 'matplotlib') if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, "[]\n")
    (line,) = found.stderr.splitlines()
    assert line.startswith("lrbench.compare: no runs in ")


def test_neither_torch_nor_the_training_code_is_imported(folder: Path, tmp_path: Path) -> None:
    code = (
        "import pictures, sys; from lrbench.compare.__main__ import main; "
        "pictures.real = False; pictures.install(); "
        f"main([{str(folder)!r}, '--output', {str(tmp_path)!r}]); "
        "bad = ('torch', 'lrbench.trainer', 'lrbench.run', 'lrbench.model', 'matplotlib.pyplot'); "
        "sys.exit(', '.join(name for name in bad if name in sys.modules) or 0)"
    )
    path = os.pathsep.join([str(Path(pictures.__file__).parent), *sys.path])
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_ten_strategies_have_ten_colours() -> None:
    names = ["cosine", "linear", "linear_to_zero", "polynomial", "rex", "warmup_decay"]
    names += [f"mine (k={k})" for k in range(4)]
    assert len({look.colour for look in looks(names).values()}) == 10


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cosine ahead of plateau for sure, and without curves, so that few pictures are drawn."""
    cosine, plateau = [0.90, 0.91, 0.92, 0.93, 0.94], [0.80, 0.82, 0.81, 0.83, 0.84]
    folder = tmp_path_factory.mktemp("settled")
    return write_sweep(folder, {"cosine": cosine, "plateau": plateau}, curves=False)


def test_programs_read_the_verdict(settled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["plateau beats cosine", "loss(plateau) <= 5"]
    right = ["cosine beats plateau", "loss(cosine) <= 0"]
    with pytest.raises(SystemExit) as caught:
        main([str(settled), "--json", *(f"require={text}" for text in (*wrong, *right))])
    assert caught.value.code == 2
    printed, errors = capsys.readouterr()
    assert printed == (settled / "report.json").read_text()
    assert [line.partition(" does not hold: ")[0] for line in errors.splitlines()] == [
        f"lrbench.compare: require={text!r}" for text in wrong
    ]
    (group,) = json.loads(printed)["groups"]
    best, worst = group["strategies"]
    assert (best["strategy"], best["may_be_best"], best["may_lose"]) == ("cosine", True, 0)
    assert worst["loss"]["at"] == pytest.approx(10)
    assert worst["may_lose"] == pytest.approx(group["pairs"][0]["high"])
    assert group["pairs"][0]["finding"] == "beats"
    main([str(settled), "--json", *(f"require={text}" for text in right)])
    with pytest.raises(SystemExit, match="no group has wsd; there are cosine, plateau"):
        main([str(settled), "--json", "require=loss(wsd) <= 1"])


def test_a_notebook_gets_the_answer(settled: Path) -> None:
    found = lrbench.compare(settled, margin=0.1)
    assert found.verdict.startswith("cosine beats plateau")
    assert list(found.table["strategy"]) == ["cosine", "plateau"]
    assert list(found.pairs["finding"]) == ["beats"]
    cell = found._repr_html_()
    assert found.verdict in cell
    assert "<svg" in cell
    assert "margin=0.1" in found.report.command
    assert found.figure("final").title == "Final test accuracy per seed, with 95 % interval"
    with pytest.raises(ValueError, match=r"^figure='x' is not one of answer, final$"):
        found.figure("x")
