"""Who gets further seeds, and what the noise floor says: on made-up scores, without training."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from study_runs import MEASURES, Truth, World, keys, result_of, study

from lrbench.compare.settings import Margin
from lrbench.files.result import RunResult, parse_result
from lrbench.study.allocation import Allocation, allocate, expected_runs
from lrbench.study.arguments import parse
from lrbench.study.composed import compose_study
from lrbench.study.noise import noise_floor
from lrbench.study.protocol import conduct, noise
from lrbench.study.records import Point, Setting, StudyOutcome
from lrbench.study.settings import Study
from lrbench.task import Measure

NAMES = ["cosine", "onecycle", "plateau"]
LOSS = Measure(name="loss", higher_is_better=False, unit="nats")
Scores = dict[str, list[float]]


def looked(**changes: Any) -> Study:
    planned = {"strategies": NAMES, "final_seeds": list(range(16)), "looks": [5, 8, 12]}
    return study(**{**planned, "guide": None, "margin": 0.05, **changes})


def scores_of(means: Mapping[str, float], num: int = 16, sd: float = 1.0, seed: int = 0) -> Scores:
    """Normal losses; seeds shift all strategies alike, which pairing takes out again."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 3, num)
    return {name: list(mean + shared + rng.normal(0, sd, num)) for name, mean in means.items()}


def conducted(planned: Study, scores: Scores, measure: Measure = LOSS) -> list[Allocation]:
    """All allocations of a study that makes the runs that it is asked for, and no others."""
    found: list[Allocation] = []
    made: Mapping[str, list[float]] = {name: [] for name in planned.strategies}
    while not found or not found[-1].ended:
        found.append(allocate(planned, made, measure))
        made = {name: scores[name][:num] for name, num in found[-1].num_seeds.items()}
    return found


def test_a_strategy_that_is_beaten_gets_no_more_and_the_last_one_left_ends_it() -> None:
    scores = scores_of({"cosine": 0.0, "onecycle": 2.0, "plateau": 30.0})
    steps = conducted(looked(), scores)
    assert [step.num_seeds["plateau"] for step in steps] == [5] * len(steps)
    assert steps[0].num_seeds == dict.fromkeys(NAMES, 5)
    assert steps[-1].dropped == {"plateau": "cosine beats it", "onecycle": "cosine beats it"}
    assert steps[-1].ended == f"after {steps[-1].num_seeds['cosine']} seeds: cosine is left"
    assert 5 < steps[-1].num_seeds["cosine"] < 16


def test_what_was_decided_does_not_depend_on_what_was_run_since() -> None:
    planned, scores = looked(), scores_of({"cosine": 0.0, "onecycle": 1.5, "plateau": 30.0})
    assert allocate(planned, scores, LOSS) == conducted(planned, scores)[-1]


def test_equals_end_by_equivalence_where_the_margin_can_be_resolved_else_by_futility() -> None:
    alike = dict.fromkeys(NAMES, 0.0)
    assert conducted(looked(margin=9.0), scores_of(alike))[-1].ended == (
        "after 5 seeds: cosine, onecycle and plateau are equivalent within 9 nats"
    )
    ended = conducted(looked(futility="100%"), scores_of(alike))[-1].ended
    assert ended.startswith("after 5 seeds: even 16 would tell cosine, onecycle and plateau apart ")
    assert conducted(looked(futility="0.001%", looks=[]), scores_of(alike))[-1].ended == (
        "all 16 seeds are used"
    )


def test_lost_runs_are_left_out_and_one_strategy_gets_all_seeds() -> None:
    scores = scores_of({"cosine": 0.0, "onecycle": 2.0, "plateau": 30.0})
    scores["cosine"][2] = float("nan")
    assert conducted(looked(), scores)[0].num_seeds == dict.fromkeys(NAMES, 5)
    assert "plateau" in conducted(looked(), scores)[-1].dropped
    scores["cosine"] = [float("nan")] * 16
    steps = conducted(looked(), scores)
    assert steps[-1].dropped["cosine"] == "every run of it diverged"
    assert steps[-1].num_seeds["cosine"] == 5
    lost = conducted(looked(), dict.fromkeys(NAMES, [float("nan")] * 16))
    assert lost[-1].ended == "after 5 seeds: no strategy is left"
    alone = conducted(looked(strategies=["cosine"]), {"cosine": [1.0] * 16})
    assert alone[0].num_seeds == alone[-1].num_seeds == {"cosine": 16}


