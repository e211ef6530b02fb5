"""lrbench against what people write today: python scripts/bench/recipes.py [MODEL ...]

Same model, initial weights, images, augmentation, batch size, optimizer, schedule and threads:

- plain: torchvision's transforms on PIL images, a DataLoader with 0, 1 and 2 workers (the best
  counts), eager, NCHW, loss and accuracy fetched from every batch;
- lightning: the same, with as many workers, in pytorch-lightning, with its progress bar and logger;
- lrbench, as its configs have it (resnet20 compiled, and in bf16 on a CPU with AMX), with records
  and without evaluations.

gpt_nano is held against nanoGPT's order of operations on its recipe for a CPU: each batch stacked
from random places of a mapped file of tokens, eager, in fp32, AdamW unfused, the loss fetched from
every update.

With --accuracy it trains each on the real images for equal epochs over several seeds instead.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import math
import statistics
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as lightning
import torch
import torch.nn.functional as F
from common import (
    JOBS,
    WARM_UP,
    Job,
    clock,
    count_processor_time,
    heading,
    interleaved,
    spread,
    table,
    train,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms

from lrbench.config import load
from lrbench.dataset import Data
from lrbench.dataset.data import Store
from lrbench.dataset.transform import Transform
from lrbench.model import build_model
from lrbench.trainer.evaluate import evaluate

STEPS = {"resnet8": 30, "lenet": 30, "resnet20": 12}  # of an epoch; the first is not timed
WORKERS: tuple[int, ...] = (0, 1, 2)


class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """Training images as PIL images through torchvision's transforms."""

    def __init__(self, data: Data, num_images: int | None = None) -> None:
        prepare = data.train._prepare
        assert isinstance(prepare, Transform)
        augment = prepare.augment
        store, index = data.train._store, data.train._index[:num_images]
        assert isinstance(store, Store)
        assert store._inputs is not None
        self.images = store._inputs.numpy()[index]  # uint8 (N, H, W, C)
        self.labels = store.targets.numpy()[index]
        steps: list[Any] = [transforms.ToPILImage()]
        if augment is not None and augment.crop_padding:
            steps.append(
                transforms.RandomCrop(data.examples.inputs[1], padding=augment.crop_padding)
            )
        if augment is not None and augment.flip:
            steps.append(transforms.RandomHorizontalFlip())
        steps += [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])

    def loader(self, job: Job, workers: int) -> DataLoader[tuple[Tensor, int]]:
        """Shuffled batches, the last incomplete one left out."""
        return DataLoader(
            self,
            batch_size=job.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )


def network(job: Job, data: Data, seed: int) -> nn.Module:
    """The model with lrbench's initial weights."""
    return build_model(
        load("model", job.model),
        data.shapes(load("task", job.task).build(data.examples)),
        seed=seed,
    )


