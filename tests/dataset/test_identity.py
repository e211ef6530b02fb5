"""The data are part of a run's identity: no run goes on, or is taken for done, on other data."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrbench import __main__ as program

WORDS = ["dataset=imagefolder", "dataset.cache=cache", "dataset.augment.crop_padding=0"]
WORDS += ["model=mlp", "model.hidden=[]", "trainer.batch_size=8", "trainer.length=2 epochs"]
WORDS += ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.run.dir=run"]


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What the command refused, or an empty text."""
    monkeypatch.setattr(sys, "argv", ["lrbench", *WORDS, *words])
    try:
        program.main()
    except SystemExit as error:
        return str(error.code).removeprefix("lrbench: ")
    return ""


def test_other_images_are_refused_and_a_copy_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name in ("ant", "bee"):
        folder = Path("images", "train", name)
        folder.mkdir(parents=True)
        for i in range(40):
            pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:02}.png")
    root = "dataset.root=images"
    assert command(monkeypatch, root) == ""
    recorded = json.loads(Path("run/result.json").read_text())["data"]
    sizes = {key: recorded[key] for key in ("train", "val", "test", "steps_per_epoch")}
    assert sizes == {"train": 58, "val": 6, "test": 16, "steps_per_epoch": 7}

    Path("images").rename("before")
    shutil.copytree("before", "images", copy_function=shutil.copy)  # written anew, now
    os.utime("images/train/ant/00.png", (1, 1))
    assert command(monkeypatch, root) == ""  # done already
    Path("run/result.json").unlink()
    assert command(monkeypatch, root) == ""  # goes on from the checkpoint
    assert json.loads(Path("run/result.json").read_text())["data"] == recorded

    Path("images/train/ant/00.png").unlink()
    said = command(monkeypatch, root)
    assert said.startswith("run holds a run on other data (digest: ")
    assert "bring them back, or choose another folder with hydra.run.dir=..." in said
    kept = Path("run/result.json")
    kept.rename("result.json")
    said = command(monkeypatch, root)
    assert "test: 16 → 16" not in said
    assert "train: 58 → 57" in said
    assert said.startswith("run holds a run on other data (digest: ")
    assert Path("run/checkpoint.pt").exists()
