"""Reading folders, and sorting runs into groups: what is damaged or uneven is named, not fatal."""

import json
import os
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from comparison_runs import write_run, write_sweep

from lrbench.compare.find import CompareError, find
from lrbench.compare.groups import Group, split
from lrbench.compare.read import Found, _parsed
from lrbench.compare.read import read as read_runs
from lrbench.config import flatten
from lrbench.files.checksum import sealed_object
from lrbench.files.reading import ReadError, parse_yaml


def read(folders: list[Path]) -> Found:
    return read_runs(find(folders))


def problems(found: Found) -> list[str]:
    return [str(problem) for problem in found.problems]


def groups_of(folder: Path, *vary: str) -> tuple[list[Group], list[str]]:
    groups, notes = split(read([folder]).runs, vary)
    return groups, [str(note) for note in notes]


def notes_of(group: Group) -> list[str]:
    return [str(note) for note in group.notes]


def test_runs_are_found_at_any_depth_and_under_their_names(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a" / "sweep", {"cosine": [0.9, 0.8]})
    write_run(tmp_path / "b", scheduler="plateau", seed=7, accuracy=0.7)
    found = read([tmp_path])
    assert [(r.name, r.strategy, r.seed) for r in found.runs] == [
        ("a/sweep/cosine/seed=0", "cosine", 0),
        ("a/sweep/cosine/seed=1", "cosine", 1),
        ("b", "plateau", 7),
    ]
    assert found.runs[2].result.values["test_accuracy"] == 0.7
    assert found.runs[2].config["optimizer.lr"] == 0.1
    assert found.runs[2].choices["model"] == "resnet8"
    history = found.runs[2].history
    assert history is not None
    assert len(history) == 20
    assert problems(found) == []


def test_several_folders_and_overlapping_ones(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "run")
    write_run(tmp_path / "b" / "run", seed=1)
    assert [r.name for r in read([tmp_path / "a", tmp_path / "b"]).runs] == ["a/run", "b/run"]
    assert len(read([tmp_path, tmp_path / "a"]).runs) == 2
    assert [r.name for r in read([tmp_path / "a" / "run"]).runs] == ["run"]


def test_no_runs_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CompareError, match=r"^no runs in .*: a run folder holds a result\.json"):
        read([tmp_path])
    with pytest.raises(CompareError, match=r"nowhere does not exist$"):
        read([tmp_path / "nowhere"])
    (tmp_path / "file").touch()
    with pytest.raises(CompareError, match=r"file is a file, not a folder: for a log of"):
        read([tmp_path / "file"])
    (write_run(tmp_path / "run") / "result.json").unlink()
    with pytest.raises(CompareError, match=r"^no finished run \(run: has no result\.json"):
        read([tmp_path])


