"""The loop trains as its oracles do, and a cut run ends as if it had never been cut."""

import functools
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from runs import Saved, each_update, history, new_loop, numbers, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from lrbench.trainer.evaluate import evaluate
from lrbench.trainer.loop import Diverged, Interrupted, Loop

SCHEDULERS = ["constant", "cosine", "cosine_restarts", "onecycle", "plateau", "warmup_decay"]
EAGER_PLATEAU = ["scheduler.patience=0", "scheduler.threshold=0.9", "scheduler.cut_factor=0.5"]


def weights(loop: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in loop.model.state_dict().items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Loop, Any, Path]]:
    """Runs the loop of some overrides whole, once: itself, what it returned, its folder."""

    @functools.cache
    def whole(*overrides: str) -> tuple[Loop, Any, Path]:
        folder = tmp_path_factory.mktemp("undisturbed")
        loop = new_loop(*overrides)
        return loop, run(loop, folder, Saved()), folder

    return whole


# Cut in an update, in an evaluation and near the end; where the schedule is a function of the
# update alone, it makes no difference which one it is.
CUTS = [("plateau", 3), ("onecycle", 17), ("plateau", 21), ("plateau", 39)]
CUTS += [(name, 21) for name in SCHEDULERS if name != "plateau"]


@pytest.mark.parametrize(("scheduler", "polls"), CUTS)
def test_a_resumed_run_is_bit_identical(
    undisturbed: Callable[..., Any], tmp_path: Path, scheduler: str, polls: int
) -> None:
    overrides = [f"scheduler={scheduler}", "model=resnet8", "model.width=4"]
    overrides += ["dataset.val_fraction=0.5", "trainer.eval_batch_size=200"]
    overrides += ["trainer.log_interval=3 steps", "trainer.batch_size=16"]
    overrides += EAGER_PLATEAU if scheduler == "plateau" else []
    whole, expected, folder = undisturbed(*overrides)
    saved = Saved(stop_after=polls)
    with pytest.raises(Interrupted):
        run(new_loop(*overrides), tmp_path / "cut", saved)
    resumed = new_loop(*overrides)
    resumed.restore(saved.checkpoints[-1])
    assert 0 < resumed.state.step <= 36
    assert run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"]) == expected
    assert history(tmp_path / "cut") == history(folder)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    if scheduler == "plateau":
        assert len(set(numbers(history(folder), "lr"))) > 1, "no cut: nothing tested"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in ("whole", "cut", "a", "b"):
        (tmp_path / name).mkdir()


def test_dropout_too_is_bit_identical_after_resuming(tmp_path: Path) -> None:
    def net() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))

    whole = new_loop(model=net())
    run(whole, tmp_path / "whole", Saved())
    saved = Saved(stop_after=11)
    with pytest.raises(Interrupted):
        run(new_loop(model=net()), tmp_path / "cut", saved)
    torch.manual_seed(123)  # whatever the process did in between
    resumed = new_loop(model=net())
    resumed.restore(saved.checkpoints[-1])
    run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"])
    assert history(tmp_path / "cut") == history(tmp_path / "whole")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_update_uses_the_lr_and_momentum_of_the_schedule(
    tmp_path: Path, scheduler: str
) -> None:
    loop = new_loop(f"scheduler={scheduler}", "optimizer.lr=0.05", "optimizer.weight_decay=0.01")
    used: list[tuple[float, float]] = []
    each_update(loop, lambda o: used.append(_lr_and_momentum(o)))
    run(loop, tmp_path / "a", Saved())
    assert len(used) == 36
    for step, (lr, momentum) in enumerate(used):
        assert lr == 0.05 * loop.plan.factor(step)
        assert momentum == (loop.plan.momentum(step) or 0.9)
    rows = history(tmp_path / "a")
    assert [int(row["step"]) for row in rows] == list(range(1, 37))
    assert numbers(rows, "lr") == pytest.approx([lr for lr, _ in used], rel=1e-6)
    assert numbers(rows, "momentum") == pytest.approx([m for _, m in used], rel=1e-6)


