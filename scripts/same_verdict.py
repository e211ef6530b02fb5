"""The same problem by lrbench's own loop, by a function and by a command gives the same verdict.

Run: python scripts/same_verdict.py FOLDER [own function command]

Three schedules on five seeds each, of a small network on digits. `train` is the loop that one would
write oneself: its data, batches and initial weights are lrbench's, so that its runs have the same
numbers as those of lrbench's own loop, up to rounding.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

import lrbench
from lrbench.__main__ import main as lrbench_main
from lrbench.model import build_model

HIDDEN, BATCH, LR = [16], 64, 0.05
SWEEP = ["-m", "scheduler=cosine,constant,plateau", "seed=range(5)", f"optimizer.lr={LR}",
         "trainer.length=60 steps"]  # fmt: skip
KINDS = {
    "own": ["model=mlp", f"model.hidden={HIDDEN}", "optimizer.weight_decay=0",
            f"trainer.batch_size={BATCH}", "trainer.eval_interval=20 steps"],
    "function": ["loop=function", "loop.target=same_verdict.train", "trust=same_verdict"],
    "command": ["loop=command", f"loop.line='{sys.executable} {Path(__file__).resolve()}'"],
}  # fmt: skip


def train() -> None:
    """One run, as lrbench describes it to `lrbench.start`."""
    cpu = torch.device("cpu")
    with lrbench.start(measure=("accuracy", "loss"), paired=True) as run:
        data = lrbench.load("dataset", "digits").load(cpu, channels_last=True)
        task = lrbench.load("task", "classification").build(data.examples)
        spec = lrbench.load("model", "mlp", hidden=HIDDEN)
        model = build_model(spec, data.shapes(task), seed=run.seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=run.lr, momentum=0.9, nesterov=True)
        per_epoch = data.train.steps_per_epoch(BATCH)
        scheduler = run.scheduler(optimizer, steps_per_epoch=per_epoch, evaluate_every=20)

        def measured(split: str) -> dict[str, float]:
            right, lost, num = 0, 0.0, 0
            with torch.no_grad():
                for inputs, targets in getattr(data, split).batches(256):
                    outputs = model(inputs)
                    right += int((outputs.argmax(1) == targets).sum())
                    lost += float(task.loss(outputs, targets)) * len(targets)
                    num += len(targets)
            return {f"{split}_accuracy": right / num, f"{split}_loss": lost / num}

        for step in range(1, run.total_steps + 1):
            inputs, targets = data.train.batch(step - 1, seed=run.seed, batch_size=BATCH)
            loss = task.loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            run.log(step, train_loss=loss.item())
            if step % 20 == 0:
                run.evaluate(step, **measured("val"))
        run.finish(**measured("test"))


def sweep(kind: str, folder: Path) -> dict[str, Any]:
    """Run the sweep by one kind of loop; its report's only group."""
    lrbench_main([*SWEEP, *KINDS[kind], f"hydra.sweep.dir={folder / kind}"])
    (group,) = json.loads((folder / kind / "report.json").read_text())["groups"]
    return dict(group)


def main(folder: Path, kinds: list[str]) -> None:
    """Sweep by each kind of loop and print the verdicts."""
    verdicts = {kind: sweep(kind, folder)["verdict"] for kind in kinds}
    print()
    for kind, verdict in verdicts.items():
        print(f"{kind:9} {verdict}")
    if len(set(verdicts.values())) > 1:
        sys.exit("the verdicts differ")


if __name__ == "__main__":
    if len(sys.argv) == 1:  # started by lrbench, for one run
        train()
    else:
        sys.path.insert(0, str(Path(__file__).parent))
        words, sys.argv = sys.argv, sys.argv[:1]
        main(Path(words[1]), words[2:] or list(KINDS))
