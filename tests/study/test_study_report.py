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
import pytest
from rich.console import Console
from study_runs import CHANCE, MEASURES, Truth, World, imagine, runs_of, study, write

from lrbench.compare import compare
from lrbench.compare.analysis import Analysis
from lrbench.compare.find import final_folders
from lrbench.study import guide, report
from lrbench.study.records import Point, Setting, StudyOutcome, Trial
from lrbench.study.report import tracks
from lrbench.study.report.ranks import ranks
from lrbench.study.report.recommendation import Recommendation, command, recommend
from lrbench.study.report.tuning import (
    common_range,
    expected_best,
    shortfall,
    shortfall_noise,
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
    assert found.paragraph.startswith("Use onecycle at peak lr 0.2: mean test accuracy 9")
    pair = analysed(outcome, world).pairs[0]
    assert (
        f"It beats every other strategy, the runner-up {pair.b} by "
        f"{100 * pair.test.mean:.2f} points (95 % interval "
    ) in found.paragraph
    assert "n = 8 paired seeds, Holm p = 0.047" in found.paragraph
    assert found.command == "python -m lrbench model=mlp scheduler=onecycle optimizer.lr=0.2"
    assert not any("seeds" in step for step in found.next_steps)


def test_of_indistinguishable_strategies_the_least_sensitive_is_named() -> None:
    slope = {"cosine": 0.02, "warmup_decay": 0.001, "onecycle": 0.02, "plateau": 0.02}
    found, _ = recommended(world_of(LEVEL, slope=slope))
    assert (found.strategy, found.sure) == ("warmup_decay", False)
    assert "It is no sure winner: " in found.paragraph
    assert "not distinguishable on these seeds" in found.paragraph
    assert (
        " cannot be told apart; warmup_decay is named for being the least sensitive to its peak "
        "lr. Over the peak lrs from 0.025 to 0.4 its validation accuracy is 0."
    ) in found.paragraph
    assert "equally well" not in found.paragraph  # which is for what is known to be equivalent
    assert any(step.startswith("more seeds: about ") for step in found.next_steps)


def test_only_those_level_with_the_best_are_named() -> None:
    means = {"cosine": 0.9, "warmup_decay": 0.8, "onecycle": 0.9, "plateau": 0.8}
    found, _ = recommended(world_of(means))
    told = re.search(r"On this evidence (.*) cannot be told apart", found.paragraph)
    assert told is not None
    assert sorted(told[1].split(" and ")) == ["cosine", "onecycle"]


def test_a_sensitivity_within_seed_noise_is_no_reason() -> None:
    """Over five lrs a slope of 0.2 against 0.1 points a doubling is an area 0.1 points larger."""
    slope = {"cosine": 0.002, "warmup_decay": 0.001, "onecycle": 0.002, "plateau": 0.002}
    quiet = world_of(LEVEL, slope=slope)

    def loud(point: Point, given: Mapping[str, str]) -> Truth:
        truth = quiet(point, given)
        assert truth.val is not None
        fresh_seed = point.seed < 100
        return replace(truth, val=truth.val + fresh_seed * normal("v", point.seed, sd=0.004))

    found, outcome = recommended(loud)
    best = analysed(outcome, loud).standings[0].strategy
    assert (found.strategy, best != "warmup_decay") == (best, True)
    assert f"{best} is named for its mean. Over the peak lrs" in found.paragraph
    # two standard errors of a difference: 2 √2 · sd / √2 tuning seeds
    noise = shortfall_noise(analysed(outcome, loud), 2)
    drawn = [normal("v", seed, sd=0.004) for seed in range(8)]
    assert noise == pytest.approx(2 * np.std(drawn, ddof=1), rel=0.1)
    assert f"such numbers differ by up to {100 * noise:.2f} through seeds alone" in found.paragraph
    calm, _ = recommended(quiet)
    assert calm.strategy == "warmup_decay"


def test_a_much_lower_mean_is_not_named_however_insensitive() -> None:
    """Noise hides a lead of 1 point: still no reason to pick what is behind by more than an SE."""
    means = {**LEVEL, "cosine": 0.91}
    slope = {"cosine": 0.02, "warmup_decay": 0.001, "onecycle": 0.02, "plateau": 0.02}
    found, outcome = recommended(world_of(means, slope=slope, sd=0.006))
    tuned = analysed(outcome, world_of(means, slope=slope, sd=0.006))
    assert found.strategy == tuned.standings[0].strategy


def test_equivalent_strategies_are_called_so() -> None:
    world = world_of({"cosine": 0.9, "onecycle": 0.9}, sd=0.0002)
    found, _ = recommended(world, study(guide=None, strategies=["cosine", "onecycle"]))
    assert "cosine are equivalent within ± 0.2 points" in found.paragraph or (
        "onecycle are equivalent within ± 0.2 points" in found.paragraph
    )
    assert not any("more seeds" in step for step in found.next_steps)


def test_five_seeds_are_too_few_to_be_sure_of_a_lead() -> None:
    settings = study(guide=None, final_seeds=[0, 1, 2, 3, 4])
    found, _ = recommended(world_of({**LEVEL, "cosine": 0.95}), settings)
    assert (found.strategy, found.sure) == ("cosine", False)
    assert "It is ahead of every other strategy, the runner-up " in found.paragraph
    assert "; 5 seeds are too few to be sure of " in found.paragraph
    assert "will do" not in found.paragraph
    assert (
        "more seeds: with 5 no difference can be significant, from 8 on it can: "
        "'study.final_seeds=range(8)'"
    ) in found.next_steps


def test_two_seeds_are_exploratory_and_no_reason_to_leave_the_best_mean() -> None:
    slope = {"cosine": 0.02, "warmup_decay": 0.001, "onecycle": 0.02, "plateau": 0.02}
    world = world_of(LEVEL, slope=slope, sd=0.02)
    found, outcome = recommended(world, study(guide=None, final_seeds=[0, 1]))
    assert found.strategy == analysed(outcome, world).standings[0].strategy != "warmup_decay"
    assert "Exploratory: 2 paired seeds are too few for a conclusion." in found.paragraph
    assert "is named for its mean, though warmup_decay is less sensitive" in found.paragraph


def test_one_seed_and_one_strategy_claim_nothing() -> None:
    one, _ = recommended(world_of(LEVEL), study(guide=None, final_seeds=[0]))
    assert "this says nothing of other seeds" in one.paragraph
    alone, _ = recommended(world_of(LEVEL), study(guide=None, strategies=["cosine"]))
    assert (alone.strategy, alone.sure) == ("cosine", False)
    assert "It was the only strategy of the study" in alone.paragraph


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


def test_an_insensitive_rival_that_diverged_is_not_named() -> None:
    """One divergence in eight is one standard error: 70 points / 8, sd 70 / √8, by √8 seeds."""
    slope = {"cosine": 0.02, "warmup_decay": 0.0001, "onecycle": 0.02, "plateau": 0.02}
    calm = world_of({**LEVEL, "warmup_decay": 0.902}, slope=slope, sd=0.0002)

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        ruined = point.strategy == "warmup_decay" and point.seed == 3
        return replace(calm(point, given), diverged=ruined)

    assert recommended(calm)[0].strategy == "warmup_decay"
    assert recommended(world)[0].strategy != "warmup_decay"


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
        "'scheduler.warmup='\"'\"'3 epochs'\"'\"'' scheduler.pct_start=10% "
        "'trainer.length='\"'\"'4.5 epochs'\"'\"''"
    )


