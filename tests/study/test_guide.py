"""The guide's judges in worlds whose truth is known."""

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from study_runs import MEASURES, Truth, World, history_of, imagine, keys, run_of, runs_of, study

from lrbench.compare.settings import Margin
from lrbench.study.guide import CLAIMS, cosine, onecycle, plateau, warmup
from lrbench.study.guide import claim as claim_tests
from lrbench.study.guide.claim import (
    CANNOT_TELL,
    NOT_SUPPORTED,
    SUPPORTED,
    ClaimVerdict,
    judge,
)
from lrbench.study.guide.larger import next_larger
from lrbench.study.records import Point, Setting, StudyOutcome
from lrbench.study.settings import Study

FOLDER = Path("study")
MARGIN = Margin.of(0.2, MEASURES[0], 0.9)


def normal(*address: object, sd: float = 0.002) -> float:
    """A draw that depends on `address` alone."""
    return float(np.random.default_rng(zlib.crc32(repr(address).encode())).normal(0, sd))


def judged(claim: Any, world: World, settings: Study | None = None, **more: Any) -> ClaimVerdict:
    """The verdict of one claim's module on a study in `world`."""
    outcome = imagine(FOLDER, world, settings, lrs=(0.1,), **more)
    verdict = judge(claim, outcome, runs_of(outcome, world, [claim]), MARGIN)
    assert isinstance(verdict, ClaimVerdict)
    return verdict


def late(gains: dict[str, float], sd: float = 0.002) -> World:
    """A world of given late gains of the validation accuracy."""

    def world(point: Point, given: object) -> Truth:  # noqa: ARG001
        gain = gains.get(point.strategy, 0.01) + normal(point.strategy, point.seed, sd=sd)
        return Truth(late_gain=gain)

    return world


def test_cosine_refines_late_if_it_gains_more_than_every_reference() -> None:
    found = judged(cosine, late({"cosine": 0.03}))
    assert (found.finding, found.num_seeds, found.remedy) == (SUPPORTED, 8, "")
    assert "That is more than constant (" in found.sentences[1]
    assert "linear" in found.sentences[1]
    assert "step" in found.sentences[1]
    rows = {row[0]: row for row in found.tables[0].rows}
    assert list(rows) == [
        "cosine", "constant", "linear", "step", "warmup_decay", "onecycle", "plateau",
    ]  # fmt: skip
    assert rows["plateau"][-1] == "–"
    planted = [normal("cosine", seed) for seed in range(8)]
    assert float(rows["cosine"][3]) == pytest.approx(100 * np.std(planted, ddof=1), abs=0.01)


def test_a_reference_that_gains_more_refutes_cosine() -> None:
    found = judged(cosine, late({"cosine": 0.03, "linear": 0.05}))
    assert found.finding == NOT_SUPPORTED
    assert "less than linear (−" in found.sentences[1]
    assert "more than constant" in found.sentences[1]


def test_gains_that_are_the_same_within_the_margin_refute_cosine() -> None:
    found = judged(cosine, late({}, sd=0.0003))
    assert found.finding == NOT_SUPPORTED
    assert "the same within ± 0.2 points as constant (" in found.sentences[1]


def test_noise_leaves_cosine_open_and_tells_how_many_seeds_would_help() -> None:
    found = judged(cosine, late({"cosine": 0.011}, sd=0.005))
    assert found.finding == CANNOT_TELL
    assert "not distinguishable from" in found.sentences[1]
    seeds = int(found.remedy.split()[1])
    # the largest sd of a difference is about 0.9 points: at 0.0025 / 3 and a power of 80 %
    # (3.34 + 0.84)² (0.9 / 0.2)² = 354
    assert 150 < seeds < 700
    assert found.remedy.endswith("seeds (study.final_seeds) would resolve 0.2 points")


def test_two_seeds_can_support_nothing() -> None:
    found = judged(cosine, late({"cosine": 0.05}), study(final_seeds=[0, 1]))
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 2)
    assert found.remedy == (
        "at least 3 seeds (study.final_seeds); with 2 no effect, however large, is sure"
    )


