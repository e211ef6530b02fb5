"""What lrbench reaches on a GPU, in one command: python scripts/bench/gpu.py --output gpu.json

Speeds in fp32, in bf16 and compiled, beside a bare loop on ready batches and the card's own peak;
waits for the card, recompilations, memory, several runs on one card, and whether a resumed run is
the one that never stopped. What cannot be taken says why. ``--device cpu --tiny`` rehearses it.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from common import Job, heading, table, train
from torch.utils.flop_counter import FlopCounterMode

RESNET18 = Job("resnet18", "cifar10", 512, (32, 3))
GPT_MINI = Job(
    "gpt_mini", "python_docs", 64, lr=1e-3, task="language_modelling", optimizer="adamw",
    settings={"context": 256}, clip=1.0,
)  # fmt: skip
LENET = Job("lenet", "fashion_mnist", 64, (28, 1), lr=0.01)
GPT_TINY = Job(
    "gpt_tiny", "python_docs", 16, lr=1e-3, task="language_modelling", optimizer="adamw",
    settings={"context": 32}, clip=1.0,
)  # fmt: skip
MODES: Mapping[str, Mapping[str, Any]] = {
    "fp32": {"precision": "fp32", "compile": False},
    "bf16": {"precision": "bf16", "compile": False},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}
NO_COMPILING = "a CPU's compiler takes minutes, and recipes.py measures it"
WARM_UP = 8  # updates before the clock starts


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def bare(job: Job, data: Any, steps: int, device: torch.device, **mode: Any) -> float:
    """Seconds of `steps` updates of the plainest loop on batches made beforehand."""
    loop = job.loop(data, steps, device=device, **mode)
    loop.model.train()
    ready = [data.train.batch(i, seed=0, batch_size=job.batch_size) for i in range(4)]
    began = 0.0
    for step, (inputs, targets) in enumerate(
        itertools.islice(itertools.cycle(ready), WARM_UP + steps)
    ):
        if step == WARM_UP:
            wait(device)
            began = time.perf_counter()
        with loop.autocast():
            outputs = loop.forward(inputs)
        loop.task.loss(outputs.float(), targets).backward()
        if job.clip is not None:
            torch.nn.utils.clip_grad_norm_(loop.model.parameters(), job.clip)
        loop.optimizer.step()
        loop.optimizer.zero_grad()
    wait(device)
    return time.perf_counter() - began


def speed(job: Job, device: torch.device, steps: int, repeats: int, peak: float) -> dict[str, Any]:
    """Of each mode: units/s, the share of a bare loop, of the card's peak, and peak memory."""
    data = job.data(max(2_000, 4 * job.batch_size), device=device)
    loop = job.loop(data, 1, device=device)
    inputs, targets = data.train.batch(0, seed=0, batch_size=job.batch_size)
    with FlopCounterMode(display=False) as counted:
        loop.task.loss(loop.model(inputs).float(), targets).backward()
    flops = counted.get_total_flops()
    found: dict[str, Any] = {}
    for name, mode in MODES.items():
        if mode["compile"] and device.type == "cpu":
            found[name] = {"not_taken": NO_COMPILING}
            continue
        try:
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            pairs = [
                (
                    bare(job, data, steps, device, **mode),
                    train(job.loop(data, WARM_UP + steps, device=device, **mode), WARM_UP),
                )
                for _ in range(repeats)
            ]
            seconds = statistics.median(ours for _, ours in pairs)
            units = steps * job.batch_size * loop.task.units_per_example
            found[name] = {
                f"{loop.task.unit}_per_second": units / seconds,
                "of_bare_loop": statistics.median(b / a for b, a in pairs),
                "of_peak": flops * steps / seconds / peak,
                "n": repeats,
            }
            if device.type == "cuda":
                found[name]["peak_memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        except Exception as error:
            found[name] = {"not_taken": f"{type(error).__name__}: {error}".splitlines()[0]}
    return found


def peak_flops(device: torch.device, side: int) -> float:
    """The best of five products of two bf16 matrices of `side`, in FLOP/s."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    times = []
    for _ in range(6):
        wait(device)
        began = time.perf_counter()
        a @ a
        wait(device)
        times.append(time.perf_counter() - began)
    return 2 * side**3 / min(times[1:])


def waits(job: Job, device: torch.device, steps: int) -> dict[str, Any]:
    """How often training and one evaluation wait for the card, by torch's own count."""
    if device.type != "cuda":
        return {"not_taken": "only a GPU is waited for"}
    loop = job.loop(job.data(4 * job.batch_size, device=device), steps, device=device)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            train(loop)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = [str(w.filename).rsplit("/", 2)[-1] + f":{w.lineno}" for w in told]
    return {"updates": steps, "waits": len(found), "where": sorted(set(found))}


def recompilations(job: Job, device: torch.device, steps: int) -> dict[str, Any]:
    """Graphs that torch's compiler made in the first updates, and in those whose lr changed."""
    if device.type == "cpu":
        return {"not_taken": NO_COMPILING}
    counters = torch._dynamo.utils.counters["stats"]
    graphs = []
    for length in (2, steps):
        counters.clear()
        data = job.data(4 * job.batch_size, device=device)
        train(job.loop(data, length, device=device, compile=True))
        graphs.append(int(counters["unique_graphs"]))
    return {"in_2_updates": graphs[0], f"in_{steps}_updates": graphs[1]}


def resumed(job: Job, device: torch.device) -> dict[str, Any]:
    """Whether a run that is taken up half way ends with the weights of one that never stopped."""
    data = job.data(4 * job.batch_size, device=device)
    kept: list[dict[str, Any]] = []

    def made() -> Any:
        return job.loop(data, 8, device=device, deterministic=True, precision="fp32")

    whole = made()
    train(whole)
    cut = made()
    with tempfile.TemporaryDirectory() as folder:
        from lrbench.record.recorder import Recorder
        from lrbench.trainer.loop import Interrupted

        path = Path(folder)
        recorder = Recorder(path, position=None, next_step=1, measures=cut.measures, display=None)
        with recorder:
            try:
                cut.run(recorder=recorder, save=kept.append, stop=lambda: cut.state.step >= 4)
            except Interrupted:
                torch.save(kept[-1], path / "checkpoint")
        again = made()
        again.restore(torch.load(path / "checkpoint", weights_only=True))
    train(again)
    pairs = zip(whole.model.parameters(), again.model.parameters(), strict=True)
    return {"bit_identical": all(torch.equal(a, b) for a, b in pairs), "from": 4, "of": 8}


def many_runs(model: str, device: torch.device, counts: tuple[int, ...], length: str) -> Any:
    """Wall-clock seconds of K runs at once, each a process, start-up included."""
    found = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            commands = [
                [sys.executable, "-m", "lrbench", f"model={model}", f"trainer.length={length}",
                 f"seed={seed}", f"trainer.device={device.type}", f"hydra.run.dir={folder}/{seed}"]
                for seed in range(count)
            ]  # fmt: skip
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
            started = [subprocess.Popen(words, **quiet) for words in commands]  # type: ignore[call-overload]
            errors = [process.communicate()[1] for process in started]
            failed = [e for e, process in zip(errors, started, strict=True) if process.returncode]
            if failed:
                return {"not_taken": failed[0].strip().splitlines()[-1]}
            found[f"{count}_at_once_seconds"] = time.perf_counter() - began
    return found


def cuda_tests(device: torch.device) -> dict[str, Any]:
    """The tests that need CUDA."""
    if device.type != "cuda":
        return {"not_taken": "no GPU here"}
    words = [sys.executable, "-m", "pytest", "-q", "tests", "-k", "cuda or gpu", "-p",
             "no:cacheprovider"]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return {"said": lines[-1] if lines else "nothing", "exit_code": done.returncode}


def sections(device: torch.device, tiny: bool) -> dict[str, Callable[[], Any]]:
    """What is measured, by name, in the order of how much it matters."""
    jobs = (LENET, GPT_TINY) if tiny else (RESNET18, GPT_MINI)
    steps, repeats = (2, 1) if tiny else (40, 3)
    peak = peak_flops(device, 256 if tiny else 8192)
    small = jobs[0]
    return {
        "peak": lambda: {"bf16_matmul_tflops": peak / 1e12},
        **{
            f"speed of {job.model}": functools.partial(speed, job, device, steps, repeats, peak)
            for job in jobs
        },
        "waits for the card": lambda: waits(small, device, steps),
        "recompilations": lambda: recompilations(small, device, 4 if tiny else 20),
        "resumed, deterministic": lambda: resumed(small, device),
        "several runs": lambda: many_runs(
            "mlp" if tiny else "resnet20", device, (1,) if tiny else (1, 2, 4), "2 epochs"
        ),
        "tests": lambda: cuda_tests(device),
    }


def main(device: torch.device, *, tiny: bool, minutes: float, output: Path | None) -> None:
    """Take every section that there is time for, print a table, and write the JSON."""
    heading(f"lrbench on {torch.cuda.get_device_name() if device.type == 'cuda' else 'a CPU'}")
    began = time.perf_counter()
    found: dict[str, Any] = {}
    for name, take in sections(device, tiny).items():
        if time.perf_counter() - began > 60 * minutes:
            found[name] = {"not_taken": f"{minutes:g} minutes were over"}
            continue
        try:
            found[name] = take()
        except Exception as error:
            found[name] = {"not_taken": f"{type(error).__name__}: {error}".splitlines()[0]}
    rows = []
    for name, values in found.items():
        for key, value in values.items():
            numbers = value if isinstance(value, dict) else {"": value}
            for what, number in numbers.items():
                told = f"{number:,.4g}" if isinstance(number, float) else str(number)
                rows.append([name, f"{key} {what}".strip(), told])
    table(["what", "measured", "value"], rows)
    if output is not None:
        output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a rehearsal")
    parser.add_argument("--minutes", type=float, default=8, help="after which no section begins")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("gpu.py: there is no GPU here: rehearse it with --device cpu --tiny")
    main(torch.device(given.device), tiny=given.tiny, minutes=given.minutes, output=given.output)