def optimizer_and_schedule(model: nn.Module, lr: float, num_steps: int) -> tuple[Any, Any]:
    """SGD and cosine as conf/ has them, in torch's own words."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": 5e-4}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)


def plain_epochs(
    model: nn.Module, lr: float, loader: DataLoader[tuple[Tensor, int]], num_epochs: int
) -> Iterator[float]:
    """Train as the tutorials do; seconds of each epoch."""
    optimizer, schedule = optimizer_and_schedule(model, lr, num_epochs * len(loader))
    for _ in range(num_epochs):
        began = clock()
        model.train()
        total_loss, right = 0.0, 0
        for images, labels in loader:
            optimizer.zero_grad()
            output = model(images)
            loss = F.cross_entropy(output, labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total_loss += loss.item()
            right += int((output.argmax(1) == labels).sum().item())
        yield clock() - began


class Module(lightning.LightningModule):
    """The same for pytorch-lightning."""

    def __init__(self, model: nn.Module, lr: float, num_steps: int) -> None:
        super().__init__()
        self.model, self.lr, self.num_steps = model, lr, num_steps
        self.seconds: list[float] = []

    def training_step(self, batch: Any, batch_index: int) -> Tensor:  # noqa: ARG002
        images, labels = batch
        output = self.model(images)
        loss = F.cross_entropy(output, labels)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", (output.argmax(1) == labels).float().mean(), prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        optimizer, schedule = optimizer_and_schedule(self.model, self.lr, self.num_steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def on_train_epoch_start(self) -> None:
        self.began = clock()

    def on_train_epoch_end(self) -> None:
        self.seconds.append(clock() - self.began)


def lightning_epochs(
    model: nn.Module, lr: float, loader: DataLoader[tuple[Tensor, int]], num_epochs: int
) -> list[float]:
    """Train in pytorch-lightning; seconds of each epoch."""
    module = Module(model, lr, num_epochs * len(loader))
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, quiet[0], quiet[1]:
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=num_epochs,
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
    return module.seconds


class NanoGPT:
    """The training part of a text, and the loop that nanoGPT runs on it."""

    def __init__(self, job: Job, data: Data, folder: Path) -> None:
        self.job, self.data = job, data
        self.context = data.examples.inputs[0]
        data.examples.targets.astype(np.uint16).tofile(folder / "train.bin")
        self.path = folder / "train.bin"

    def batch(self) -> tuple[Tensor, Tensor]:
        """Windows of random places, and the tokens that follow each of theirs."""
        tokens = np.memmap(self.path, dtype=np.uint16, mode="r")  # anew each time, against a leak
        starts = torch.randint(len(tokens) - self.context, (self.job.batch_size,)).tolist()
        inputs, targets = (
            torch.stack(
                [torch.from_numpy(tokens[i : i + self.context].astype(np.int64)) for i in places]
            )
            for places in (starts, [i + 1 for i in starts])
        )
        return inputs, targets

    def train(self, num_steps: int, seed: int) -> tuple[float, nn.Module]:
        """Seconds of `num_steps` updates after `WARM_UP` others, and the network."""
        job, total = self.job, WARM_UP + num_steps
        torch.manual_seed(seed)
        model = network(job, self.data, seed).train()
        weights = [p for p in model.parameters() if p.ndim >= 2]
        rest = [p for p in model.parameters() if p.ndim < 2]
        groups = [
            {"params": weights, "weight_decay": 0.05},  # as conf/optimizer/adamw.yaml has it
            {"params": rest, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=job.lr, betas=(0.9, 0.999))
        began = clock()
        batch = self.batch()
        for step in range(total):
            if step == WARM_UP:
                began = clock()
            for group in optimizer.param_groups:
                group["lr"] = job.lr * (1 + math.cos(math.pi * step / total)) / 2
            inputs, targets = batch
            logits = model(inputs)
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
            batch = self.batch()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss.item()
        return clock() - began, model


def text_speeds(repeats: int, num_steps: int) -> None:
    """Print tokens/s of gpt_nano in nanoGPT's loop and in lrbench's, and the losses they reach."""
    job = JOBS["gpt_nano"]
    heading(f"tokens/s, and validation loss after {WARM_UP + num_steps} updates; {repeats} seeds")
    data = job.data()
    tokens = num_steps * job.batch_size * data.examples.inputs[0]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = NanoGPT(job, data, Path(folder))
        found: dict[str, list[tuple[float, float]]] = {"nanoGPT": [], "lrbench": []}
        for seed in range(repeats):
            seconds, model = theirs.train(num_steps, seed)
            found["nanoGPT"].append((tokens / seconds, val_loss(job, model, data)))
            loop = job.loop(data, WARM_UP + num_steps, seed=seed, eval_interval="100%")
            seconds = train(loop, WARM_UP)
            found["lrbench"].append((tokens / seconds, val_loss(job, loop.model, data)))
    for name, pairs in found.items():
        speeds, losses = zip(*pairs, strict=True)
        rows.append([name, spread(speeds, ",.0f"), spread(losses, ".3f")])
    ratios = [b[0] / a[0] for a, b in zip(found["nanoGPT"], found["lrbench"], strict=True)]
    table(
        ["", "tokens/s", "validation loss"],
        [*rows, ["lrbench / nanoGPT", spread(ratios, ".2f"), ""]],
    )


def val_loss(job: Job, model: nn.Module, data: Data) -> float:
    """Nats per token of the validation part."""
    task = load("task", job.task).build(data.examples)
    found = evaluate(model, data.val.batches(128), task, autocast=contextlib.nullcontext)
    assert found is not None  # as nobody asks it to stop
    return found["loss"]


def speeds(models: Sequence[str], repeats: int) -> None:
    """Print a line per model."""
    heading(
        f"images/s of training, medians of {repeats} [extremes], in turns",
        "torchvision",
        "pytorch-lightning",
    )
    rows = []
    for name in models:
        job, steps = JOBS[name], STEPS[name]
        data = job.data(2 * steps * job.batch_size)
        pictures = Pictures(data, steps * job.batch_size)
        steps = len(pictures) // job.batch_size

        def plain(workers: int, job: Job = job, data: Data = data, p: Pictures = pictures) -> float:
            return list(plain_epochs(network(job, data, 0), job.lr, p.loader(job, workers), 2))[1]

        def light(workers: int, job: Job = job, data: Data = data, p: Pictures = pictures) -> float:
            return lightning_epochs(network(job, data, 0), job.lr, p.loader(job, workers), 2)[1]

        def ours(job: Job = job, data: Data = data, steps: int = steps) -> float:
            return train(job.loop(data, WARM_UP + steps), WARM_UP)

        trial = {w: plain(w) for w in WORKERS}
        light(0)  # warm up
        ours()
        best = min(trial, key=trial.__getitem__)
        cases = {
            "plain": lambda plain=plain, w=best: plain(w),
            "lightning": lambda light=light, w=best: light(w),
            "lrbench": ours,
        }
        found = interleaved(cases, repeats)
        images = steps * job.batch_size
        ratios = [
            statistics.median(a / b for a, b in zip(found[c], found["lrbench"], strict=True))
            for c in ("plain", "lightning")
        ]
        told = [spread([images / s for s in found[c]], ",.0f") for c in cases]
        told += [str(best), *(f"{r:.2f}" for r in ratios)]
        rows.append([job.name, *told])
    columns = ["job", "plain", "lightning", "lrbench", "workers", "lrbench / plain", "/ lightning"]
    table(columns, rows)


def accuracies(
    models: Sequence[str], seeds: int, num_epochs: int, num_images: int, root: str | None
) -> None:
    """Print test accuracy after equal epochs, per model and recipe, over seeds."""
    heading(
        f"Test accuracy in % after {num_epochs} epochs, mean ± standard deviation of {seeds} seeds",
        "torchvision",
        "pytorch-lightning",
    )
    rows = []
    for name in models:
        job = replace(JOBS[name], shape=None)
        if root is not None and (Path(root) / "train").is_dir():
            job = replace(job, dataset="imagefolder")
        data = job.data() if job.dataset == "digits" or root is None else job.data(root=root)
        every = max(1, len(data.train) // num_images)  # of all classes, by which they may be sorted
        data.train._index = data.train._index[::every][:num_images]
        pictures = Pictures(data)
        found: dict[str, list[float]] = {"plain": [], "lightning": [], "lrbench": []}
        for seed in range(seeds):
            torch.manual_seed(seed)
            model = network(job, data, seed)
            list(plain_epochs(model, job.lr, pictures.loader(job, 0), num_epochs))
            found["plain"].append(accuracy(model, data))
            model = network(job, data, seed)
            lightning_epochs(model, job.lr, pictures.loader(job, 0), num_epochs)
            found["lightning"].append(accuracy(model, data))
            num_steps = num_epochs * data.train.steps_per_epoch(job.batch_size)
            loop = job.loop(data, num_steps, seed=seed)
            train(loop)
            found["lrbench"].append(accuracy(loop.model, data))
        rows.append(
            [f"{job.name}, {len(pictures):,} images"]
            + [f"{statistics.mean(a):.2f} ± {statistics.stdev(a):.2f}" for a in found.values()]
        )
    table(["job", "plain", "lightning", "lrbench"], rows)


def accuracy(model: nn.Module, data: Data) -> float:
    """Share of the test images classed right, in %."""
    model.eval()
    with torch.inference_mode():
        right = [(model(x).argmax(1) == y).sum().item() for x, y in data.test.batches(500)]
    return 100 * math.fsum(right) / len(data.test)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(JOBS), help=f"of {', '.join(JOBS)}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--accuracy", type=int, metavar="SEEDS", help="compare accuracies instead")
    parser.add_argument("--precision", help="lrbench's, in place of its experiment's")
    parser.add_argument("--updates", type=int, default=100, help="of gpt_nano")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--images", type=int, default=10**9, help="training images at most")
    parser.add_argument(
        "--root",
        help="folder of the real images, unless digits: their published files, or train/ and "
        "test/ with a folder per class",
    )
    parser.add_argument(
        "--processor-time", action="store_true", help="on a busy machine; of one process alone"
    )
    arguments = parser.parse_args()
    if arguments.processor_time:
        count_processor_time()
        WORKERS = (0,)  # what others compute is not counted
    if arguments.precision:
        JOBS |= {n: replace(job, precision=arguments.precision) for n, job in JOBS.items()}
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if arguments.accuracy:
        accuracies(
            arguments.models,
            arguments.accuracy,
            arguments.epochs,
            arguments.images,
            arguments.root,
        )
    else:
        if images := [name for name in arguments.models if name != "gpt_nano"]:
            speeds(images, arguments.repeats)
        if "gpt_nano" in arguments.models:
            text_speeds(arguments.repeats, arguments.updates)
