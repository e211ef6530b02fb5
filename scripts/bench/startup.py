"""Seconds from a command to its first update: python scripts/bench/startup.py

Against a program that imports torch and builds the same model, and does nothing more. Both are
fresh processes, in turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from common import heading, interleaved, spread, table

BARE = """
import os
import torch
from lrbench.model.resnet import ResNetModule
ResNetModule(blocks=[1, 1, 1], width=16, projection=False, in_channels=1, num_classes=10)
os._exit(7)
"""
FIRST_UPDATE = """
import os, runpy, sys
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
# lrbench tries an algorithm out on one small tensor before: the model has more parameters.
register_optimizer_step_post_hook(
    lambda optimizer, *_: os._exit(7) if len(optimizer.param_groups[0]["params"]) > 1 else None
)
sys.argv = ["lrbench", *sys.argv[1:]]
runpy.run_module("lrbench", run_name="__main__", alter_sys=True)
"""


def seconds(program: str, *arguments: str) -> float:
    """Wall time of `program` in a fresh process, which ends itself when it is there."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)
    assert done.returncode == 7, done
    return time.perf_counter() - began


def to_first_update(*overrides: str) -> float:
    """Wall time of ``python -m lrbench`` up to its first update."""
    with tempfile.TemporaryDirectory() as folder:
        return seconds(FIRST_UPDATE, f"hydra.run.dir={folder}/run", *overrides)


def main(repeats: int) -> None:
    """Print the medians and their ratio."""
    heading(f"Start-up in seconds, medians of {repeats} fresh processes [extremes]")
    cases = {
        "import torch, build resnet8": lambda: seconds(BARE),
        "python -m lrbench, to the first update": to_first_update,
    }
    for case in cases.values():
        case()  # the files into memory
    found = interleaved(cases, repeats)
    bare, ours = found.values()
    ratios = [b / a for a, b in zip(bare, ours, strict=True)]
    rows = [[name, spread(values, ".2f")] for name, values in found.items()]
    table(["", "seconds"], [*rows, ["ratio", f"{statistics.median(ratios):.2f}"]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    main(parser.parse_args().repeats)
