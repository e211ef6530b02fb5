"""Chains: parts, their lengths, what passes from one to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from schedule_oracles import CONF, assert_equal, factors, make, momenta, patient_chain, torch_groups

from lrbench.config import build
from lrbench.scheduler import Chain, Part, Progress, Scheduler


def chain(*parts: tuple[str, Scheduler, str], **changes: Any) -> Chain:
    """A chain of (duration, scheduler, scale)."""
    named = {
        f"part{i}": Part(duration=duration, scheduler=scheduler, scale=scale)
        for i, (duration, scheduler, scale) in enumerate(parts)
    }
    return make("chain", parts=named, **changes)


def history(*losses: float, every: int = 10) -> dict[str, Any]:
    """Losses measured after each `every` updates."""
    steps = tuple(every * (i + 1) for i in range(len(losses)))
    return {"val_losses": losses, "val_steps": steps}


def test_default_is_warmup_plateau_cooldown() -> None:
    ours = make("chain")
    spans = [(phase.name, phase.start, phase.stop) for phase in ours.phases(200, 10)]
    assert spans == [("warmup", 0, 10), ("plateau", 10, 180), ("cooldown", 180, 200)]
    values = factors(ours, 200, extra=2)
    assert values[0] == pytest.approx(0.01)
    assert values[10:181] == [1.0] * 171
    assert values[190] == pytest.approx(0.5)
    assert values[200:] == pytest.approx([0, 0])


def test_cooldown_starts_from_where_the_plateau_has_come_to() -> None:
    bad = history(*[1.0] * 19)
    ours = patient_chain(5)
    seen = {
        step: ours.factor(Progress(step, 200, 10, **bad)) for step in (79, 80, 139, 140, 180, 190)
    }
    # The evaluation after update 10 is the first one of the plateau; patience 5 cuts at the 7th.
    assert seen == pytest.approx({79: 0.1, 80: 0.1, 139: 0.01, 140: 0.01, 180: 0.01, 190: 0.005})
    assert ours.factor(Progress(69, 200, 10, **bad)) == 1.0
    assert ours.factor(Progress(70, 200, 10, **bad)) == pytest.approx(0.1)


def test_plateau_is_frozen_once_its_part_is_over() -> None:
    ours = chain(
        ("50 steps", make("plateau", patience=0), "base"), ("rest", make("constant"), "previous")
    )
    falling = history(1.0, 0.9, 0.8, 0.7)
    rising_later = history(1.0, 0.9, 0.8, 0.7, 5.0, 6.0, 7.0)
    for losses in (falling, rising_later):
        assert ours.factor(Progress(80, 100, 10, **losses)) == 1.0


def test_second_plateau_knows_only_its_own_evaluations() -> None:
    plateau = make("plateau", patience=0)
    ours = chain(("50%", plateau, "base"), ("rest", plateau, "previous"))
    losses = history(0.1, 0.2, 0.3, 0.4, 0.9, 0.8, 0.7, 0.8)
    seen = [ours.factor(Progress(step, 100, 10, **losses)) for step in (19, 20, 30, 49, 50, 79, 80)]
    assert seen == pytest.approx([1, 0.1, 0.01, 1e-3, 1e-3, 1e-3, 1e-4])


def test_says_why_in_the_words_of_its_parts() -> None:
    changes = patient_chain(5).changes(Progress(199, 200, 10, **history(*[0.5] * 9)))
    assert [(change.step, change.reason) for change in changes] == [
        (10, "warmup ends, plateau begins"),
        (70, "plateau: cut to 0.1 of the base lr: 6 evaluations without improvement on 0.5"),
        (180, "plateau at 0.1 ends, cooldown begins"),
    ]


def test_equals_the_sequential_schedulers_of_torch() -> None:
    from torch.optim import lr_scheduler

    theirs = torch_groups(
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, 0.25, 1.0, 10),
                lr_scheduler.CosineAnnealingLR(o, 40, eta_min=0.1),
                lr_scheduler.ExponentialLR(o, 0.9),
            ],
            milestones=[10, 50],
        ),
        80,
    )
    ours = chain(
        ("10 steps", make("linear", start_factor=0.25, end_factor=1.0), "base"),
        ("40 steps", make("cosine", min_factor=0.1), "base"),
        ("rest", make("exponential", decay_rate=0.9, every="1 steps"), "base"),
    )
    assert_equal(factors(ours, 80), theirs, "torch SequentialLR", absolute=1e-12)


def test_scale_is_of_the_base_lr_or_of_where_the_part_before_ended() -> None:
    half = make("linear", end_factor=0.5)
    on = chain(("4 steps", half, "base"), ("rest", make("linear"), "previous"))
    assert factors(on, 8) == pytest.approx([1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    anew = chain(("4 steps", half, "base"), ("rest", make("linear"), "base"))
    assert factors(anew, 8)[4:] == pytest.approx([1, 0.75, 0.5, 0.25])


def test_a_part_is_a_run_of_its_own_and_keeps_its_momentum() -> None:
    ours = chain(("50%", make("onecycle"), "base"), ("rest", make("cosine", warmup="50%"), "base"))
    assert factors(ours, 100)[:50] == factors(make("onecycle"), 50)
    assert factors(ours, 100)[50:] == factors(make("cosine", warmup="50%"), 50)
    assert momenta(ours, 100, 10) == [*momenta(make("onecycle"), 50, 10), *[None] * 50]
    names = [phase.name for phase in ours.phases(100, 10)]
    assert names[0] == "part0: rise to the peak"


def test_chains_nest_and_begin_with_a_warmup() -> None:
    inner = chain(("50%", make("constant"), "base"), ("rest", make("linear"), "base"))
    outer = chain(
        ("rest", inner, "base"),
        ("4 steps", make("constant"), "previous"),
        warmup="2 steps",
        warmup_start_factor=0.5,
    )
    # 12 updates: 2 of warmup, 6 of the inner chain (3 and 3), 4 at what it ended with.
    assert factors(outer, 12) == pytest.approx([0.5, 0.75, 1, 1, 1, 1, 2 / 3, 1 / 3, 0, 0, 0, 0])
    assert not outer.reads_losses


@pytest.mark.parametrize("total", [1, 2, 3, 7, 19, 285, 1001])
def test_percentages_that_add_up_fill_any_run(total: int) -> None:
    ours = chain(
        ("33%", make("constant"), "base"),
        ("33%", make("constant"), "base"),
        ("34%", make("linear"), "base"),
    )
    assert ours.phases(total, 10)[-1].stop == total


def test_parts_end_at_the_nearest_update() -> None:
    ours = chain(*[(f"{share}%", make("constant"), "base") for share in (33, 33, 34)])
    assert [phase.stop for phase in ours.phases(10, 10)] == [3, 7, 10]


def test_replayed_curve_is_what_the_run_saw() -> None:
    ours, bad = make("chain"), history(*[1.0] * 19)
    curve = ours.factors(200, 10, **bad)
    for step in range(200):
        seen = sum(v <= step for v in bad["val_steps"])
        then = Progress(step, 200, 10, bad["val_losses"][:seen], bad["val_steps"][:seen])
        assert ours.factor(then) == curve[step]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((("60 steps", "base"), ("50 steps", "base")), "parts=60 steps, 50 steps take 110 steps"),
        ((("60 steps", "base"), ("30 steps", "base")), "let one of them last 'rest'"),
        ((("rest", "base"), ("rest", "base")), "parts.part1.duration=rest, but parts.part0"),
        ((("all", "base"),), "duration='all' is not a duration"),
        ((("rest", "last"),), "scale=last is not one of previous, base"),
    ],
)
def test_refuses_parts_that_do_not_fit(parts: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factors(chain(*((d, make("constant"), scale) for d, scale in parts)), 100)


def test_names_the_part_whose_schedule_does_not_fit() -> None:
    ours = chain(
        ("20 steps", make("cosine", warmup="30 steps"), "base"), ("rest", make("rex"), "base")
    )
    message = "parts.part0.scheduler.warmup=30 steps must be shorter than the run"
    with pytest.raises(ValueError, match=message):
        ours.phases(100, 10)


def test_refuses_no_parts_and_what_is_no_part() -> None:
    with pytest.raises(ValueError, match=r"parts=\{\} must hold at least one part"):
        replace(make("chain"), parts={})
    with pytest.raises(ValueError, match="must be a part"):
        replace(make("chain"), parts={"a": make("cosine")})


def test_parts_are_one_override_away() -> None:
    overrides = [
        "scheduler=chain",
        "scheduler@scheduler.parts.plateau.scheduler=cosine",
        "scheduler.parts.plateau.scheduler.min_factor=0.5",
        "scheduler.parts.cooldown.duration=20%",
    ]
    with initialize_config_dir(str(CONF), version_base=None):
        ours = build(compose("config", overrides=overrides).scheduler, "scheduler")
    values = factors(ours, 100)
    assert values[80] == pytest.approx(0.5)
    assert values[90] == pytest.approx(0.25)
