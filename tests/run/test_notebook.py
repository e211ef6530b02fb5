"""A run from another program: trained, its result read, its model loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import lrbench

WORDS = ("model=mlp", "model.hidden=[8]", "trainer.length='2 epochs'", "scheduler=linear")


def test_a_run_is_trained_and_its_model_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = lrbench.train(*WORDS, "seed=3", folder=tmp_path / "run")
    assert (result.strategy, result.seed, result.status) == ("linear", 3, "completed")
    model = lrbench.load_model(tmp_path / "run")
    data = lrbench.load("dataset", "digits").load(torch.device("cpu"), channels_last=False)
    right = num = 0
    for inputs, targets in data.test.batches(64):
        right += int((model(inputs).argmax(1) == targets).sum())
        num += len(targets)
    assert right / num == pytest.approx(result.values["test_accuracy"])
    again = lrbench.train(*WORDS, "seed=3", folder=tmp_path / "run")
    assert again == result  # it was done already
    lrbench.train(*WORDS)
    (made,) = (tmp_path / "outputs").iterdir()
    assert made.name.endswith("_linear")


def test_mistakes_are_told_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trainer.batch_size=0 must be from 1"):
        lrbench.train(*WORDS, "trainer.batch_size=0", folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with lrbench.start(tmp_path / "own", strategy="cosine", config={"a": 1}) as run:
        run.finish(test_loss=1.0)
    with pytest.raises(ValueError, match="it has no scheduler"):
        lrbench.load_model(tmp_path / "own")


CELLS = [
    "import lrbench, sys\nassert 'torch' not in sys.modules",
    "for strategy in ('cosine', 'linear'):\n"
    "    for seed in (0, 1):\n"
    f"        result = lrbench.train(*{WORDS[:3]!r}, f'scheduler={{strategy}}', f'seed={{seed}}',\n"
    "                               folder=f'runs/{strategy}/{seed}')\n"
    "result",
    "found = lrbench.compare('runs', margin='5%')\nfound",
    "found.table",
    "found.figure('final')",
    "print(found.verdict); print(len(found.pairs))",
    "lrbench.load_model('runs/linear/1')",
    "lrbench.compare('runs', margin='0')",
]


def test_in_a_real_notebook(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=300, resources=resources, allow_errors=True, kernel_name="python3"
    ).execute()
    shown = [cell.outputs for cell in notebook.cells]
    assert shown[0] == []
    last = shown[1][-1].data["text/plain"]
    assert "strategy='linear', seed=1" in last
    (report,) = (out.data["text/html"] for out in shown[2] if "data" in out)
    assert "<svg" in report
    assert "Exploratory: " in report
    assert "test acc" in report
    assert "<table" in shown[3][-1].data["text/html"]
    assert "linear" in shown[3][-1].data["text/html"]
    figure = shown[4][-1].data
    assert "<svg" in figure.get("text/html", "") + figure.get("image/svg+xml", "")
    assert shown[5][0].text.startswith("Exploratory: ")
    assert shown[5][0].text.strip().endswith("1")
    assert "Linear(in_features=64, out_features=8" in shown[6][-1].data["text/plain"]
    assert shown[7][-1].ename in ("ValueError", "CompareError")
    assert "margin=0 must be above 0" in shown[7][-1].evalue
