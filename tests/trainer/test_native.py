"""bf16 on a CPU where it is faster: what is measured, kept, and gone on with."""

from __future__ import annotations

import json
import math
import multiprocessing
from pathlib import Path

import pytest
import torch
from runs import Saved, new_loop, run

from lrbench.trainer import native
from lrbench.trainer.loop import Interrupted

NATIVE = ("trainer.precision=bf16_if_native", "model=mlp", "model.hidden=[16]")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, and a process that knows nothing yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(native, "_found", {})
    monkeypatch.setattr(native, "_has_kernels", lambda: True)
    return tmp_path / "cache" / "lrbench"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds that passes take, in place of the processor's; and the dtypes in which they ran."""
    seconds = {torch.float32: 1.0, torch.bfloat16: 0.5}
    real = native._seconds

    def pretended(*args: object) -> float:
        real(*args)  # type: ignore[arg-type]
        return seconds[args[-1]]  # type: ignore[index]

    monkeypatch.setattr(native, "_seconds", pretended)
    return seconds


@pytest.mark.parametrize(
    ("bf16", "dtype"),
    [(0.5, torch.bfloat16), (0.95, torch.float32), (9.0, torch.float32), (math.inf, torch.float32)],
)
def test_the_faster_precision_is_taken(
    bf16: float, dtype: torch.dtype, clock: dict[torch.dtype, float]
) -> None:
    clock[torch.bfloat16] = bf16
    assert new_loop(*NATIVE).dtype == dtype


@pytest.mark.usefixtures("clock")
def test_what_is_measured_is_the_network_and_leaves_it_alone() -> None:
    seen: list[torch.dtype] = []
    loop = new_loop("model=resnet8")
    before = {name: value.clone() for name, value in loop.model.state_dict().items()}
    loop.model.register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    drawn = torch.get_rng_state()
    assert loop._bf16_is_faster()
    assert set(seen) == {torch.float32, torch.bfloat16}
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(p.grad is None for p in loop.model.parameters())
    for name, value in loop.model.state_dict().items():  # BatchNorm's statistics among them
        assert torch.equal(value, before[name]), name


def test_medians_of_passes_in_turns() -> None:
    fp32, bf16 = iter([9.0, 1, 2, 3, 4, 5]), iter([99.0, 1, 1, 1, 1, 1])
    assert native.speed_up(lambda dtype: next(fp32 if dtype == torch.float32 else bf16)) == 3


def test_a_first_pair_is_enough_where_bf16_is_far_slower() -> None:
    passes: list[torch.dtype] = []

    def seconds(dtype: torch.dtype) -> float:
        passes.append(dtype)
        return 9.0 if dtype == torch.bfloat16 else 1.0

    assert native.speed_up(seconds) == pytest.approx(1 / 9)
    assert len(passes) == 4


def test_what_was_found_is_kept_for_other_processes(
    cache: Path, clock: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert new_loop(*NATIVE).dtype == torch.bfloat16
    (file,) = cache.glob("bf16-*.json")
    assert json.loads(file.read_text())["speed_up"] == 2
    clock[torch.bfloat16] = 9.0  # the machine is busy now
    monkeypatch.setattr(native, "_found", {})
    assert new_loop(*NATIVE).dtype == torch.bfloat16
    monkeypatch.setattr(native, "_found", {})
    assert new_loop(*NATIVE, "model.hidden=[8]").dtype == torch.float32  # is another network
    file.write_text("{")  # a damaged file is measured anew
    monkeypatch.setattr(native, "_found", {})
    assert new_loop(*NATIVE).dtype == torch.float32
    assert json.loads(file.read_text())["speed_up"] == pytest.approx(1 / 9)


def test_without_a_cache_folder_the_runs_of_a_process_agree(
    tmp_path: Path, clock: dict[torch.dtype, float]
) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert new_loop(*NATIVE).dtype == torch.bfloat16
    clock[torch.bfloat16] = 9.0
    assert new_loop(*NATIVE).dtype == torch.bfloat16


def _measure_slowly(folder: str, answer: float, said: multiprocessing.SimpleQueue[float]) -> None:
    import os
    import time

    os.environ["XDG_CACHE_HOME"] = folder

    def measure() -> float:
        time.sleep(0.2)  # so that the other one comes meanwhile
        return answer

    said.put(native.remembered("a", {}, measure))


def test_processes_that_begin_together_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    workers = [
        context.Process(target=_measure_slowly, args=(str(tmp_path / "both"), answer, said))
        for answer in (0.5, 2.0)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert said.get() == said.get()


def test_a_resumed_run_goes_on_in_its_precision(
    tmp_path: Path, clock: dict[torch.dtype, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*NATIVE, "trainer.length=4 steps", "trainer.eval_interval=2 steps")
    saved, folder = Saved(stop_after=3), tmp_path / "run"
    folder.mkdir()
    with pytest.raises(Interrupted):
        run(new_loop(*words), folder, saved)
    clock[torch.bfloat16] = 9.0  # another machine
    monkeypatch.setattr(native, "_found", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    loop = new_loop(*words)
    assert loop.dtype == torch.float32
    loop.restore(saved.checkpoints[-1])
    seen: set[torch.dtype] = set()
    loop.model.register_forward_hook(lambda _m, _i, out: seen.add(out.dtype))
    run(loop, folder, Saved(), saved.checkpoints[-1]["files"])
    assert seen == {torch.bfloat16}  # in training and in evaluation
    assert loop.arithmetic[0] == "bf16"
