"""Runs on text: cut ones end as whole ones do, they learn, and what they report is right."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from runs import Saved, history, new_loop, numbers, run

from lrbench import __main__ as program
from lrbench.dataset.arrays import IGNORED
from lrbench.trainer.loop import Interrupted

STRATEGIES = ["cosine", "warmup_decay", "onecycle", "plateau", "wsd", "linear"]
TINY = ["model=gpt_tiny", "model.layers=1", "model.width=8", "model.heads=2", "optimizer=adamw"]
TINY += ["dataset=text", "dataset.path=text", "dataset.context=8", "dataset.val_fraction=0.1"]
TINY += ["trainer.batch_size=4", "trainer.max_grad_norm=1"]


@pytest.fixture(autouse=True)
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("".join(chr(97 + i * i % 23) for i in range(2000)))
    for name in ("whole", "cut"):
        Path(name).mkdir()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_run_is_bit_identical(strategy: str) -> None:
    overrides = [*TINY, f"scheduler={strategy}", "model.dropout=0.1"]
    overrides += ["dataset.order=one_pass"] if strategy == "wsd" else []
    if strategy == "plateau":
        overrides += ["scheduler.patience=0", "scheduler.threshold=0.9"]
    whole, saved = new_loop(*overrides), Saved(stop_after=23)
    expected = run(whole, Path("whole"), Saved())
    with pytest.raises(Interrupted):
        run(new_loop(*overrides), Path("cut"), saved)
    resumed = new_loop(*overrides)
    resumed.restore(saved.checkpoints[-1])
    assert 0 < resumed.state.step < 36
    assert run(resumed, Path("cut"), Saved(), saved.checkpoints[-1]["files"]) == expected
    assert history(Path("cut")) == history(Path("whole"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_run_is_what_a_plain_loop_makes_of_its_batches() -> None:
    """Also of weight decay on matrices alone, clipping, and evaluation of every token once."""
    loop = new_loop(*TINY, "scheduler=constant", "optimizer.weight_decay=0.1")
    plain = new_loop(*TINY).model
    groups = [
        {"params": [p for p in plain.parameters() if p.ndim > 1], "weight_decay": 0.1},
        {"params": [p for p in plain.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    losses = []
    for step in range(36):
        inputs, targets = loop.data.train.batch(step, seed=0, batch_size=4)
        loss = F.cross_entropy(plain(inputs).flatten(0, 1), targets.flatten())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    found = run(loop, Path("whole"), Saved())
    assert numbers(history(Path("whole")), "train_loss") == pytest.approx(losses, rel=1e-4)
    plain.eval()
    total = right = count = 0.0
    for inputs, targets in loop.data.test.batches(7):
        counts = targets != IGNORED
        with torch.no_grad():
            logits = plain(inputs)[counts]
        total += F.cross_entropy(logits, targets[counts], reduction="sum").item()
        right += (logits.argmax(1) == targets[counts]).sum().item()
        count += counts.sum().item()
    assert count == 100  # a twentieth of the text
    assert found["loss"] == pytest.approx(total / count, rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(found["loss"] / math.log(2), rel=1e-6)
    assert found["accuracy"] == pytest.approx(right / count, abs=1e-6)


def test_the_command_counts_in_tokens_and_refuses_other_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.run.dir=run"]
    words = [*TINY, "trainer.length=3 steps", "dataset.tokenizer=characters", *quiet]
    monkeypatch.setattr(sys, "argv", ["lrbench", *words])
    program.main()
    result = json.loads(Path("run/result.json").read_text())
    assert result["unit"] == "tokens"
    guess = math.log(result["data"]["vocabulary"])
    assert result["measures"]["loss"]["guess"] == pytest.approx(guess)
    data = result["data"]
    assert [data[k] for k in ("train", "val", "test", "window")] == [1700, 200, 100, 8]
    assert data["steps_per_epoch"] == (1700 - 1) // 8 // 4 == 53
    Path("text").rename("moved")  # the same text elsewhere: done already
    monkeypatch.setattr(sys, "argv", ["lrbench", *words, "dataset.path=moved"])
    program.main()
    assert json.loads(Path("run/result.json").read_text()) == result
    Path("run/result.json").unlink()
    Path("moved").write_text("".join(chr(97 + i % 26) for i in range(2000)))
    with pytest.raises(SystemExit) as refused:
        program.main()
    assert "run holds a run on other data (digest: " in str(refused.value.code)
    assert "vocabulary: " in str(refused.value.code)


def test_a_model_for_images_is_told_what_text_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["lrbench", "dataset=text", "dataset.path=text"])
    with pytest.raises(SystemExit) as refused:
        program.main()
    assert str(refused.value.code).endswith("a model that fits them, such as model=gpt_tiny")
