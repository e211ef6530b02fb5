"""One run from another program or a notebook: train it, and load what it trained."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lrbench.config import ConfigError, search
from lrbench.files import run_folder
from lrbench.files.result import RunResult, read_result

if TYPE_CHECKING:
    from torch import nn


def train(
    *overrides: str, folder: str | Path | None = None, config_dir: str | Path | None = None
) -> RunResult:
    """Train one run in this process, or finish it, as ``python -m lrbench`` would.

    Args:
        overrides: words of the command line, such as ``"scheduler=cosine"``, one value a key.
        folder: the run folder; None: a new one below ``outputs``.
        config_dir: a folder with more choices, as ``--config-dir`` names it.

    Returns:
        what result.json says; a run that diverged is a result.

    Raises:
        ValueError: the run cannot be made; one line with the remedy.
    """
    from hydra import compose

    from lrbench.run.run import DivergedRun, run

    words = list(overrides)
    with search(None if config_dir is None else Path(config_dir)) as more:
        cfg = compose("config", overrides=[*words, *more], return_hydra_config=True)
    hydra = cfg.hydra
    if folder is None:
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
        folder = f"outputs/{stamp}_{hydra.runtime.choices.scheduler}"
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    try:
        run(cfg, path, hydra)
    except DivergedRun:
        pass
    except ValueError:
        run_folder.sweep_away(path)
        raise
    return read_result(path / run_folder.RESULT)[0]


def load_model(folder: str | Path) -> nn.Module:
    """The network that the run in `folder` trained, with its last weights, on the CPU, evaluating.

    The data set is read for the shapes that the network was built from.

    Raises:
        ValueError: the folder is no run of lrbench's own loop, or its checkpoint is damaged.
    """
    import torch

    from lrbench.model import build_model
    from lrbench.run.checkpoint import load_checkpoint
    from lrbench.run.parts import build_parts

    path = Path(folder)
    config = run_folder.read_config(path)
    if "loop" in config:
        raise ConfigError(f"{path} was trained by a loop of your own: load its model there")
    parts = build_parts(config)
    data = parts.dataset.load(torch.device("cpu"), channels_last=False)
    task = parts.task.build(data.examples)
    model = build_model(parts.model, data.shapes(task), seed=parts.seed)
    model.load_state_dict(load_checkpoint(path / run_folder.CHECKPOINT)["model"])
    return model.eval()