def test_seeds_of_one_tuning_draw_are_no_evidence_of_another() -> None:
    """However many seeds: two draws are two independent units, which claim nothing; six claim."""
    scores = scores_of({"cosine": 0.0, "onecycle": 30.0, "plateau": 30.0})
    seeds = list(range(1000, 1012))
    few = looked(tuning_draws=2, tuning_seeds=seeds)
    assert allocate(few, scores, LOSS).dropped == {}
    many = looked(tuning_draws=6, tuning_seeds=seeds)
    assert allocate(many, scores, LOSS).dropped.keys() == {"onecycle", "plateau"}


def test_a_clear_lead_is_expected_to_cost_fewer_runs_than_a_small_one() -> None:
    small, clear = (expected_runs(looked(), lead, num_studies=12) for lead in (0.7, 4.0))
    assert 3 * 5 <= clear < small <= 3 * 16
    assert expected_runs(looked(looks=[]), 4.0, num_studies=2) == 3 * 16


def test_seeds_are_dealt_to_draws_and_splits() -> None:
    planned = looked(tuning_draws=2, splits=[7, 8, 9])
    assert [planned.draw(seed) for seed in range(4)] == [0, 1, 0, 1]
    assert [planned.split(seed) for seed in range(8)] == [7, 7, 8, 8, 9, 9, 7, 7]
    assert looked(final_seeds=[4, 5, 6, 7, 8, 9]).planned_looks == (5, 6)