def _lr_and_momentum(loop: Any) -> tuple[float, float]:
    groups = loop.optimizer.param_groups
    assert len(groups) == 2
    assert groups[0]["lr"] == groups[1]["lr"]
    return groups[0]["lr"], groups[0]["momentum"]


def test_the_loop_equals_a_plain_one(tmp_path: Path) -> None:
    """Oracle: torch's own modules in the plainest loop."""
    overrides = ["scheduler=constant", "task.label_smoothing=0.1", "trainer.max_grad_norm=0.5"]
    loop, plain = new_loop(*overrides), new_loop(*overrides)
    for each in (loop, plain):  # in float64, so that another order of rounding does not matter
        each.model.double()
        images_double(each)
    run(loop, tmp_path / "a", Saved())
    model, optimizer = plain.model, plain.optimizer
    losses = []
    for step in range(36):
        images, labels = plain.data.train.batch(step, seed=0, batch_size=64)
        loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    rows = history(tmp_path / "a")
    assert numbers(rows, "train_loss") == pytest.approx(losses, rel=1e-5)  # the loss is in float32
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(loop)[name], value, rtol=1e-4, atol=1e-6)


def test_accumulated_gradients_equal_the_whole_batchs(tmp_path: Path) -> None:
    runs = {}
    for parts, name in ((1, "a"), (4, "b")):
        loop = new_loop(f"trainer.gradient_accumulation_steps={parts}", "scheduler=constant")
        loop.model.double()
        images_double(loop)
        run(loop, tmp_path / name, Saved())
        runs[parts] = (weights(loop), history(tmp_path / name))
    for name, value in runs[1][0].items():
        torch.testing.assert_close(runs[4][0][name], value, rtol=1e-9, atol=1e-12)
    assert [r["train_accuracy"] for r in runs[4][1]] == [r["train_accuracy"] for r in runs[1][1]]
    assert numbers(runs[4][1], "train_loss") == pytest.approx(numbers(runs[1][1], "train_loss"))


def images_double(loop: Any) -> None:
    loop.model.register_forward_pre_hook(lambda _, args: (args[0].double(),))


def test_records_average_the_updates_since_the_last_one(tmp_path: Path) -> None:
    run(new_loop("trainer.log_interval=1 step"), tmp_path / "a", Saved())
    run(new_loop("trainer.log_interval=10 steps"), tmp_path / "b", Saved())
    each, some = history(tmp_path / "a"), history(tmp_path / "b")
    assert [int(r["step"]) for r in some] == [7, 10, 14, 20, 21, 28, 30, 35, 36]
    assert [int(r["step"]) for r in some if r["val_loss"]] == [7, 14, 21, 28, 35, 36]
    for column in ("train_loss", "train_accuracy"):
        mean = sum(numbers(each, column)[14:20]) / 6
        assert float(some[3][column]) == pytest.approx(mean, rel=1e-6)
    assert next(r for r in some if r["step"] == "28")["val_loss"] == each[27]["val_loss"]


def test_checkpoints_keep_to_their_interval(tmp_path: Path) -> None:
    always, rarely = Saved(), Saved()
    run(new_loop("trainer.checkpoint_interval_seconds=0"), tmp_path / "a", always)
    run(new_loop("trainer.checkpoint_interval_seconds=1000"), tmp_path / "b", rarely)
    assert len(always.checkpoints) == 37  # every record, and the end
    assert len(rarely.checkpoints) == 1


def test_diverging_stops_at_the_update_and_says_its_lr(tmp_path: Path) -> None:
    loop = new_loop("scheduler=constant", "optimizer.lr=1e30")
    with pytest.raises(Diverged, match=r"training loss is (nan|inf) at update \d+, lr 1e\+30") as e:
        run(loop, tmp_path / "a", Saved())
    rows = history(tmp_path / "a")
    assert int(rows[-1]["step"]) == e.value.step == loop.state.step
    assert not math.isfinite(float(rows[-1]["train_loss"]))
    assert all(math.isfinite(float(r["train_loss"])) for r in rows[:-1])