def trial(lr: float, score: float, diverged: int = 0, **knobs: Any) -> Trial:
    return Trial(
        setting=Setting(lr=lr, knobs=knobs), measure=MEASURES[0], points=(), score=score, loss=0.1,
        num_diverged=diverged, pruned=False,
    )  # fmt: skip


def test_the_area_of_the_sensitivity_by_hand() -> None:
    # over two doublings: 0.9 → 0.94 → 0.86; areas below the best 0.02 and 0.04, mean 0.03
    own = [trial(0.4, 0.86), trial(0.1, 0.90), trial(0.2, 0.94), trial(0.2, 0.99, patience=6)]
    assert shortfall(own, 0.1, 0.4) == pytest.approx(0.03)
    assert shortfall(own, 0.1, 0.2) == pytest.approx(0.02)
    # half a doubling either side of 0.2: 0.92 → 0.94 → 0.90, mean shortfall 0.015
    assert shortfall(own, 0.2 / math.sqrt(2), 0.2 * math.sqrt(2)) == pytest.approx(0.015)
    assert shortfall([trial(0.1, 0.9), trial(0.2, 0.1, 2)], 0.1, 0.2) == pytest.approx(0.4)
    assert math.isnan(shortfall([trial(0.1, 0.9)], 0.1, 0.2))
    assert math.isnan(shortfall(own, 0.4, 0.4))


