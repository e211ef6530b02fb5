"""The study's report: its files, what they hold, and what is told of planted truths."""

import csv
import io
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
from rich.console import Console
from study_runs import MEASURES, Truth, World, imagine, runs_of, study, write

from lrbench.compare import compare
from lrbench.compare.analysis import Analysis
from lrbench.compare.find import final_folders
from lrbench.compare.verdict import verdict
from lrbench.study import guide, report
from lrbench.study.records import Point, Setting, StudyOutcome, Trial
from lrbench.study.report import tracks
from lrbench.study.report.recommendation import Recommendation, command, recommend
from lrbench.study.report.tuning import (
    common_range,
    expected_best,
    shortfall,
    shortfalls,
    trials_table,
)
from lrbench.study.runs import fresh
from lrbench.study.settings import Study
from lrbench.task import Measure

FOLDER = Path("study")


def normal(*address: object, sd: float) -> float:
    """A draw that depends on `address` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(address).encode())).normal(0, sd))


def world_of(
    means: Mapping[str, float],
    *,
    best: Mapping[str, float] | None = None,
    slope: Mapping[str, float] | None = None,
    sd: float = 0.002,
) -> World:
    """Mean accuracies at each strategy's best lr (0.1), falling by `slope` per factor of 2 off it.

    Seeds share noise of the same size, so that pairing pays.
    """

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        name, lr = point.strategy, float(given["optimizer.lr"])
        off = math.log2(lr / (best or {}).get(name, 0.1))
        score = means.get(name, 0.85) - abs(off) * (slope or {}).get(name, 0.01)
        noise = normal("seed", point.seed, sd=sd) + normal(name, point.seed, lr, sd=sd)
        validation = score + normal("val", name, point.seed, lr, sd=0.0005)
        return Truth(test=score + noise, val=validation)

    return world


def analysed(outcome: StudyOutcome, world: World) -> Analysis:
    found = tracks.track(
        outcome, outcome.full, outcome.full.final, runs_of(outcome, world, []), "tuned"
    )
    assert found is not None
    return found


def recommended(
    world: World, settings: Study | None = None, **more: Any
) -> tuple[Recommendation, StudyOutcome]:
    outcome = imagine(FOLDER, world, settings or study(guide=None), **more)
    runs = runs_of(outcome, world, [])
    return recommend(outcome, analysed(outcome, world), runs), outcome


LEVEL = {"cosine": 0.9, "warmup_decay": 0.9, "onecycle": 0.9, "plateau": 0.9}


def test_a_planted_winner_is_recommended_for_sure_with_its_lr() -> None:
    world = world_of({**LEVEL, "onecycle": 0.93}, best={"onecycle": 0.2})
    found, outcome = recommended(world, overrides=("model=mlp", "optimizer.lr=0.05"))
    assert (found.strategy, found.setting, found.sure) == ("onecycle", Setting(lr=0.2), True)
    headline = verdict(analysed(outcome, world)).headline
    assert found.paragraph == f"Use onecycle at peak lr 0.2. {headline}"
    assert found.command == "python -m lrbench model=mlp scheduler=onecycle optimizer.lr=0.2"
    assert not any("seeds" in step for step in found.next_steps)


def test_without_a_sure_winner_the_best_mean_is_named_and_more_seeds_are_asked_for() -> None:
    world = world_of(LEVEL)
    found, outcome = recommended(world)
    tuned = analysed(outcome, world)
    assert (found.strategy, found.sure) == (tuned.standings[0].strategy, False)
    assert any(re.match(r"about \d+ seeds \(study.final_seeds\)", s) for s in found.next_steps)
    alone, _ = recommended(world, study(guide=None, strategies=["cosine"]))
    assert (alone.strategy, alone.sure) == ("cosine", False)


def test_the_edge_of_the_grid_is_the_first_thing_to_try() -> None:
    world = world_of({**LEVEL, "onecycle": 0.93}, best={"onecycle": 0.8, "plateau": 0.01})
    found, _ = recommended(world)
    assert found.next_steps[0] == (
        "peak lrs beyond those tried, for onecycle (best at the highest) and plateau (best at the "
        "lowest): study.max_extensions=6"
    )


def test_divergences_are_told_and_a_steady_rival_is_preferred() -> None:
    calm = world_of({**LEVEL, "onecycle": 0.901}, slope={"onecycle": 0.0001})

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        ruined = point.strategy == "onecycle" and point.seed == 3
        return replace(calm(point, given), diverged=ruined)

    found, _ = recommended(world)
    assert found.strategy != "onecycle"
    everyone = lambda point, given: replace(calm(point, given), diverged=point.seed < 8)  # noqa: E731
    nothing, _ = recommended(everyone)
    assert (nothing.strategy, nothing.command) == (None, "")
    assert nothing.paragraph == "No recommendation: every run on the final seeds diverged."


def test_a_reference_ahead_of_all_strategies_is_worth_a_place() -> None:
    world = world_of({**LEVEL, "linear": 0.95})
    found, _ = recommended(world, study(budgets=["30%", "100%"]))
    (step,) = [step for step in found.next_steps if "a place in study.strategies" in step]
    assert step.startswith("a place in study.strategies for linear (9")


def test_the_command_can_be_pasted() -> None:
    outcome = imagine(
        FOLDER,
        world_of(LEVEL),
        study(guide=None, budgets=["30%"]),
        overrides=("model=mlp", "trainer.length='20 epochs'", "scheduler.warmup=5%"),
    )
    setting = Setting(lr=0.0001, knobs={"warmup": "3 epochs", "pct_start": "10%"})
    assert command(outcome, "onecycle", setting) == (
        "python -m lrbench model=mlp scheduler=onecycle optimizer.lr=0.0001 "
        "\"scheduler.warmup='3 epochs'\" scheduler.pct_start=10% \"trainer.length='4.5 epochs'\""
    )


def trial(lr: float, score: float, diverged: int = 0, **knobs: Any) -> Trial:
    return Trial(
        setting=Setting(lr=lr, knobs=knobs), measure=MEASURES[0], points=(), score=score, loss=0.1,
        num_diverged=diverged, pruned=False,
    )  # fmt: skip


def test_the_area_of_the_sensitivity_by_hand() -> None:
    def area(trials: list[Trial], low: float, high: float) -> float:
        return shortfall(trials, low, high, math.nan).value

    # over two doublings: 0.9 → 0.94 → 0.86; areas below the best 0.02 and 0.04, mean 0.03
    own = [trial(0.4, 0.86), trial(0.1, 0.90), trial(0.2, 0.94), trial(0.2, 0.99, patience=6)]
    assert area(own, 0.1, 0.4) == pytest.approx(0.03)
    assert area(own, 0.1, 0.2) == pytest.approx(0.02)
    # half a doubling either side of 0.2: 0.92 → 0.94 → 0.90, mean shortfall 0.015
    assert area(own, 0.2 / math.sqrt(2), 0.2 * math.sqrt(2)) == pytest.approx(0.015)
    assert area([trial(0.1, 0.9), trial(0.2, 0.1, 2)], 0.1, 0.2) == pytest.approx(0.4)
    assert math.isnan(area([trial(0.1, 0.9)], 0.1, 0.2))
    assert math.isnan(area(own, 0.4, 0.4))


@pytest.mark.parametrize(("slope", "truth"), [(0.0, 0.0), (0.02, 0.02)])
def test_noise_is_no_sensitivity_to_the_peak_lr(slope: float, truth: float) -> None:
    generator, lrs = np.random.default_rng(0), (0.025, 0.05, 0.1, 0.2, 0.4)
    plain, found = [], []
    for _ in range(60):
        scores = 0.9 - slope * np.abs(np.log2(np.array(lrs) / 0.1)) + generator.normal(0, 0.004, 5)
        own = [trial(lr, float(score)) for lr, score in zip(lrs, scores, strict=True)]
        plain.append(shortfall(own, 0.025, 0.4, math.nan).value)
        found.append(shortfall(own, 0.025, 0.4, 0.004))
    values = np.array([one.value for one in found])
    assert abs(values.mean() - truth) < 0.0016  # of a flat response 0.0047 would be seen
    assert abs(values.mean() - truth) <= abs(np.mean(plain) - truth) + 0.0003
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.9


def test_the_range_is_common_to_all() -> None:
    outcome = imagine(FOLDER, world_of(LEVEL), study(guide=None))
    stage = outcome.full
    assert common_range(stage, ["cosine", "plateau"]) == (0.025, 0.4)
    short = {**stage.trials, "plateau": stage.trials["plateau"][1:]}
    stage = replace(stage, trials=short)
    assert common_range(stage, ["cosine", "plateau"]) == (0.05, 0.4)
    assert set(shortfalls(stage, ["cosine", "plateau"], 0.001)) == {"cosine", "plateau"}
    assert math.isnan(common_range(stage, ["cosine", "none"])[0])


def test_expected_best_by_hand() -> None:
    # two draws from {1, 2, 3}: max 1 once, 2 three times, 3 five times of nine
    found = expected_best([trial(0.1, score) for score in (3, 1, 2)])
    assert found[0] == pytest.approx(2)
    assert found[1] == pytest.approx((1 + 2 * 3 + 3 * 5) / 9)
    assert found[2] == pytest.approx((1 + 2 * 7 + 3 * 19) / 27)
    assert expected_best([trial(0.1, 0.9)]) == pytest.approx([0.9])


def test_trials_are_all_there() -> None:
    outcome = imagine(FOLDER, world_of(LEVEL), study(budgets=["30%", "100%"]))
    table = trials_table(outcome.stages)
    assert len(table) == 2 * 7 * 5
    chosen = table[table["chosen"]]
    assert len(chosen) == 2 * 7
    full = chosen[chosen["budget"] == 1].set_index("strategy")["lr"]
    assert full["cosine"] == outcome.full.chosen["cosine"].lr


def test_what_tuning_changed() -> None:
    world = world_of(LEVEL, best={"onecycle": 0.4, "plateau": 0.2}, slope={"plateau": 0.0002})
    outcome = imagine(FOLDER, world, study(guide=None), chosen={"plateau": 0.2})
    runs = runs_of(outcome, world)
    stage = outcome.full
    tuned, untuned = (
        tracks.track(outcome, stage, own, runs, kind)
        for own, kind in ((stage.final, "tuned"), (stage.untuned, "untuned"))
    )
    assert tuned is not None
    assert untuned is not None
    found = {gain.strategy: gain for gain in tracks.gains(outcome, stage, tuned, untuned)}
    assert found["onecycle"].test is not None
    assert found["onecycle"].test.mean == pytest.approx(0.02, abs=0.003)  # two doublings
    assert found["cosine"].test is None
    told = tracks.gains_sentence(list(found.values()), 0.1)
    assert re.match(
        r"Against lr=0.1 for all, tuning changed test accuracy by: onecycle (1\.[789]|2\.[0123])\d "
        r"\(1\.\d\d to 2\.\d\d\) and plateau .*, in points, above 0 where tuning helped. By mean, ",
        told,
    )
    row = dict(
        zip(*(lambda t: (t.headers, t.rows[0]))(tracks.gains_table(list(found.values()), 0.1)),
            strict=True)
    )  # fmt: skip
    assert (row["strategy"], row["tuned"]) == ("onecycle", "lr=0.4")
    nothing = [gain for gain in found.values() if gain.test is None]
    assert tracks.gains_sentence(nothing, 0.1) == (
        "Tuning changed nothing: the default lr=0.1 was best for every strategy."
    )


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> StudyOutcome:
    """A study of two budgets on disk, with one run that failed and one that is damaged."""
    folder = tmp_path_factory.mktemp("study")
    settings = study(
        budgets=["30%", "100%"], strategies=["cosine", "onecycle"], guide__references=["constant"]
    )
    outcome = imagine(folder, planted, settings)
    write([point for stage in outcome.stages for point in fresh(stage)], planted)
    write(guide.points(outcome), planted)
    (lost(outcome) / "result.json").unlink()
    (outcome.full.final["onecycle"][6].folder / "result.json").write_text("{")
    return outcome


def planted(point: Point, given: Mapping[str, str]) -> Truth:
    truth = world_of({"cosine": 0.9, "onecycle": 0.93}, best={"onecycle": 0.2})(point, given)
    norm = 3.0 if "trainer.record_grad_norm" in given else None
    return replace(
        truth, norm=norm, diverged=float(given["optimizer.lr"]) > 0.39 and point.seed > 1
    )


def lost(outcome: StudyOutcome) -> Path:
    return outcome.full.final["cosine"][7].folder


@pytest.fixture(scope="module")
def written(outcome: StudyOutcome) -> report.Report:
    pictures.real = True  # whichever test asks first
    return report.write(outcome, {lost(outcome): "out of memory"})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


RMSE = Measure(name="rmse", higher_is_better=False, unit="K")


@pytest.mark.pictures
def test_a_regression_is_told_in_its_own_measure(tmp_path: Path) -> None:
    """RMSE in kelvin: lower is better, guessing has no number, a run diverged; no accuracy."""

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        name, lr = point.strategy, float(given["optimizer.lr"])
        off = abs(math.log2(lr / (0.2 if name == "onecycle" else 0.1)))
        late = 0.3 if name == "cosine" else 0.1
        own = {"onecycle": 1.5, "constant": 2.5}.get(name, 2.0) + 0.1 * off
        noise = normal(name, point.seed, lr, sd=0.02)
        kept = float(given.get("scheduler.min_factor", 1e-4)) < 0.1 / 1.001
        return Truth(
            test=own + noise, val=own + noise / 2, late_gain=late + noise / 10,
            diverged=lr > 0.3, norm=3.0 if "trainer.record_grad_norm" in given else None,
            cuts=(60,) if name == "plateau" and kept else (), gain_at_cut=0.2 + noise,
        )  # fmt: skip

    settings = study(
        budgets=["30%"], strategies=["cosine", "onecycle", "plateau"], untuned=False,
        guide__references=["constant"], guide__models=["resnet8"], guide__warmup_seeds=[1, 2],
        guide__warmup_lr_factors=[1],
    )  # fmt: skip
    kinds = (RMSE,)
    outcome = imagine(tmp_path, world, settings, kinds=kinds)
    write([point for stage in outcome.stages for point in fresh(stage)], world, kinds)
    write(guide.points(outcome), world, kinds)
    written = report.write(outcome, {})
    assert written.recommendation.strategy == "onecycle"
    assert written.recommendation.setting == Setting(lr=0.2)
    assert written.recommendation.paragraph.startswith("Use onecycle at peak lr 0.2. ")
    findings = {verdict.claim: verdict for verdict in written.guide}
    cosine, short = findings[guide.CLAIMS[0].CLAIM], findings[guide.CLAIMS[2].CLAIM]
    assert "cosine's validation rmse falls by 0." in cosine.sentences[0]
    assert cosine.finding == short.finding == "supported"
    assert "validation rmse over the same run" in findings[guide.CLAIMS[3].CLAIM].sentences[1]
    pages = [(tmp_path / name).read_text() for name in ("report.html", "report.md", "trials.csv")]
    for text in (*pages, printed(written, width=80)):
        assert "accura" not in text.lower()
        assert "points" not in text
    for picture in (tmp_path / "plots").glob("*.svg"):
        assert "accura" not in picture.read_text().lower(), picture.name


def test_every_file_is_there(written: report.Report) -> None:
    names = {path.name for path in written.folder.iterdir() if path.is_file()}
    assert names == {
        "report.html", "report.md", "report.json", "runs.csv", "summary.csv", "pairs.csv",
        "summary.tex", "trials.csv", "guide.csv", "guide_runs.csv", "study.json",
        "looks.json",
    }  # fmt: skip
    plots = {path.stem for path in (written.folder / "plots").glob("*.png")}
    assert plots == {
        "answer", "final", "lr", "loss", "validation", "speed", "lr_sensitivity",
        "expected_best", "budgets", "budget-30-answer", "budget-30-final",
        "budget-30-validation",
    }  # fmt: skip


def test_the_page_tells_everything_and_stands_alone(written: report.Report) -> None:
    page = (written.folder / "report.html").read_text()
    text = re.sub(r"\s+", " ", page)
    assert not re.search(r"<(script|link|img|iframe)|@import|url\((?!#)", page)
    assert page.count("<svg") == 12
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert written.recommendation.paragraph.replace("±", "±") in text
    assert "scheduler=onecycle optimizer.lr=0.2</code>" in text
    for claim in written.guide:
        assert " ".join(claim.sentences).replace("'", "&#39;") in text
    assert "15_epochs/final/cosine/lr=0.1,seed=7: out of memory" in text
    assert "result.json cannot be used (" in text
    assert (
        text.index("Use onecycle") < text.index("The guide") < text.index("At the shared default")
    )


@pytest.mark.usefixtures("written")
def test_markdown_tables_are_even(outcome: StudyOutcome) -> None:
    text = (outcome.folder / "report.md").read_text()
    assert "\n\n\n" not in text
    for heading in ("Which learning-rate", "The guide", "Tuning", "Over budgets", "With 30%"):
        assert re.search(rf"^#+ {heading}", text, re.MULTILINE), heading
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


@pytest.mark.usefixtures("written")
def test_the_numbers_as_files(outcome: StudyOutcome) -> None:
    runs = rows(outcome.folder / "runs.csv")
    tuned = [row for row in runs if row["group"] == "track=tuned, budget=100%"]
    assert len(tuned) == 14  # of 16, one failed, one damaged
    assert {row["group"] for row in runs} == {
        *(f"track={k}, budget={b}%" for k in ("tuned", "untuned") for b in (30, 100)), "",
    }  # fmt: skip
    assert {row["status"] for row in runs} == {"completed", "unfinished", "set aside"}
    trials = rows(outcome.folder / "trials.csv")
    assert len(trials) == 2 * 3 * 5
    assert {row["num_diverged"] for row in trials if row["lr"] == "0.4"} == {"2"}
    assert [row["claim"] for row in rows(outcome.folder / "guide.csv")] == [
        module.CLAIM for module in guide.CLAIMS
    ]
    own = rows(outcome.folder / "guide_runs.csv")
    assert {row["strategy"] for row in own} == {"constant", "cosine", "onecycle"}
    assert {row["model"] for row in own} == {"resnet8", "resnet20"}


@pytest.mark.usefixtures("written")
def test_comparing_a_studys_folder_compares_its_runs_on_fresh_seeds(outcome: StudyOutcome) -> None:
    before = (outcome.folder / "report.html").read_text()
    found = compare(outcome.folder)
    assert found.folder == outcome.folder / "comparison"
    assert (outcome.folder / "report.html").read_text() == before
    shown = {label: sorted(s.analysis.group.strategies) for s in found.report.sections
             for label in [s.label]}  # fmt: skip
    assert len(shown) == 2  # budgets, each with both strategies at their own lr
    assert all([n.split()[0] for n in names] == ["cosine", "onecycle"] for names in shown.values())
    runs = rows(found.folder / "runs.csv")
    assert {row["folder"].split("/")[1] for row in runs} == {"final"}
    assert "is a study's: its runs on fresh seeds are compared" in str(found.report.notes)
    marker = outcome.folder / "study.json"
    marker.write_text('{"final": ["../..", "/", 3]}')
    assert final_folders(outcome.folder) == []


def printed(written: report.Report, **console: Any) -> str:
    file = io.StringIO()
    written.show(Console(file=file, highlight=False, **console))
    return file.getvalue()


def test_the_terminal_gets_the_essence(written: report.Report) -> None:
    lines = printed(written, width=40).splitlines()
    assert written.recommendation.paragraph in lines
    assert f"  {written.recommendation.command}" in lines
    assert any(line.startswith("Cosine refines late: ") for line in lines)
    assert any(line.startswith("note: 15_epochs/final/cosine/lr=0.1,seed=7: ") for line in lines)
    assert lines[-1] == f"report  {written.folder / 'report.html'}"
    text = printed(written, width=80, force_terminal=True, color_system="truecolor")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= 80


def test_what_an_earlier_report_drew_goes_and_a_users_picture_stays(
    outcome: StudyOutcome, written: report.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrbench.compare.plots.draw", lambda *_: [])
    mine = written.folder / "plots" / "mine.png"
    mine.write_bytes(b"")
    full = replace(outcome, stages=(outcome.full,), study=study(
        strategies=["cosine", "onecycle"], guide=None))  # fmt: skip
    again = report.write(full, {})
    assert again.missing[0].what == "has no result"
    assert mine.exists()
    assert {path.stem for path in mine.parent.glob("*.png")} == {
        "mine", "lr_sensitivity", "expected_best",
    }  # fmt: skip
    assert again.guide == ()
    assert "uide" not in (written.folder / "report.html").read_text()


def test_a_study_without_any_finished_run_says_so(tmp_path: Path) -> None:
    empty = imagine(tmp_path, planted, study(guide=None))
    with pytest.raises(ValueError, match="no run on the final seeds of 15 epochs has a result"):
        report.write(empty, {})