def test_a_non_finite_validation_loss_is_a_divergence(tmp_path: Path) -> None:
    loop = new_loop("scheduler=constant")

    def poison(loop: Any) -> None:
        if loop.state.step == 6:  # the seventh update; an evaluation follows
            with torch.no_grad():
                next(loop.model.parameters()).fill_(math.nan)

    each_update(loop, poison)
    with pytest.raises(Diverged, match="validation loss is nan at update 7"):
        run(loop, tmp_path / "a", Saved())


def test_fp16_overflow_repeats_the_update_and_the_schedule_waits(tmp_path: Path) -> None:
    loop = new_loop("trainer.precision=fp16", "scheduler=cosine")
    assert loop.updater.scaler is not None
    loop.updater.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24)
    attempts = []
    original = loop.updater._step_optimizer

    def counted() -> bool:
        attempts.append((loop.state.step, original()))
        return attempts[-1][1]

    loop.updater._step_optimizer = counted  # type: ignore[method-assign]
    run(loop, tmp_path / "a", Saved())
    assert (0, False) in attempts, "nothing overflowed: nothing tested"
    assert [step for step, taken in attempts if taken] == list(range(36))
    rows = history(tmp_path / "a")
    assert [int(r["step"]) for r in rows] == list(range(1, 37))
    expected = [0.1 * loop.plan.factor(step) for step in range(36)]
    assert numbers(rows, "lr") == pytest.approx(expected, rel=1e-6)


def test_bf16_trains_in_bf16_and_learns(tmp_path: Path) -> None:
    loop = new_loop("trainer.precision=bf16", "trainer.length=5 epochs")
    seen: set[torch.dtype] = set()
    loop.model.register_forward_hook(lambda _m, _i, out: seen.add(out.dtype))
    assert run(loop, tmp_path / "a", Saved())["accuracy"] > 0.8
    assert seen == {torch.bfloat16}


def test_going_on_in_another_arithmetic_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun, saved = new_loop("trainer.precision=bf16"), Saved(stop_after=10)
    with pytest.raises(Interrupted):
        run(begun, tmp_path / "a", saved)
    caplog.set_level("WARNING", "lrbench.trainer.handover")
    caplog.clear()
    new_loop("trainer.precision=bf16").restore(saved.checkpoints[-1])
    assert not [r for r in caplog.records if r.name == "lrbench.trainer.handover"]
    new_loop("trainer.precision=fp32").restore(saved.checkpoints[-1])
    assert [r.getMessage() for r in caplog.records if r.name == "lrbench.trainer.handover"] == [
        "this run was begun in bf16, channels_last, eager and goes on in fp32, channels_last, "
        "eager: it will not be bit-identical to one that never stopped"
    ]


def test_compiled_training_agrees_with_eager(tmp_path: Path) -> None:
    eager, compiled = new_loop("trainer.compile=false"), new_loop("trainer.compile=true")
    assert (eager.compiled, compiled.compiled) == (False, True)
    a = run(eager, tmp_path / "a", Saved())
    b = run(compiled, tmp_path / "b", Saved())
    assert b["loss"] == pytest.approx(a["loss"], rel=1e-3)


