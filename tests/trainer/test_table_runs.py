"""Runs on tables: every strategy trains, and a run that was cut ends as one left alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs import Saved, history, new_loop, run

from lrbench.trainer.loop import Interrupted

STRATEGIES = ["cosine", "onecycle", "plateau", "warmup_decay", "wsd", "linear"]
MODELS = {
    "mlp": ["model=mlp", "model.hidden=[8]", "optimizer.lr=0.01"],
    "ft_transformer": ["model=ft_transformer", "model.dim=8", "optimizer=adamw"],
}


@pytest.mark.parametrize(
    ("scheduler", "model"), [*((name, "mlp") for name in STRATEGIES), ("cosine", "ft_transformer")]
)
def test_a_resumed_run_is_bit_identical(tmp_path: Path, scheduler: str, model: str) -> None:
    overrides = ["dataset=diabetes", f"scheduler={scheduler}", *MODELS[model]]
    if scheduler == "plateau":
        overrides += ["scheduler.patience=0", "scheduler.threshold=0.9"]
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = new_loop(*overrides)
    expected = run(whole, tmp_path / "whole", Saved())
    saved = Saved(stop_after=19)
    with pytest.raises(Interrupted):
        run(new_loop(*overrides), tmp_path / "cut", saved)
    resumed = new_loop(*overrides)
    resumed.restore(saved.checkpoints[-1])
    assert 0 < resumed.state.step < 36
    assert run(resumed, tmp_path / "cut", Saved(), saved.checkpoints[-1]["files"]) == expected
    assert history(tmp_path / "cut") == history(tmp_path / "whole")
    state = whole.model.state_dict()
    assert all(
        torch.equal(value, state[name]) for name, value in resumed.model.state_dict().items()
    )
    assert expected["rmse"] < whole.measures[0].guess or model == "ft_transformer"


def test_classes_of_a_file_are_learnt(tmp_path: Path) -> None:
    path = tmp_path / "signs.csv"
    rows = [f"{i % 13},{'ab'[i % 2]},{'even' if i % 2 == 0 else 'odd'}\n" for i in range(400)]
    path.write_text("n,letter,parity\n" + "".join(rows))
    table = ["dataset=table", f"dataset.path={path}", "dataset.target=parity"]
    for name, model in MODELS.items():
        (tmp_path / name).mkdir()
        loop = new_loop(*table, *model, "trainer.length=10 epochs", "optimizer.lr=0.01")
        assert [measure.name for measure in loop.measures] == ["accuracy", "loss"]
        assert run(loop, tmp_path / name, Saved())["accuracy"] > 0.95