def test_without_cosine_or_references_nothing_is_measured() -> None:
    found = judged(cosine, late({}), study(strategies=["onecycle", "plateau"]))
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 0)
    assert found.sentences == ("Not measured: cosine is not in the study.",)
    alone = judged(cosine, late({}), study(guide__references=[]))
    assert alone.sentences == ("Not measured: there is no reference to hold it against.",)
    assert alone.remedy == "study.guide.references=[constant,linear,step]"


def warm_world(effect: dict[str, float], sd: float = 0.1) -> World:
    """Without warmup the largest gradient norm is exp(effect) times as large, by network."""

    def world(point: Point, given: Any) -> Truth:
        if "trainer.record_grad_norm" not in given:
            return Truth()
        model, lr = given["model"], float(given["optimizer.lr"])
        without = given["scheduler.warmup"] == "0 steps"
        noise = normal(model, lr, without, point.seed, sd=sd)
        norm = 3 * np.exp(noise + (effect[model] if without else 0.0))
        return Truth(norm=float(norm), test=0.9)

    return world


def test_warmup_runs_are_those_of_the_plan() -> None:
    world = warm_world({"resnet8": 0, "resnet20": 0})
    outcome = imagine(FOLDER, world, lrs=(0.2,), overrides=("model=resnet8", "seed=1"))
    points = warmup.points_of(outcome, runs_of(outcome, world, []))
    guide = outcome.study.guide
    assert guide is not None
    assert len(points) == 2 * len(guide.warmup_lr_factors) * 2 * len(guide.warmup_seeds)
    assert len({point.folder for point in points}) == len(points)
    assert {point.strategy for point in points} == {"cosine"}
    assert {keys(point)["model"] for point in points} == {"resnet8", "resnet20"}
    assert {keys(point)["optimizer.lr"] for point in points} == {"0.2", "0.8", "3.2"}
    assert {keys(point)["scheduler.warmup"] for point in points} == {"0 steps", "10%"}
    assert {keys(point)["trainer.length"] for point in points} == {"7.5 epochs"}
    assert all(keys(point)["seed"] == str(point.seed) for point in points)
    assert all(FOLDER / "guide" in point.folder.parents for point in points)
    for point in points:
        named = [text.partition("=")[0] for text in point.overrides]
        assert len(named) == len(set(named))


def test_warmup_steadies_the_more_so_the_larger_network() -> None:
    found = judged(warmup, warm_world({"resnet8": 0.3, "resnet20": 1.2}))
    assert (found.finding, found.num_seeds) == (SUPPORTED, 7)
    # exp(0.75) = 2.12 on average; from the smaller to the larger exp(0.9) = 2.46
    assert float(found.sentences[0].split("gradient norm is ")[1].split()[0]) == pytest.approx(
        2.12, rel=0.1
    )
    assert float(found.sentences[1].split("network it is ")[1].split()[0]) == pytest.approx(
        2.46, rel=0.15
    )


def test_warmup_that_steadies_alike_leaves_the_trend_open_or_refuted() -> None:
    found = judged(warmup, warm_world({"resnet8": 0.8, "resnet20": 0.8}))
    assert found.finding != SUPPORTED
    worse = judged(warmup, warm_world({"resnet8": 1.2, "resnet20": 0.3}))
    assert worse.finding == NOT_SUPPORTED


def test_warmup_without_effect_is_not_supported() -> None:
    found = judged(warmup, warm_world({"resnet8": 0, "resnet20": 0}, sd=0.01))
    assert found.finding == NOT_SUPPORTED