def edit_json(path: Path, **changes: Any) -> None:
    """Change a result as its run would have written it, checksum and all."""
    content = {**json.loads(path.read_text()), **changes}
    del content["checksum"]
    path.write_text(json.dumps(sealed_object(content)))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def made_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE = {
    "invalid JSON": (
        lambda run: cut(run / "result.json", 50),
        r"^bad: result\.json cannot be used \(.*\): set aside$",
    ),
    "JSON of another kind": (
        lambda run: (run / "result.json").write_text("[1, 2]"),
        r"^bad: result\.json cannot be used \(it must hold an object\): set aside$",
    ),
    "foreign result": (
        lambda run: (run / "result.json").write_text('{"accuracy": 3}'),
        r"^bad: result\.json cannot be used \(status=missing must be a text\): set aside$",
    ),
    "another accuracy": (
        lambda run: (run / "result.json").write_text(
            (run / "result.json")
            .read_text()
            .replace('"test_accuracy": 0.9', '"test_accuracy": 0.8')
        ),
        r"^bad: result\.json cannot be used \(it is damaged: its checksum is .*\): set aside$",
    ),
    "accuracy in per cent": (
        lambda run: edit_json(run / "result.json", test_accuracy=97.2),
        r"^bad: result\.json cannot be used \(test_accuracy=97\.2 must be from .*\): set aside$",
    ),
    "wrong type": (
        lambda run: edit_json(run / "result.json", steps="many"),
        r"^bad: result\.json cannot be used \(steps=many must be a number\): set aside$",
    ),
    "nested too deeply": (
        lambda run: (run / "result.json").write_text("[" * 100_000),
        r"^bad: result\.json cannot be used \(it is nested too deeply\): set aside$",
    ),
    "pipe": (
        lambda run: made_a_pipe(run / "result.json"),
        r"^bad: result\.json cannot be used \(is not a regular file\): set aside$",
    ),
    "aliases in the config": (
        lambda run: (run / ".hydra" / "config.yaml").write_text("a: &a [x]\nb: *a\n"),
        r"^bad: \.hydra/config\.yaml cannot be used \(holds anchors and aliases.*\): set aside$",
    ),
    "damaged config": (
        lambda run: (run / ".hydra" / "config.yaml").write_text("a: [1,\nb: {"),
        r"^bad: \.hydra/config\.yaml cannot be used \(.*\): set aside$",
    ),
    "changed config": (
        lambda run: (run / ".hydra" / "config.yaml").write_text(
            (run / ".hydra" / "config.yaml").read_text().replace("lr: 0.1", "lr: 0.3")
        ),
        r"^bad: \.hydra/config\.yaml is not the config of result\.json .*: set aside$",
    ),
    "binary config": (
        lambda run: (run / ".hydra" / "config.yaml").write_bytes(b"\xff\xfe\x00"),
        r"^bad: \.hydra/config\.yaml cannot be used \(.*\): set aside$",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_is_named_and_the_rest_goes_on(tmp_path: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    write_run(tmp_path / "good", seed=1)
    damage(write_run(tmp_path / "bad"))
    found = read([tmp_path])
    assert [run.name for run in found.runs] == ["good"]
    (problem,) = problems(found)
    assert re.fullmatch(message, problem), problem


HISTORY_DAMAGE = {
    "cut within a line": (lambda text: text[:-7], "is cut off in the middle of a line"),
    "empty": (lambda text: "", "is empty"),  # noqa: ARG005
    "not a number": (lambda text: text.replace("2.1", "2x1"), "is damaged ("),
    "another file": (lambda text: "a,b\n1,2\n", "has no column step"),  # noqa: ARG005
    "steps in disorder": (
        lambda text: text.replace("\n50,", "\n20,"),
        "is damaged (its steps do not increase)",
    ),
    "accuracy above 1": (
        lambda text: text.replace(",0.9,", ",7.1,"),
        "is damaged (accuracy outside its range)",
    ),
}


@pytest.mark.parametrize("kind", HISTORY_DAMAGE)
def test_a_damaged_history_costs_the_curves_alone(tmp_path: Path, kind: str) -> None:
    damage, message = HISTORY_DAMAGE[kind]
    path = write_run(tmp_path / "bad") / "history.csv"
    text = path.read_text()
    path.write_text(damage(text))
    assert path.read_text() != text
    found = read([tmp_path])
    assert found.runs[0].history is None
    (problem,) = problems(found)
    assert problem.startswith(f"bad: history.csv {message}")
    assert problem.endswith(": its curves are left out")


def test_files_that_are_not_what_the_run_wrote_are_named(tmp_path: Path) -> None:
    names = ("history.csv", "events.out.tfevents.1.host.2")
    run = write_run(tmp_path / "run")
    (run / names[1]).write_bytes(b"points")
    files = {n: {"bytes": 0, "crc32": zlib.crc32((run / n).read_bytes())} for n in names}
    edit_json(run / "result.json", files=files)
    found = read([tmp_path])
    assert problems(found) == []
    assert found.runs[0].history is not None
    for name in (*names, ".hydra/hydra.yaml"):
        data = bytearray((run / name).read_bytes())
        data[len(data) // 2] ^= 1
        (run / name).write_bytes(data)
    found = read([tmp_path])
    assert found.runs[0].history is None
    assert sorted(problems(found)) == [
        "run: .hydra/hydra.yaml is damaged (its checksum is of other content): the names of its "
        "choices are left out",
        "run: events.out.tfevents.1.host.2 is not what the run wrote: TensorBoard shows less, or "
        "wrong",
        "run: history.csv is damaged (it is not what the run wrote): its curves are left out",
    ]


def test_what_is_not_recorded_is_unknown_and_no_damage(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "history.csv").unlink()
    write_run(tmp_path / "short", seed=1)
    text = (tmp_path / "short" / "history.csv").read_text()
    (tmp_path / "short" / "history.csv").write_text("\n".join(text.split("\n")[:-6]) + "\n")
    assert problems(read([tmp_path])) == []
    (group,), _ = groups_of(tmp_path)
    assert notes_of(group) == ["short: its history.csv ends at update 75 of 100"]
    assert group.unknown == (
        "1 of 2 runs without history.csv: there are no curves, targets and phases of them.",
    )
    assert group.paired


def test_unfinished_runs_say_why(tmp_path: Path) -> None:
    write_run(tmp_path / "done")
    (write_run(tmp_path / "cut") / "result.json").unlink()
    raised = write_run(tmp_path / "raised")
    (raised / "result.json").unlink()
    (raised / "lrbench.log").write_text(
        "[2026-01-01 00:00:00,000] INFO lrbench\n[2026-01-01 00:00:01,000] ERROR no space left\n"
    )
    assert [str(problem) for problem in read([tmp_path]).unfinished] == [
        "cut: has no result.json: still running, or cut",
        "raised: failed: no space left",
    ]


def test_interpolations_are_resolved(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", result={"fingerprint": None})
    path = run / ".hydra" / "config.yaml"
    path.write_text(path.read_text().replace("width: 16", "width: ${trainer.batch_size}"))
    assert read([tmp_path]).runs[0].config["model.width"] == 64


def test_one_group_where_only_strategy_and_seed_differ(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.9, 0.8], "onecycle": [0.9, 0.7]})
    (group,), notes = groups_of(tmp_path)
    assert (group.label, group.strategies, notes) == ("", ["cosine", "onecycle"], [])
    assert group.notes == ()


def test_logging_and_saving_may_differ(tmp_path: Path) -> None:
    write_run(tmp_path / "a", changes={"trainer.log_interval": "1%"})
    write_run(tmp_path / "b", seed=1, changes={"resume": "somewhere"})
    groups, notes = groups_of(tmp_path)
    assert (len(groups), notes) == (1, [])


def test_another_dataset_and_length_are_groups_of_their_own(tmp_path: Path) -> None:
    write_sweep(tmp_path / "a", {"cosine": [0.9], "onecycle": [0.9]})
    other = {"dataset._target_": "lrbench.dataset.Mnist", "dataset.mean": [0.13]}
    for length in ("10 epochs", "20 epochs"):
        write_sweep(
            tmp_path / length,
            {"cosine": [0.9], "onecycle": [0.9]},
            changes={**other, "trainer.length": length},
            choices={"dataset": "mnist"},
        )
    groups, notes = groups_of(tmp_path)
    assert [group.label for group in groups] == [
        "dataset=digits, length=10 epochs",
        "dataset=mnist, length=10 epochs",
        "dataset=mnist, length=20 epochs",
    ]
    assert notes == [
        "runs that differ in dataset, trainer.length are not compared with each other: 3 groups, "
        "each compared within itself"
    ]


def test_another_version_is_a_group_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", scheduler="plateau", result={"environment": {"lrbench": "0.2.0"}})
    write_run(tmp_path / "c", scheduler="plateau", seed=1, result={"environment": None})
    groups, notes = groups_of(tmp_path)
    assert sorted(group.label for group in groups) == [
        "lrbench version=0.1.0",
        "lrbench version=0.2.0",
        "lrbench version=unknown",
    ]
    assert len(notes) == 2


def test_strategies_at_different_lrs_are_not_compared_unless_told_so(tmp_path: Path) -> None:
    write_run(tmp_path / "a", changes={"optimizer.lr": 0.1})
    write_run(tmp_path / "b", scheduler="plateau", changes={"optimizer.lr": 0.2})
    groups, notes = groups_of(tmp_path)
    assert [(g.label, g.strategies) for g in groups] == [
        ("lr=0.1", ["cosine"]),
        ("lr=0.2", ["plateau"]),
    ]
    assert notes[1] == (
        "alone in its group, so compared with nothing: cosine (lr=0.1); plateau (lr=0.2); where "
        "such a key is meant to be part of the strategy, say so: vary=optimizer.lr (or ignore=KEY "
        "where it does not matter)"
    )
    (group,), notes = groups_of(tmp_path, "optimizer.lr")
    assert (group.strategies, group.lr_sweep, notes) == (
        ["cosine (lr=0.1)", "plateau (lr=0.2)"],
        False,
        [],
    )


def test_a_swept_lr_is_one_group(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        changes = {"optimizer.lr": lr}
        write_sweep(tmp_path / str(lr), {"cosine": [0.9], "plateau": [0.8]}, changes=changes)
    write_run(tmp_path / "more", changes={"optimizer.lr": 0.4})
    (group,), notes = groups_of(tmp_path)
    assert group.lr_sweep
    assert notes == []
    assert notes_of(group) == ["plateau: was not run at lr=0.4, as others were: unequal tuning"]


def test_swept_lr_and_model(tmp_path: Path) -> None:
    for lr in (0.1, 0.2):
        for depth in (8, 20):
            changes = {"optimizer.lr": lr, "model.depth": depth}
            name = f"{lr}-{depth}"
            write_sweep(tmp_path / name, {"cosine": [0.9], "plateau": [0.8]}, changes=changes)
    groups, _ = groups_of(tmp_path)
    assert [(g.label, g.lr_sweep) for g in groups] == [("depth=20", True), ("depth=8", True)]


def test_variants_of_a_strategy_are_told_apart_by_their_keys(tmp_path: Path) -> None:
    for pct in ("20%", "30%"):
        write_run(tmp_path / pct, scheduler="onecycle", changes={"scheduler.pct_start": pct})
    write_run(tmp_path / "cosine")
    (group,), _ = groups_of(tmp_path)
    assert group.strategies == ["cosine", "onecycle (pct_start=20%)", "onecycle (pct_start=30%)"]


def test_missing_seeds_are_named(tmp_path: Path) -> None:
    write_sweep(tmp_path, {"cosine": [0.9, 0.8, 0.7], "onecycle": [0.9]})
    (group,), _ = groups_of(tmp_path)
    assert notes_of(group) == ["onecycle: lacks seed 1, 2: pairs use common seeds only"]


def test_a_repeated_run_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a", accuracy=0.9)
    write_run(tmp_path / "b", accuracy=0.8)
    (group,), _ = groups_of(tmp_path)
    assert [member.run.name for member in group.members] == ["a"]
    assert notes_of(group) == ["b: repeats a: the first one counts"]


def test_different_hardware_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", seed=1, result={"environment": {"lrbench": "0.1.0", "device": "gpu"}})
    (group,), _ = groups_of(tmp_path)
    assert notes_of(group) == ["run on different hardware (cpu; gpu): compare no seconds"]


def test_different_precisions_are_named(tmp_path: Path) -> None:
    for seed, precision in enumerate(["fp32", "bf16", "bf16"]):
        environment = {"lrbench": "0.1.0", "device": "cpu", "precision": precision}
        write_run(tmp_path / str(seed), seed=seed, result={"environment": environment})
    write_run(tmp_path / "unrecorded", seed=3)
    (group,), _ = groups_of(tmp_path)
    assert notes_of(group) == [
        "run in different precisions (bf16; fp32): a difference may be theirs"
    ]


def test_where_a_run_lay_is_not_what_it_was(tmp_path: Path) -> None:
    places: tuple[dict[str, Any], ...] = (
        {"trainer.device": "cpu"},
        {"dataset.root": "/data"},
        {"trainer.num_threads": 2},
    )
    for seed, changes in enumerate(places):
        write_run(tmp_path / str(seed), seed=seed, changes=changes)
    (group,), notes = groups_of(tmp_path)
    assert (len(group.members), notes) == (3, [])


def test_a_key_can_be_ignored(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / str(seed), seed=seed, changes={"trainer.batch_size": 32 + seed})
    runs = read([tmp_path]).runs
    assert len(split(runs)[0]) == 2
    for key in ("trainer.batch_size", "trainer"):
        assert len(split(runs, ignore=(key,))[0]) == 1


def test_runs_on_other_data_are_never_paired_silently(tmp_path: Path) -> None:
    data = {"digest": "d2", "steps_per_epoch": 33}
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", scheduler="plateau", result={"data": data})
    groups, notes = groups_of(tmp_path)
    assert sorted(group.label for group in groups) == [
        "digest=d1, steps_per_epoch=10",
        "digest=d2, steps_per_epoch=33",
    ]
    assert notes[0].startswith("runs that differ in data.digest, data.steps_per_epoch are not")
    write_run(tmp_path / "c", scheduler="onecycle", result={"data": {}})
    groups, _ = groups_of(tmp_path)
    assert len(groups) == 3  # unknown data are not known to be either
    (tmp_path / "b" / "result.json").unlink()
    (group,), _ = groups_of(tmp_path)
    assert group.unknown == (
        "1 of 2 runs without data digest: whether all runs saw the same data cannot be known.",
    )


def test_another_batch_size_explains_other_data(tmp_path: Path) -> None:
    for size in (32, 128):
        data = {"digest": "d1", "steps_per_epoch": 640 // size}
        for seed in (0, 1):
            write_run(
                tmp_path / f"{size}-{seed}",
                seed=seed,
                changes={"trainer.batch_size": size},
                result={"data": data, "steps": 6400 // size},
            )
    (group,), notes = groups_of(tmp_path, "trainer.batch_size")
    assert group.strategies == ["cosine (batch_size=128)", "cosine (batch_size=32)"]
    assert (notes, group.axis) == ([], "epoch")
    assert "runs take 50 and 200 updates: curves, targets and phases are in epochs" in notes_of(
        group
    )


def test_varied_keys_are_in_every_strategys_name(tmp_path: Path) -> None:
    sgd = {"optimizer._target_": "lrbench.optimizer.Optimizer"}
    adam = {"optimizer._target_": "lrbench.optimizer.Other"}
    write_run(tmp_path / "a", changes=sgd)
    for name in ("cosine", "onecycle"):
        choices = {"optimizer": "schedulefree_sgd"}
        write_run(tmp_path / name, scheduler=name, changes=adam, choices=choices)
    (group,), _ = groups_of(tmp_path, "optimizer")
    assert group.strategies == [
        "cosine (optimizer=schedulefree_sgd)",
        "cosine (optimizer=sgd)",
        "onecycle (optimizer=schedulefree_sgd)",
    ]


def test_strangers_text_is_cleaned_at_the_door(tmp_path: Path) -> None:
    write_run(tmp_path / "a\x1b]0;x\n", scheduler="co\x1b[31msine\nx")
    (run,) = read([tmp_path]).runs
    assert (run.name, run.strategy) == ("a�]0;x ", "co�[31msine x")


def test_wrong_types_that_no_rule_forbids_stop_nothing(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "environment": {"lrbench": ["0.1.0"], "device": {"a": 1}, "precision": None},
        "data": {"digest": ["x"], "test": "many", "steps_per_epoch": [1]},
        "files": {"history.csv": 3, "../x": {"crc32": 1}, "events.\0": {"crc32": []}},
    }
    for seed in (0, 1):
        write_run(tmp_path / str(seed), seed=seed, result=odd)
    edit_json(write_run(tmp_path / "huge", seed=2) / "result.json", best_val_step=10**400)
    found = read([tmp_path])
    assert [run.name for run in found.runs] == ["0", "1"]
    (group,), _ = groups_of(tmp_path)
    assert len(group.members) == 2


@pytest.mark.parametrize(
    "text",
    [
        "model:\n  depth: 8\nseed: 1\n",
        "model:\n  # said so\n  depth: 8\n\nseed: 1  # of four\nempty:\n",
        "# a word first\nseed: 1\n",
        "means:\n- 0.5\n- 1e-3\nseed: 1\n",
        "seed: 1\nseed: 2\n",
        'text: "two\nlines: of it"\nseed: 1\n',
        "text: |\n  a: b\nseed: 1\n",
        "- 1\n",
        "seed: [1,\nb: 2]\n",
    ],
)
def test_a_config_is_read_part_by_part_as_it_is_whole(text: str) -> None:
    try:
        whole = parse_yaml(text)
    except ReadError:
        with pytest.raises(ReadError):
            _parsed(text)
    else:
        assert _parsed(text) == (whole, flatten(whole))