def test_what_was_compiled_before_in_the_process_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_plainly = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile_plainly)
    dynamo = torch._dynamo.config  # type: ignore[attr-defined]
    monkeypatch.setattr(dynamo, "recompile_limit", 2)  # training and evaluation
    monkeypatch.setattr(dynamo, "fail_on_recompile_limit_hit", True)
    for batch_size in (64, 32):
        loop = new_loop("trainer.compile=true", f"trainer.batch_size={batch_size}")
        run(loop, tmp_path, Saved())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.batch_size=5000", r"trainer\.batch_size=5000 must be .*training images \(1294\)"),
        ("trainer.length=0.01 epochs", r"trainer\.length=0\.01 epochs is less than one update"),
        ("scheduler.warmup=50 steps", r"scheduler\.warmup=50 steps must be shorter .*36"),
    ],
)
def test_parts_that_do_not_fit_are_refused(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        new_loop(override)


def test_a_plateau_reads_the_validation_losses_of_the_run(tmp_path: Path) -> None:
    """Oracle: torch's ReduceLROnPlateau, told the losses that history.csv shows."""
    changes = ["scheduler.patience=1", "scheduler.threshold=0.6", "scheduler.cut_factor=0.5"]
    loop = new_loop("scheduler=plateau", "trainer.eval_interval=3 steps", *changes)
    run(loop, tmp_path / "a", Saved())
    rows = history(tmp_path / "a")
    state = loop.state
    losses = dict(zip(state.val_steps, state.validations["loss"], strict=True))
    assert numbers(rows, "val_loss") == pytest.approx([*losses.values()], rel=1e-6)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=1, threshold=0.6, min_lr=0.1 * 1e-4, eps=0
    )
    expected = []
    for row in rows:
        expected.append(optimizer.param_groups[0]["lr"])
        if row["val_loss"]:
            theirs.step(losses[int(row["step"])])
    assert len(set(expected)) > 2, "hardly a cut: nothing tested"
    assert numbers(rows, "lr") == pytest.approx(expected, rel=1e-6)


def test_a_schedule_free_run_resumes_bit_identically(tmp_path: Path) -> None:
    overrides = ["optimizer=schedulefree_sgd", "scheduler=constant", "model=resnet8"]
    overrides += ["trainer.eval_batch_size=50", "model.width=4"]
    whole = new_loop(*overrides)
    expected = run(whole, tmp_path / "whole", Saved())
    for polls in (9, 39, 54):  # in an update, in the last evaluation, in the test
        saved = Saved(stop_after=polls)
        with pytest.raises(Interrupted):
            run(new_loop(*overrides), tmp_path / "cut", saved)
        resumed = new_loop(*overrides)
        resumed.restore(saved.checkpoints[-1])
        assert run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"]) == expected
        assert history(tmp_path / "cut") == history(tmp_path / "whole")


def test_a_finished_schedule_free_run_keeps_the_weights_it_was_tested_with(tmp_path: Path) -> None:
    overrides = ["optimizer=schedulefree_sgd", "scheduler=constant", "model=resnet8"]
    saved = Saved()
    tested = run(new_loop(*overrides), tmp_path / "a", saved)
    loop = new_loop(*overrides)
    loop.model.load_state_dict(saved.checkpoints[-1]["model"])
    again = evaluate(
        loop.model,
        loop.data.test.batches(loop.settings.eval_batch_size),
        loop.task,
        autocast=nullcontext,
    )
    assert again == tested


def test_every_cut_of_a_plateau_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    overrides = ["scheduler.threshold=0.9", "scheduler.patience=0"]  # cuts at nearly every chance
    loop = new_loop("scheduler=plateau", *overrides)
    run(loop, tmp_path / "a", Saved())
    lrs = numbers(history(tmp_path / "a"), "lr")
    cuts = [step for step in range(1, 36) if lrs[step] < lrs[step - 1]]
    told = [r.message for r in caplog.records if r.message.startswith("update ")]
    assert len(cuts) > 1
    # The last evaluation may cut too, for an update that the run no longer takes.
    assert [int(m.split()[1].rstrip(":")) for m in told if ": cut" in m][: len(cuts)] == cuts
    texts = EventAccumulator(str(tmp_path / "a"), size_guidance={"tensors": 0})
    texts.Reload()
    assert len(texts.Tensors("schedule")) == len(told)
