"""What lrbench adds to a bare loop: python scripts/bench/overhead.py [MODEL ...]

The bare loop has the same model, optimizer, precision, threads, layout and compilation, on batches
made beforehand; it measures nothing and records nothing. lrbench's updates pick and augment their
batch, follow a schedule, and are recorded every 10, as in a run of 5,000; evaluations are not
counted.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

import torch
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

from lrbench.dataset import Data

STEPS = {"resnet8": 100, "lenet": 60, "resnet20": 12, "gpt_nano": 30}


def bare(job: Job, data: Data, num_steps: int) -> float:
    """Seconds of `num_steps` updates of the plainest loop."""
    loop = job.loop(data, num_steps)
    loop.model.train()
    model, optimizer = loop.forward, loop.optimizer
    batches = [data.train.batch(i, seed=0, batch_size=job.batch_size) for i in range(4)]
    began = clock()
    for step, (images, labels) in enumerate(
        itertools.islice(itertools.cycle(batches), WARM_UP + num_steps)
    ):
        if step == WARM_UP:
            began = clock()
        with loop.autocast():
            logits = model(images)
        loop.task.loss(logits.float(), labels).backward()
        if job.clip is not None:
            torch.nn.utils.clip_grad_norm_(loop.model.parameters(), job.clip)
        optimizer.step()
        optimizer.zero_grad()
    return clock() - began


def main(models: Sequence[str], repeats: int) -> None:
    """Print a line per model."""
    heading(f"examples/s of lrbench's updates and of a bare loop, medians of {repeats} [extremes]")
    rows = []
    for name in models:
        job, steps = JOBS[name], STEPS[name]
        data = job.data(5 * job.batch_size)
        images = steps * job.batch_size
        cases = {
            "bare": lambda job=job, data=data, steps=steps: bare(job, data, steps),
            "lrbench": lambda job=job, data=data, steps=steps: train(
                job.loop(data, WARM_UP + steps, log_interval="10 steps"), WARM_UP
            ),
        }
        for case in cases.values():
            case()  # warm up
        found = interleaved(cases, repeats)
        speeds = {name: [images / s for s in seconds] for name, seconds in found.items()}
        ratios = [b / a for b, a in zip(found["bare"], found["lrbench"], strict=True)]
        told = [spread(speeds[c], ",.0f") for c in cases]
        rows.append([job.name, *told, spread(ratios, ".1%")])
    table(["job", "bare loop", "lrbench", "lrbench / bare"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(JOBS), help=f"of {', '.join(JOBS)}")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--processor-time", action="store_true", help="on a busy machine")
    arguments = parser.parse_args()
    if arguments.processor_time:
        count_processor_time()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    main(arguments.models, arguments.repeats)