def test_divergences_without_warmup_count_as_the_largest_norm() -> None:
    calm = warm_world({"resnet8": 0.3, "resnet20": 0.3})

    def world(point: Point, given: Any) -> Truth:
        truth = calm(point, given)
        ruined = given.get("model") == "resnet20" and given.get("scheduler.warmup") == "0 steps"
        if ruined and float(given["optimizer.lr"]) > 1:
            return replace(truth, diverged=True, norm=None)
        return replace(truth, norm=30.0) if ruined else truth

    found = judged(warmup, world)
    assert found.finding == SUPPORTED
    assert "0 of 42 runs with it diverged and 7 of 42 runs without it" in found.sentences[0]
    # one cell of six is ruined without: (5 · 90 + 10) / 6
    assert "90.00 % with it (sd over seeds 0.00) and 76.67 % without it" in found.sentences[0]
    row = next(row for row in found.tables[0].rows if row[0] == "resnet20, lr 1.6")
    assert row[2] == "7 / 0"
    assert row[3].startswith("– / ")
    assert row[5] == "10.00 % / 90.00 %"
    assert row[7] == "80.00"


def test_one_network_shows_no_trend() -> None:
    settings = study(guide__models=["resnet8"])
    found = judged(warmup, warm_world({"resnet8": 1.0}), settings)
    assert found.finding == CANNOT_TELL
    assert found.sentences[1].endswith("; one network alone shows no trend with size.")
    assert found.remedy == "study.guide.models=[a smaller one,a larger one]"


def test_without_cosine_the_best_strategy_without_a_warmup_is_run() -> None:
    def world(point: Point, given: Any) -> Truth:  # noqa: ARG001
        better = {"onecycle": 0.92, "plateau": 0.91, "warmup_decay": 0.95}
        return Truth(test=better.get(point.strategy, 0.5))

    settings = study(strategies=["plateau", "onecycle", "warmup_decay"])
    outcome = imagine(FOLDER, world, settings)
    runs = runs_of(outcome, world, [])
    for point in outcome.full.final["warmup_decay"]:
        config = {**runs[point.folder].config, "scheduler.warmup": "5%"}
        runs[point.folder] = replace(runs[point.folder], config=config)
    assert warmup.vehicle(outcome, runs) == "onecycle"
    only = replace(outcome, study=study(strategies=["warmup_decay"]))
    assert warmup.vehicle(only, runs) is None
    assert warmup.points_of(only, runs) == []
    assert judge(warmup, only, runs, MARGIN).finding == CANNOT_TELL


@pytest.mark.parametrize(
    ("choice", "changes", "larger"),
    [
        ("resnet8", {}, "resnet20"),
        ("resnet56", {}, "resnet110"),
        ("resnet110", {}, None),
        ("lenet", {}, None),
        ("resnet8", {"width": 32}, "resnet20"),
        ("resnet8", {"depth": 26}, None),  # the command's depth holds for every choice
        ("gpt_tiny", {}, "gpt_nano"),
        ("my_own", {}, None),
    ],
)
def test_the_next_larger_network(choice: str, changes: dict[str, Any], larger: str | None) -> None:
    assert next_larger(choice, changes) == larger


def budget_world(lead: float, still: float = 0.0, sd: float = 0.002) -> World:
    """OneCycle is `lead` ahead at 30 % of the length, `still` of it without its momentum cycle."""

    def world(point: Point, given: Any) -> Truth:
        score = 0.9 + normal("seed", point.seed)
        if point.strategy == "onecycle" and given["trainer.length"] == "4.5 epochs":
            score += still if given.get("scheduler.cycle_momentum") == "false" else lead
        return Truth(test=score + normal(point.strategy, point.seed, len(given), sd=sd))

    return world


BUDGETS = ["30%", "100%"]


def test_onecycle_is_best_when_time_is_short() -> None:
    found = judged(onecycle, budget_world(0.02, still=0.01), study(budgets=BUDGETS))
    assert (found.finding, found.num_seeds, found.remedy) == (SUPPORTED, 8, "")
    assert found.sentences[0].startswith(
        "OneCycle's rank by mean test accuracy among 4: 1 (1 without the momentum cycle) at 30 %"
    )
    rows = {row[0]: row for row in found.tables[0].rows}
    assert float(rows["30 %: onecycle without momentum cycle"][3]) == pytest.approx(1.0, abs=0.2)