class Imagined:
    """Makes runs in no time: what each comes to is a function of its point."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.results: dict[Path, RunResult] = {}
        self.missing: dict[Path, str] = {}
        self.asked: list[tuple[str, int]] = []

    def run(self, points: Sequence[Point], title: str) -> None:
        self.asked.append((title, len({point.folder for point in points})))
        for point in points:
            truth = self.world(point, keys(point))
            self.results[point.folder] = parse_result(result_of(point, truth))


def imagined(world: World, *words: str) -> tuple[StudyOutcome, Imagined, list[str]]:
    """The study of `words`, conducted in `world`; what it said."""
    said: list[str] = []
    maker = Imagined(world)
    command = [
        "dataset=digits", "study.strategies=[cosine,onecycle,plateau]", "study.guide=null", *words
    ]  # fmt: skip
    with compose_study(parse(command)) as found:
        floor = noise(found, maker)
        assert (floor is None) == ("study.noise_seeds=[]" in words)
        return conduct(found, maker, said.append), maker, said


def led(point: Point, given: Mapping[str, str]) -> Truth:
    """OneCycle leads cosine by a little and plateau by much; even tuning seeds prefer lr 0.2."""
    rng = np.random.default_rng(zlib.crc32(repr((point.strategy, point.seed)).encode()))
    test = {"onecycle": 0.9, "cosine": 0.888, "plateau": 0.5}[point.strategy] + rng.normal(0, 0.005)
    best = 0.2 if point.seed % 2 == 0 else 0.1
    return Truth(test=test, val=0.9 - abs(float(given["optimizer.lr"]) - best))


def test_a_study_gives_seeds_where_they_decide() -> None:
    outcome, maker, said = imagined(led, "study.untuned=false", "study.tuning_seeds=[1000,1002]")
    stage = outcome.full
    given = {name: len(points) for name, points in stage.final.items()}
    assert given["plateau"] == 5 < given["cosine"] == given["onecycle"] < 20
    assert dict(stage.allocation.num_seeds) == given
    assert maker.asked[:3] == [
        ("15 epochs, noise floor", 5), ("15 epochs, tuning", 30), ("15 epochs, fresh seeds", 15),
    ]  # fmt: skip
    assert maker.asked[3] == ("15 epochs, fresh seeds", 5 + 2 * 6)
    assert said[-1] == f"  after {given['cosine']} seeds: onecycle is left"
    assert stage.chosen["cosine"] == Setting(lr=0.2)


def test_each_draw_has_its_own_lr_and_splits_are_dealt() -> None:
    words = ["study.tuning_draws=2", "study.splits=[3,4]", "study.looks=[]"]
    outcome, _, _ = imagined(
        led, *words, "study.final_seeds=range(6)", "study.noise_seeds=[]", "study.untuned=true"
    )
    stage = outcome.full
    assert [draw["cosine"] for draw in stage.draws] == [Setting(lr=0.2), Setting(lr=0.1)]
    final, untuned = (
        [(float(keys(p)["optimizer.lr"]), keys(p)["dataset.split_seed"]) for p in track["cosine"]]
        for track in (stage.final, stage.untuned)
    )
    assert final == [(0.2, "3"), (0.1, "3"), (0.2, "4"), (0.1, "4"), (0.2, "3"), (0.1, "3")]
    assert untuned == [(0.1, split) for _, split in final]
    own = [a == b for a, b in zip(stage.final["cosine"], stage.untuned["cosine"], strict=True)]
    assert own == [False, True] * 3  # where the default was chosen, it is the same run


def test_the_noise_floor_by_hand() -> None:
    """Power of a t test by the normal's quantiles: n = 2 ((2.39 + 0.84) sd / effect)² about."""
    scores = [0.90, 0.91, 0.92]  # sd 1 point
    margin = Margin.of(0.2, MEASURES[0], 0.9)
    found = noise_floor(scores, MEASURES[0], margin, 3, 16)
    assert found is not None
    assert found.sd == pytest.approx(0.01)
    assert 400 < found.needed < 600
    assert found.too_high
    assert 0.010 < found.resolved < 0.016
    assert "differences below about 1." in found.sentence
    assert "cannot be seen here with 16 seeds; 0.2 points would take about " in found.sentence
    calm = noise_floor([0.9, 0.9001, 0.9], MEASURES[0], margin, 3, 16)
    assert calm is not None
    assert not calm.too_high
    assert calm.sentence.endswith("points on")
    assert noise_floor(scores[:2], MEASURES[0], margin, 3, 16) is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"looks": [8, 5]}, r"study.looks=\[8, 5\] must rise, from 2 seeds on"),
        ({"looks": [1]}, r"study.looks=\[1\] must rise, from 2 seeds on"),
        ({"futility": "half"}, "study.futility=half: 'half' is not a duration"),
        ({"futility": "0%"}, "study.futility=0% must be a share from above 0% to 100%"),
        ({"splits": []}, r"study.splits=\[\] must hold a seed"),
        ({"splits": [0, 0]}, r"study.splits=\[0, 0\] must not repeat \[0\]"),
        ({"workloads": ["model=mlp"]}, r"study.workloads=\['model=mlp'\] must name at least two"),
        ({"workloads": ["a=b", "a=b"]}, r"study.workloads=.* must not repeat \['a=b'\]"),
        ({"tuning_draws": 0}, "study.tuning_draws=0 must be from 1 to 2: each draw needs"),
        ({"tuning_draws": 3}, "study.tuning_draws=3 must be from 1 to 2: each draw needs"),
        ({"noise_seeds": [1, 2]}, r"study.noise_seeds=\[1, 2\] must be empty or at least 3"),
        ({"noise_seeds": [1, 2, 1000]}, r"study.noise_seeds=.* must not hold the tuning seeds"),
        ({"stop_at_noise": "maybe"}, "study.stop_at_noise=maybe must be of type bool"),
    ],
)
def test_wrong_values_are_refused(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}"):
        looked(**changes)
