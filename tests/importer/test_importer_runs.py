"""What an import makes of untidy logs and of settings, and what it says to a wrong word."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import numpy as np
import pytest

from lrbench.compare import compare
from lrbench.compare.__main__ import main as compare_main
from lrbench.importer import import_runs
from lrbench.importer.__main__ import main


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_attempts_in_any_order_become_one_curve(tmp_path: Path) -> None:
    """As the 124 M runs of fabian-sp/lr-scheduling lie: the attempt that went on stands first."""
    resumed = [(30, 3.0), (40, 2.9), (50, 2.8)]
    first = [(0, 9.0), (10, 4.0), (20, 3.5), (30, 3.1), (40, 3.0)]
    cut = [(0, 9.5), (10, 4.5)]
    for number, attempts in enumerate(([resumed, first, cut], [cut, first, resumed])):
        rows = "\n".join(f"{step},{loss}" for part in attempts for step, loss in part)
        source = write(tmp_path / f"{number}.csv", f"step,val_loss\n{rows}\n")
        (run,) = import_runs(source, tmp_path / "to", pattern="{strategy}").runs.values()
        assert list(run.history["step"]) == [0, 10, 20, 30, 40, 50]
        assert list(run.history["val_loss"][2:]) == [3.5, 3.0, 2.9, 2.8]
        assert any("3 attempts" in note for note in run.notes)


def test_untidy_tables_are_read_and_told(tmp_path: Path) -> None:
    text = (
        "iter,lr,eval_loss,comment\n0,,nan,\n10,0.1,3.0,fine\n10,0.1,2.9,again\n20,0.1,2.0\n"
        "iter,lr,eval_loss,comment\n30,0.05,1.5,a,b,c\n40,0.0,1.0,last\n50,0."
    )
    source = write(tmp_path / "log.csv", text)
    (run,) = import_runs(source, tmp_path / "to").runs.values()
    assert list(run.history["val_loss"].dropna()) == [2.9, 2.0, 1.0]
    assert list(run.history["lr"].dropna()) == [0.1, 0.1, 0.0]
    assert run.result["status"] == "completed"
    assert "its last line was half-written: left out" in run.notes
    assert any("that do not fit the header" in note for note in run.notes)


def test_validation_counted_in_epochs_is_placed_among_the_updates(tmp_path: Path) -> None:
    rows = [f"{step},{1 / (1 + step)}," for step in range(0, 100, 5)]
    rows += [f"{epoch},,{2 - epoch}" for epoch in range(4)]
    source = write(tmp_path / "log.csv", "step,train_loss,val_loss\n" + "\n".join(rows) + "\n")
    (run,) = import_runs(source, tmp_path / "to").runs.values()
    at = run.history.dropna(subset="val_loss")
    assert list(at["step"]) == [24, 48, 71, 95]
    assert list(at["val_loss"]) == [2, 1, 0, -1]
    assert len(run.history["train_loss"].dropna()) == 20


def test_a_table_of_settings_describes_the_runs_of_another(tmp_path: Path) -> None:
    rows = [f"{run},{step},{3 - step / 100}" for run in "abcd" for step in range(0, 101, 10)]
    write(tmp_path / "curves.csv", "run,iter,val_loss\n" + "\n".join(rows) + "\n")
    table = "run,schedule,seed,peak_lr,width\na,cosine,0,0.1,8\nb,cosine,1,0.1,8\nc,wsd,0,0.1,8\n"
    write(tmp_path / "runs.csv", table + "d,wsd,1,0.1,8\n")
    found = import_runs(tmp_path, tmp_path / "to")
    results = [run.result for run in found.runs.values()]
    assert [(r["strategy"], r["seed"]) for r in results] == [
        ("cosine", 0), ("cosine", 1), ("wsd", 0), ("wsd", 1),
    ]  # fmt: skip
    (section,) = compare(tmp_path / "to").report.sections
    assert section.analysis.group.paired is False  # nobody said so
    assert found.runs["curves/a"].config["imported"] == {"width": 8}


def test_one_seed_a_strategy_is_no_verdict_and_the_lr_is_audited(tmp_path: Path) -> None:
    steps = np.arange(0, 1000, 10)
    for name, total in (("cosine", 2000), ("linear", 1000)):
        lrs = 0.1 * (0.5 * (1 + np.cos(np.pi * steps / total)) if total > 1000 else 1 - steps / 1e3)
        rows = [f"{s},{lr},{3 - s / 1000}" for s, lr in zip(steps, lrs, strict=True)]
        write(tmp_path / f"{name}.csv", "step,lr,val_loss\n" + "\n".join(rows) + "\n")
    import_runs(tmp_path, tmp_path / "to", pattern="{strategy}")
    found = compare(tmp_path / "to")
    (section,) = found.report.sections
    assert section.verdict.headline.startswith("No verdict: one seed shows no difference between")
    assert any("never reached its floor: this is a cosine over 2,00" in str(note)
               for note in found.report.notes)  # fmt: skip


def test_nothing_of_a_source_is_executed_or_followed(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    logs = tmp_path / "logs/a"
    write(logs / "metrics.csv", "step,val_loss\n1,2.0\n2,1.0\n")
    write(logs / "hparams.yaml", f"seed: !!python/object/apply:os.mkdir ['{marker}']\n")
    write(logs / "training_args.bin", f"cos\nmkdir\n(V{marker}\ntR.")
    write(tmp_path / "elsewhere/log.csv", "step,val_loss\n1,2.0\n")
    (tmp_path / "logs/link").symlink_to(tmp_path / "elsewhere")
    found = import_runs(tmp_path / "logs", tmp_path / "to", pattern="{strategy}")
    assert list(found.runs) == ["a"]
    assert not marker.exists()


WRONG = [
    ([], "name a file or folder of logs"),
    (["log.csv"], "to is missing: write to=FOLDER"),
    (["nowhere", "to=x"], "nowhere does not exist"),
    (["log.csv", "to=x", "mesure=val_loss"], "mesure=val_loss: no such key; did you mean measure?"),
    (["log.csv", "to=x", "measure=f7"], "measure=f7 is no column; there are step, score, note"),
    (["log.csv", "to=x", "measure=score"], "measure=score is no well-known measure: add better="),
    (["log.csv", "to=x", "measure=score", "better=more"], "better=more must be lower or higher"),
    (["log.csv", "to=x", "better=lower"], "better=lower is of a measure: add measure=COLUMN"),
    (["log.csv", "to=x"], "no column is a measure of validation or test: give measure=COLUMN"),
    (["log.csv", "to=x", "steps_per_epoch=0"], "steps_per_epoch=0 must be at least 1"),
    (["log.csv", "to=x", "steps_per_epoch=ten"], "steps_per_epoch=ten must be a whole number"),
    (["log.csv", "to=x", "paired=maybe"], "paired=maybe must be true or false"),
    (["log.csv", "to=x", "pattern="], "pattern= has no value: write pattern=..."),
    (["--force"], "--force is not an option"),
    (["empty", "to=x"], "no log that is read in empty"),
    (
        ["log.csv", "to=x", "measure=score", "better=higher", "step=epoch"],
        "log: no column says at which update (step, score, note): give step=COLUMN",
    ),
    (
        ["log.csv", "to=x", "measure=score", "better=higher", "pattern={strategy}/{seed}"],
        "pattern={strategy}/{seed} fits no path, such as log",
    ),
    (
        ["log.csv", "to=x", "measure=score", "better=higher", "strategy=sched"],
        "strategy=sched is no key of the recorded configs: say it by pattern=",
    ),
    (
        ["log.csv", "to=x", "measure=score", "better=higher", "paired=true"],
        "paired=true needs the runs' seeds",
    ),
    (
        ["log.csv", "to=own", "measure=score", "better=higher", "step=step"],
        "to: own/log holds files that were not imported: choose another folder",
    ),
]


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_a_wrong_word_is_answered_in_one_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "log.csv", "step,score,note\n1,0.5,7\n2,0.6,8\n")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "own/log/result.json", json.dumps({"strategy": "cosine"}))
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert str(ended.value.code).startswith(f"lrbench.importer: {said}")
    assert not (tmp_path / "x").exists()


def test_a_measure_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "log.csv", "step,score,note\n1,0.5,7\n2,0.6,8\n")
    main([str(tmp_path / "log.csv"), f"to={tmp_path / 'x'}", "measure=score", "better=higher",
          "unit=marks", "ignore=note"])  # fmt: skip
    result = json.loads((tmp_path / "x/log/result.json").read_text())
    assert result["val_score"] == 0.6
    assert result["measures"]["score"]["higher_is_better"] is True
    assert "compared by score (score as val_score; better: higher, unit marks)" in (
        capsys.readouterr().out
    )


def test_runs_of_equal_settings_whose_lr_ends_elsewhere_are_no_seeds(tmp_path: Path) -> None:
    for name, floor in (("a", 0.0), ("b", 0.1), ("c", 0.1)):
        rows = [f"{s},{0.1 * (floor + (1 - floor) * (1 - s / 50))},{2 - s / 50}" for s in range(51)]
        write(tmp_path / f"logs/{name}.csv", "step,lr,val_loss\n" + "\n".join(rows) + "\n")
    found = import_runs(tmp_path / "logs", tmp_path / "to")
    told = [(run.config["scheduler"].get("ends_at"), run.result["seed"]) for run in
            found.runs.values()]  # fmt: skip
    assert told == [(0.0, 0), (0.1, 0), (0.1, 1)]
    assert any("3 runs of equal settings are told apart" in note for note in found.notes)


def test_logs_are_compared_without_being_imported_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, better in (("cosine", 0.2), ("linear", 0.0)):
        for seed in range(5):
            rows = [f"{s},{2 - s / 50 - better + seed / 100},{s}" for s in range(0, 51, 5)]
            text = "step,score,acc\n" + "\n".join(rows) + "\n"
            write(tmp_path / f"logs/{name}-{seed}.csv", text)
    words = ["pattern={strategy}-{seed}", "measure=score", "better=lower", "paired=true"]
    compare_main(["logs", "format=auto", *words])
    assert "imported: compared by score (score as val_score; better: lower)" in (
        capsys.readouterr().out
    )
    report = json.loads((tmp_path / "outputs/compare/logs/report.json").read_text())
    assert [s["strategy"] for s in report["groups"][0]["strategies"]] == ["cosine", "linear"]
    assert report["groups"][0]["pairs"][0]["difference"] == pytest.approx(0.2)
    assert shlex.split(report["command"])[:5] == [
        "python", "-m", "lrbench.compare", "logs", "format=auto",
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "logs").iterdir())[0] == "cosine-0.csv"
    assert len(list((tmp_path / "logs").iterdir())) == 10
    again = shlex.split(report["command"])[3:]
    compare_main([*again, "--json"])
    assert json.loads(capsys.readouterr().out)["groups"] == report["groups"]


WRONG_COMPARED = [
    (["logs", "format=csv"], "format=csv is not one of auto"),
    (["logs", "pattern={seed}"], "pattern={seed} says how other tools' logs are read: add format="),
    (["logs", "format=auto", "steps_per_epoch=ten"], "steps_per_epoch=ten must be a whole number"),
    (["logs"], "no runs in logs: a run folder holds a result.json; other tools' logs: add format="),
    (["nowhere", "format=auto"], "nowhere does not exist"),
    (
        ["runs", "format=auto"],
        "runs holds run folders, which need no import: python -m lrbench.com",
    ),
]


@pytest.mark.parametrize(("words", "said"), WRONG_COMPARED)
def test_a_wrong_word_of_a_comparison_of_logs(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "logs/log.csv", "step,val_loss\n1,2.0\n2,1.0\n")
    for path in ("runs/wsd/result.json", "runs/report.html", "runs/report.json"):
        write(tmp_path / path, "{}")
    write(tmp_path / "runs/pairs.csv", "num,mean\n1,2.0\n")
    with pytest.raises(SystemExit) as ended:
        compare_main(words)
    assert str(ended.value.code).startswith(f"lrbench.compare: {said}")


def test_what_was_read_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{s},{0.1 if s < 50 else 0.0},{2 - s / 50}" for s in range(0, 51)]
    write(tmp_path / "a.csv", "step,lr,val_loss\n" + "\n".join(rows) + "\n")
    main([str(tmp_path / "a.csv"), f"to={tmp_path / 'to'}", "pattern={strategy}", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["columns"] == {"lr": "lr", "val_loss": "val_loss"}
    (run,) = found["runs"]
    assert (run["run"], run["strategy"], run["steps"], run["tool"]) == ("a", "a", 50, "CSV")
    assert run["audit"]["findings"] == []


def test_what_a_terminal_would_obey_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"run": f"a\x1b[2J{run}", "step": step, "val_loss": 1.0, "x\x1b[31m_lr": 0.1}
            for run in "bc" for step in range(4)]  # fmt: skip
    write(tmp_path / "logs/a.json", json.dumps(rows))
    write(tmp_path / "logs/b\x1b[31m.json", json.dumps([{"step": 1}]) + "x")
    os.mkfifo(tmp_path / "logs/pipe.csv")
    for json_too in ([], ["--json"]):
        main([str(tmp_path / "logs"), f"to={tmp_path / 'to'}", *json_too])
        said = capsys.readouterr().out
        assert "\x1b" not in said
        assert "_lr" in said


def test_a_schedule_that_nobody_names_goes_by_the_form_of_its_lr(tmp_path: Path) -> None:
    forms = {"a": lambda p: 1 - p, "b": lambda p: 0.5 * (1 + np.cos(np.pi * p)), "c": None}
    for name, form in forms.items():
        rows = [f"{s},{'' if form is None else form(s / 100)},{2 - s / 100}" for s in range(101)]
        write(tmp_path / f"logs/{name}.csv", "step,lr,val_loss\n" + "\n".join(rows) + "\n")
    found = import_runs(tmp_path / "logs", tmp_path / "to")
    assert [run.result["strategy"] for run in found.runs.values()] == [
        "linear", "cosine", "unnamed",
    ]  # fmt: skip
    assert any("named by the form of their lr (cosine 1, linear 1, unnamed 1)" in note
               for note in found.notes)  # fmt: skip