def test_onecycle_without_its_momentum_cycle_is_run_at_the_short_budgets_alone() -> None:
    outcome = imagine(FOLDER, budget_world(0), study(budgets=["10%", *BUDGETS]))
    points = onecycle.points_of(outcome, {})
    assert {keys(p)["trainer.length"] for p in points} == {"1.5 epochs", "4.5 epochs"}
    assert {keys(p)["scheduler.cycle_momentum"] for p in points} == {"false"}
    assert len(points) == 16
    stage = outcome.stages[0]
    tuned = {**stage.chosen, "onecycle": Setting(lr=0.1, knobs={"cycle_momentum": False})}
    stages = (replace(stage, chosen=tuned), *outcome.stages[1:])
    assert len(onecycle.points_of(replace(outcome, stages=stages), {})) == 8


def test_a_better_rival_refutes_onecycle() -> None:
    found = judged(onecycle, budget_world(-0.02), study(budgets=BUDGETS))
    assert found.finding == NOT_SUPPORTED
    assert "it is beaten by cosine at 30 % (−" in found.sentences[1]
    assert ": 4 (" in found.sentences[0]


def test_without_a_short_budget_the_command_is_told() -> None:
    found = judged(onecycle, budget_world(0.02))
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 0)
    assert found.remedy == "study.budgets=[30%,100%]"
    assert onecycle.points_of(imagine(FOLDER, budget_world(0.02), study()), {}) == []


def cut_world(
    gain: float, cuts: tuple[int, ...] = (60,), sd: float = 0.001, unlike: bool = False
) -> World:
    """plateau cuts its lr after the updates `cuts`; each gains `gain` of validation accuracy."""

    def world(point: Point, given: Any) -> Truth:
        if point.strategy != "plateau":
            return Truth()
        held = float(given.get("scheduler.min_factor", 1e-4))
        kept = tuple(cut for k, cut in enumerate(cuts) if 0.1**k > held * 1.001)
        own = gain + normal(point.seed, len(kept), sd=sd)
        other = 0.01 if unlike and kept != cuts else 0.0
        return Truth(test=0.8 + other, cuts=kept, gain_at_cut=own)

    return world


def test_plateau_helps_where_its_cuts_gain() -> None:
    found = judged(plateau, cut_world(0.01))
    assert (found.finding, found.num_seeds, found.remedy) == (SUPPORTED, 8, "")
    assert found.sentences[0] == (
        "plateau cut the lr in each of 8 runs, 1.0 times on average (1 to 1)."
    )
    assert "8 seeds, 8 cuts tried" in found.sentences[1]
    assert float(found.sentences[1].split("gained ")[1].split()[0]) == pytest.approx(1, abs=0.1)
    assert found.tables[0].rows[0][:4] == ("cut 1", "8 of 8", "60 % (60 to 60)", "8")


def test_cuts_that_cost_or_bring_nothing_refute_plateau() -> None:
    assert judged(plateau, cut_world(-0.01)).finding == NOT_SUPPORTED
    assert judged(plateau, cut_world(0.0, sd=0.0005)).finding == NOT_SUPPORTED


def test_few_cuts_are_no_evidence() -> None:
    found = judged(plateau, cut_world(0.05), study(guide__cut_seeds=2))
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 2)
    assert found.remedy.startswith("at least 3 seeds (study.guide.cut_seeds); with 2 no effect")


def test_seeds_without_a_cut_ask_for_more_final_seeds() -> None:
    calm = cut_world(0.05)

    def world(point: Point, given: Any) -> Truth:
        truth = calm(point, given)
        return truth if point.seed < 2 else replace(truth, cuts=())

    found = judged(plateau, world)
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 2)
    assert found.sentences[0] == (
        "plateau cut the lr in 2 of 8 runs, 0.2 times a run on average (0 to 1)."
    )
    assert found.remedy.startswith(
        "at least 3 seeds (study.final_seeds, of which 2 of 8 had a cut); with 2 no effect"
    )


def test_a_plateau_that_never_fired_is_told_plainly() -> None:
    found = judged(plateau, cut_world(0.0, cuts=()))
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 8)
    assert found.sentences == (
        "It never fired: plateau made no cut in 8 runs (patience 3 evaluations), so here it was a "
        "constant lr.",
    )