def test_the_range_is_common_to_all() -> None:
    outcome = imagine(FOLDER, world_of(LEVEL), study(guide=None))
    stage = outcome.full
    assert common_range(stage, ["cosine", "plateau"]) == (0.025, 0.4)
    short = {**stage.trials, "plateau": stage.trials["plateau"][1:]}
    stage = replace(stage, trials=short)
    assert common_range(stage, ["cosine", "plateau"]) == (0.05, 0.4)
    assert set(shortfalls(stage, ["cosine", "plateau"])) == {"cosine", "plateau"}
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


def test_ranks_share_ties_and_put_divergences_last() -> None:
    scores = {"cosine": 0.9, "onecycle": 0.9, "plateau": CHANCE, "warmup_decay": 0.05}

    def world(point: Point, given: Mapping[str, str]) -> Truth:
        lost = point.strategy == "plateau" or (point.strategy == "cosine" and point.seed == 1)
        test = 0.95 if given["trainer.length"] != "15 epochs" and point.strategy == "cosine" else (
            scores[point.strategy])  # fmt: skip
        return Truth(test=test, diverged=lost)

    settings = study(guide=None, budgets=["30%", "100%"], final_seeds=[0, 1])
    outcome = imagine(FOLDER, world, settings, lrs=(0.1,))
    runs = runs_of(outcome, world)
    analyses = {}
    for stage in outcome.stages:
        found = tracks.track(outcome, stage, stage.final, runs, "tuned")
        assert found is not None
        analyses[stage.share] = found
    table = ranks(analyses).set_index("strategy")
    # full: seed 0 cosine and onecycle 1.5, warmup_decay 3, plateau 4; seed 1 onecycle 1,
    # warmup_decay 2, cosine and plateau 3.5. Short: seed 0 cosine 1, onecycle 2; seed 1 the same.
    assert table.loc["cosine", 1.0] == pytest.approx((1.5 + 3.5) / 2)
    assert table.loc["cosine", 0.3] == pytest.approx((1 + 3.5) / 2)
    assert table.loc["onecycle", "rank"] == pytest.approx((1.5 + 1 + 2 + 1) / 4)
    assert table.loc["plateau", "rank"] == pytest.approx((4 + 3.5 + 4 + 3.5) / 4)
    assert table["seeds"].tolist() == [2] * 4


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
        r"Against lr=0.1 for all, tuning gained onecycle (1\.[789]|2\.[0123])\d points of test "
        r"accuracy; what it brought plateau cannot be told from seed noise. By mean, ",
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
    return report.write(outcome, {lost(outcome): "out of memory"})


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


RMSE = Measure(name="rmse", higher_is_better=False, unit="K")


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
    assert "Use onecycle at peak lr 0.2: mean test rmse 1.4" in written.recommendation.paragraph
    assert "It beats every other strategy" in written.recommendation.paragraph
    assert "K (95 % interval 0." in written.recommendation.paragraph
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
        "report.html", "report.md", "runs.csv", "summary.csv", "pairs.csv", "summary.tex",
        "trials.csv", "guide.csv", "guide_runs.csv", "study.json",
    }  # fmt: skip
    plots = {path.stem for path in (written.folder / "plots").glob("*.png")}
    assert plots == {
        "final", "differences", "lr", "loss", "validation", "speed", "lr_sensitivity",
        "expected_best", "budgets", "budget-30-final", "budget-30-differences",
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
    for verdict in written.guide:
        assert " ".join(verdict.sentences).replace("'", "&#39;") in text
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


def test_planted_nulls_are_rarely_called_differences_or_support() -> None:
    """5 studies of equal strategies; scripts/null_studies.py has 200 and all claims."""
    beats = supported = 0
    for number in range(5):

        def world(point: Point, given: Mapping[str, str], number: int = number) -> Truth:
            noise = normal(number, point.seed, sd=0.004)
            noise += normal(number, point.strategy, point.seed, len(given), sd=0.004)
            gain = 0.01 + normal(number, "late", point.strategy, point.seed, sd=0.004)
            return Truth(test=0.9 + noise, late_gain=gain)

        settings = study(guide__warmup_lr_factors=[1])
        outcome = imagine(FOLDER, world, settings, lrs=(0.1,))
        tuned = analysed(outcome, world)
        found = guide.judge(outcome, runs_of(outcome, world), tuned.margin)
        beats += any(pair.finding.startswith("beats") for pair in tuned.pairs)
        supported += any(verdict.finding == "supported" for verdict in found)
    assert beats <= 1  # 0.25 expected at most; more than 1 has probability below 2.5 %
    assert supported <= 1
