"""The preview's numbers: table, CSV, thinning, and where a replay stops being valid."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lrbench.config import ConfigError
from lrbench.files import run_folder
from lrbench.preview.__main__ import file_name, picture_paths
from lrbench.preview.arguments import Arguments, parse
from lrbench.preview.compose import Choice, compose
from lrbench.preview.curve import ScheduleCurve, crowded, lay_out, with_groups
from lrbench.preview.downsample import thin
from lrbench.preview.replay import Mark, read_history, starting_overrides
from lrbench.preview.summary import area, notes, table, warmup_updates, write_csv
from lrbench.scheduler import Progress

CONF = Path(__file__).parents[2] / "conf"


@cache
def choose(*overrides: str) -> list[Choice]:
    return compose(overrides, conf=CONF)


def curve(*overrides: str, **arguments: int) -> ScheduleCurve:
    given = Arguments(**arguments)  # type: ignore[arg-type]
    return lay_out(choose(*overrides)[0], given, None)


def write_run(folder: Path, losses: list[float], overrides: list[str], every: int = 20) -> Path:
    """A run folder as a run writes it, with these validation losses."""
    (folder / ".hydra").mkdir(parents=True)
    cfg = choose(*overrides)[0].cfg
    run_folder.write_yaml(folder / ".hydra" / "config.yaml", cfg)
    run_folder.write_yaml(folder / ".hydra" / "overrides.yaml", overrides)
    rows = ["step,epoch,lr,momentum,train_loss,train_accuracy,val_loss,val_accuracy,seconds"]
    for i, loss in enumerate(losses, start=1):
        rows.append(f"{i * every - 1},{(i * every - 1) / 20:.6g},0.1,0.9,1.0,0.5,,,1.0")
        rows.append(f"{i * every},{i * every / 20:.6g},0.1,0.9,1.0,0.5,{loss},0.5,1.0")
    (folder / "history.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_the_run_is_the_real_one() -> None:
    # digits: 1797 images, 359 of them for testing and 144 for validation
    digits = curve("trainer.length=7 epochs", "trainer.batch_size=100")
    assert (digits.steps_per_epoch, digits.total_steps) == (1294 // 100, 7 * 12)
    cifar = curve("dataset=cifar10", "trainer.batch_size=128")
    assert cifar.steps_per_epoch == 45_000 // 128
    assert curve("dataset=imagefolder", steps_per_epoch=33).total_steps == 15 * 33
    assert curve("dataset=imagefolder", num_train=6401).steps_per_epoch == 100


@pytest.mark.parametrize(
    ("overrides", "warmup"),
    [
        (["scheduler=cosine"], 0),
        (["scheduler=constant"], 0),
        (["scheduler=plateau"], 0),
        (["scheduler=step"], 0),
        (["scheduler=cosine_restarts"], 0),
        (["scheduler=warmup_decay", "scheduler.warmup=2 epochs"], 40),
        (["scheduler=wsd", "scheduler.warmup=30 steps"], 30),
        (["scheduler=plateau", "scheduler.warmup=10%"], 30),
        (["scheduler=cosine", "scheduler.warmup=17 steps", "scheduler.warmup_shape=constant"], 17),
        (["scheduler=onecycle"], 89),  # the peak is at 30% - 1 update, as in torch
    ],
)
def test_updates_of_the_warmup(overrides: list[str], warmup: int) -> None:
    assert warmup_updates(curve(*overrides).factors) == warmup


def test_area_relative_to_constant() -> None:
    assert area(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert area(curve("scheduler=constant").factors) == 1
    # the mean of (1 - t/n) over t = 0 .. n-1
    assert area(curve("scheduler=linear").factors) == pytest.approx(301 / 600)


def test_the_table_shows_the_numbers_of_the_schedule() -> None:
    curves = [curve("scheduler=warmup_decay", "optimizer.lr=0.2")]
    (cells,) = zip(*(column.cells for column in table(curves).columns), strict=True)
    last = curves[0].scheduler.factor(Progress(299, 300, 20)) * 0.2
    assert cells == ("warmup_decay", "0.2", "0.002", f"{last:.4g}", "15", "300", "50.0%")


@pytest.mark.parametrize("name", ["onecycle", "cosine_restarts", "cyclic", "chain"])
def test_csv_holds_every_update_to_the_last_digit(name: str, tmp_path: Path) -> None:
    drawn = curve(f"scheduler={name}", "optimizer.lr=0.3")
    path = tmp_path / "new" / "curves.csv"
    write_csv(path, [drawn, replace(drawn, label="again, lr=0.3")])
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["schedule"] for row in rows] == [name] * 300 + ["again, lr=0.3"] * 300
    for t, row in enumerate(rows[:300]):
        progress = Progress(t, 300, 20)
        assert int(row["step"]) == t + 1
        assert float(row["epoch"]) == pytest.approx((t + 1) / 20)
        assert float(row["lr"]) == 0.3 * drawn.scheduler.factor(progress)
        scheduled = drawn.scheduler.momentum(progress)
        assert float(row["momentum"]) == (0.9 if scheduled is None else scheduled)


def test_momentum_is_beta1_or_nothing() -> None:
    assert curve("optimizer=adamw").momentum(0) == 0.9
    none = curve("optimizer=rmsprop", "optimizer.algorithm.momentum=null")
    assert none.momentum(0) is None
    assert none.momentum_points[0].size == 0


def test_thinning_keeps_ends_extremes_and_jumps() -> None:
    rng = np.random.default_rng(0)
    values = rng.random(100_003)
    values[[12_345, 77_777]] = 5.0, -5.0  # lone peaks
    values[50_000:] += 20.0  # a jump
    kept = thin(values, buckets=100)
    assert len(kept) <= 6 * 100
    assert (np.diff(kept) > 0).all()
    assert {0, 100_002, 12_345, 77_777, 49_999, 50_000} <= set(kept.tolist())


def test_thinning_keeps_what_it_is_told_and_short_series_whole() -> None:
    assert {4_999, 5_000} <= set(thin(np.zeros(1_000_000), keep=[5_000]).tolist())
    assert thin(np.zeros(7)).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert thin(np.zeros(1), keep=[0]).tolist() == [0]


@pytest.mark.parametrize("name", ["onecycle", "cosine_restarts", "cyclic", "multistep"])
def test_a_long_schedule_is_drawn_with_its_jumps_and_peaks(name: str) -> None:
    drawn = curve(f"scheduler={name}", "trainer.length=300000 steps")
    steps, lr = drawn.lr_points
    assert len(steps) < 6_000
    assert lr.max() == drawn.lr.max()
    assert lr.min() == drawn.lr.min()
    # Lines between the points that are drawn miss no update by more than a pixel or two.
    error = np.abs(np.interp(np.arange(300_000), steps, lr) - drawn.lr)
    assert error.max() < 0.01 * drawn.lr.max()


def test_lists_make_one_curve_for_each_combination() -> None:
    choices = choose(
        "scheduler=cosine,onecycle", "optimizer.lr=0.1,0.2", "scheduler.warmup=0 steps,5 epochs"
    )
    assert len(choices) == 8
    assert [choice.label for choice in choices[:3]] == [
        "cosine, lr=0.1, warmup=0 steps",
        "cosine, lr=0.1, warmup=5 epochs",
        "cosine, lr=0.2, warmup=0 steps",
    ]
    assert [choice.name for choice in choices] == ["cosine"] * 4 + ["onecycle"] * 4
    assert choices[1].cfg.scheduler.warmup == "5 epochs"
    assert choices[7].cfg.optimizer.lr == 0.2


def test_seeds_and_models_are_not_drawn_twice() -> None:
    choices = choose("scheduler=cosine,onecycle", "seed=range(5)", "model=resnet8,lenet")
    assert [choice.label for choice in choices] == ["cosine", "onecycle"]


def test_every_choice_at_once() -> None:
    names = {path.stem for path in (CONF / "scheduler").glob("[!_]*.yaml")}
    choices = choose("scheduler=glob(*)")
    assert {choice.name for choice in choices} == names
    assert all(np.isfinite(lay_out(c, Arguments(), None).factors).all() for c in choices)


def test_an_experiment_brings_its_own_lists(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        "      scheduler: cosine,plateau\n      seed: range(3)\n"
    )
    choices = compose(["experiment=mine"], conf=CONF, config_dir=tmp_path)
    assert [choice.label for choice in choices] == ["cosine", "plateau"]
    chosen = compose(["experiment=mine", "scheduler=wsd"], conf=CONF, config_dir=tmp_path)
    assert [choice.label for choice in chosen] == ["wsd"]


FALLING = [1.0, 0.8, 0.6, 0.5, 0.4]
STUCK = [*FALLING, *[0.4] * 10]


def test_a_replay_is_valid_up_to_the_first_cut_that_was_not_made(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", STUCK, ["scheduler=constant"])
    history = read_history(folder)
    assert history.losses == tuple(STUCK)
    assert history.steps == tuple(range(20, 301, 20))
    choice = choose("scheduler=plateau", "scheduler.patience=2", "scheduler.cut_factor=0.5")[0]
    drawn = lay_out(choice, Arguments(), history)
    # Evaluations 6, 7, 8 do not improve on the fifth: cuts after 160, 220 and 280 updates.
    assert drawn.lr[[159, 160, 219, 220, 280]].tolist() == [0.1, 0.05, 0.05, 0.025, 0.0125]
    assert drawn.mark == Mark(160, "its lr is 0.05 there, the recorded run's 0.1")
    text = "\n".join(notes([drawn], ""))
    assert "update 160 (epoch 8): cut to 0.5" in text
    assert "valid to update 160" in text


def test_a_replay_of_the_run_itself_is_valid_to_the_end(tmp_path: Path) -> None:
    overrides = ["scheduler=plateau", "scheduler.patience=2", "optimizer.lr=0.3"]
    history = read_history(write_run(tmp_path / "run", STUCK, overrides))
    assert history.lr[160] == pytest.approx(0.03)
    drawn = lay_out(choose(*overrides)[0], Arguments(), history)
    assert drawn.mark is None
    assert "valid to the end" in "\n".join(notes([drawn], ""))


def test_a_cut_that_the_recorded_run_alone_made_ends_the_replay_too(tmp_path: Path) -> None:
    recorded = ["scheduler=plateau", "scheduler.patience=2"]
    history = read_history(write_run(tmp_path / "run", STUCK, recorded))
    patient = choose("scheduler=plateau", "scheduler.patience=4")[0]
    drawn = lay_out(patient, Arguments(), history)
    assert drawn.mark == Mark(160, "its lr is 0.1 there, the recorded run's 0.01")


def test_a_replay_ends_with_the_recorded_losses(tmp_path: Path) -> None:
    history = read_history(write_run(tmp_path / "run", FALLING, ["scheduler=constant"]))
    drawn = lay_out(choose("scheduler=plateau")[0], Arguments(), history)
    assert drawn.mark == Mark(100, "the recorded losses end there")


def test_schedules_that_read_no_loss_are_not_replayed(tmp_path: Path) -> None:
    history = read_history(write_run(tmp_path / "run", STUCK, ["scheduler=constant"]))
    drawn = lay_out(choose("scheduler=cosine")[0], Arguments(), history)
    assert not drawn.replayed
    assert drawn.mark is None


def test_history_starts_from_the_recorded_settings(tmp_path: Path) -> None:
    recorded = ["scheduler=onecycle", "scheduler.pct_start=20%", "optimizer.lr=0.3"]
    history = read_history(write_run(tmp_path / "run", STUCK, recorded))
    assert starting_overrides(history.overrides, ("scheduler.pct_start=10%", "seed=3")) == (
        "scheduler=onecycle",
        "optimizer.lr=0.3",
        "scheduler.pct_start=10%",
        "seed=3",
    )
    # Another scheduler would not know the settings of the recorded one.
    assert starting_overrides(history.overrides, ("scheduler=plateau",)) == (
        "optimizer.lr=0.3",
        "scheduler=plateau",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("step,epoch,val_loss\n20,1.0,\n", "no validation loss"),
        ("step,epoch,val_loss\n20,1.0,high\n", "line 2"),
        ("step,epoch\n20,1.0\n", "line 2"),
    ],
)
def test_a_damaged_history_is_named(content: str, message: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", STUCK, ["scheduler=constant"])
    (folder / "history.csv").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_history(folder)


def test_a_plateau_without_a_history_says_what_it_assumes() -> None:
    curves = [curve("scheduler=plateau"), curve("scheduler=cosine"), curve("scheduler=chain")]
    (line,) = notes(curves, "")
    assert line.startswith("plateau, chain: drawn as if the validation loss kept improving")


def test_lint_warnings_are_those_of_the_run() -> None:
    (warning,) = curve("scheduler=plateau", "scheduler.patience=50").warnings
    assert "cannot cut" in warning
    often = ["scheduler=plateau", "scheduler.patience=50", "trainer.eval_interval=1 steps"]
    assert curve(*often).warnings == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--foo"], "--foo is not an option"),
        (["onecycle"], "onecycle is not an override"),
        (["scale=logarithmic"], "scale=logarithmic is not one of linear, log"),
        (["csv="], "csv= needs a value"),
        (["num_train=0"], "num_train=0 must be a whole number of at least 1"),
        (["steps_per_epoch=4", "num_train=4"], "give one of them"),
        (["outptu=x"], "outptu=x: no such key; did you mean output?"),
        (["--config-dir"], "--config-dir needs a value"),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        parse(words)


def test_own_keys_are_taken_and_the_rest_is_left_for_hydra() -> None:
    words = ["-m", "csv='a b.csv'", "scheduler=cosine", "num_train=50_000", "--config-dir=my"]
    read = parse(words)
    assert read.overrides == ("scheduler=cosine",)
    assert (read.csv, read.num_train, read.config_dir) == (Path("a b.csv"), 50_000, Path("my"))


def test_names_of_the_pictures() -> None:
    curves = [curve("scheduler=cosine"), curve("scheduler=onecycle")]
    assert picture_paths("default", curves) == [
        Path("outputs/preview/cosine-onecycle.png"),
        Path("outputs/preview/cosine-onecycle.svg"),
    ]
    assert picture_paths("a/b.v2", curves) == [Path("a/b.v2.png"), Path("a/b.v2.svg")]
    assert picture_paths("a/b.svg", curves) == [Path("a/b.svg")]
    assert picture_paths(None, curves) == []
    long = file_name([f"strategy number {i}" for i in range(30)])
    assert len(long) <= 80
    assert long != file_name([f"strategy number {i}" for i in range(31)])


def test_crowded_plots() -> None:
    one = curve("scheduler=cosine")
    assert not crowded([one] * 8)
    assert crowded([one] * 9)
    assert crowded([replace(one, label="x" * 40)] * 5)


def test_a_million_updates_are_laid_out_exactly() -> None:
    drawn = curve("scheduler=cosine", "trainer.length=1000000 steps")
    assert drawn.lr[250_000] == pytest.approx(0.05 * (1 + math.cos(math.pi / 4)), rel=1e-12)


def test_groups_with_lrs_of_their_own_are_drawn() -> None:
    words = (
        "+scheduler@optimizer.groups.head.scheduler=linear",
        "+optimizer.groups.head={layers: output, lr_factor: 0.3}",
        "+optimizer.groups.rest={dimensions: 2}",
    )
    whole, head = with_groups(choose(*words)[0], Arguments(), None)
    assert (whole.label, head.label) == ("cosine", "cosine: head")
    linear = curve("scheduler=linear")
    np.testing.assert_allclose(head.lr, 0.3 * linear.lr, rtol=1e-15)
    np.testing.assert_array_equal(whole.lr, curve().lr)
    decayed = curve("optimizer.layer_decay=0.5")
    assert list(notes([decayed], "")) == [
        "layer_decay=0.5: the last layer is drawn; each has 0.5 × the lr of the next"
    ]
    with pytest.raises(ValueError, match=r"^optimizer\.groups\.head\.scheduler\.warmup=999 steps"):
        with_groups(
            choose(*words, "optimizer.groups.head.scheduler.warmup=999 steps")[0], Arguments(), None
        )