def test_the_run_without_a_cut_holds_the_factor_before_it() -> None:
    world = cut_world(0.01, cuts=(40, 70))
    outcome = imagine(FOLDER, world, study(guide__max_cuts=2, guide__cut_seeds=2), lrs=(0.1,))
    runs = runs_of(outcome, world, [])
    points = plateau.points_of(outcome, runs)
    assert [keys(point)["scheduler.min_factor"] for point in points] == ["1.0", "0.1"] * 2
    assert [point.seed for point in points] == [0, 0, 1, 1]
    first = runs[outcome.full.final["plateau"][0].folder]
    found = plateau.cuts(first)
    assert [(cut.number, cut.step, cut.until) for cut in found] == [(1, 40, 70), (2, 70, 100)]


def test_a_run_that_is_not_the_same_before_the_cut_is_left_out_and_told() -> None:
    found = judged(plateau, cut_world(0.01, unlike=True))
    assert found.finding == CANNOT_TELL
    assert found.sentences[1] == (
        "Not measured: the runs without a cut were not the same before it."
    )


def test_rows_further_apart_than_evaluations_still_find_the_cut() -> None:
    world = cut_world(0.01)
    outcome = imagine(FOLDER, world, lrs=(0.1,))
    run = run_of(outcome.full.final["plateau"][0], world, FOLDER)
    history = history_of(Truth(cuts=(60,)), 0.1)
    history.loc[history["step"] % 20 != 0, ["val_loss", "val_accuracy"]] = np.nan
    (cut,) = plateau.cuts(replace(run, history=history))
    assert (cut.step, cut.until, cut.factor_before) == (60, 100, 1.0)


def test_without_its_strategy_no_claim_asks_for_runs() -> None:
    outcome = imagine(FOLDER, late({}), study(strategies=["warmup_decay"], guide__references=[]))
    runs = {
        folder: replace(run, config={**run.config, "scheduler.warmup": "5%"})
        for folder, run in runs_of(outcome, late({})).items()
        if "guide" not in folder.parts
    }
    for claim in CLAIMS:
        assert claim.points_of(outcome, runs) == []
        found = judge(claim, outcome, runs, MARGIN)
        assert (found.finding, found.num_seeds) == (CANNOT_TELL, 0)
        assert found.remedy


def outcome_without_runs() -> StudyOutcome:
    return imagine(FOLDER, late({}), study(budgets=BUDGETS), lrs=(0.1,))


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_finished_run_is_no_evidence(claim: Any) -> None:
    found = judge(claim, outcome_without_runs(), {}, MARGIN)
    assert (found.finding, found.num_seeds) == (CANNOT_TELL, 0)
    assert found.remedy


def test_tests_share_the_error_rate() -> None:
    rising = np.linspace(0.01, 0.02, 8)
    alone = claim_tests.tested({"a": rising}, 0.002, 0.05)["a"]
    expected = stats.ttest_1samp(rising, 0).confidence_interval(0.95)
    assert (alone.low, alone.high) == pytest.approx(tuple(expected))
    both = claim_tests.tested({"a": rising, "none": np.array([])}, 0.002, 0.05)
    expected = stats.ttest_1samp(rising, 0).confidence_interval(0.975)
    assert (both["a"].low, both["a"].high) == pytest.approx(tuple(expected))
    assert both["a"].above
    assert both["none"].num == 0
    assert not both["none"].above


def test_relevance_is_asked_before_significance() -> None:
    tiny = np.linspace(0.0001, 0.0003, 12)  # above 0 for sure, and a tenth of the margin
    tests = claim_tests.tested({"a": tiny}, 0.002, 0.05)
    assert tests["a"].above
    assert claim_tests.finding(tests) == NOT_SUPPORTED
    wide = np.linspace(-0.0004, 0.004, 12)  # above 0 for sure, its mean within the margin
    tests = claim_tests.tested({"a": wide}, 0.002, 0.05)
    assert tests["a"].above
    assert claim_tests.finding(tests) == CANNOT_TELL
