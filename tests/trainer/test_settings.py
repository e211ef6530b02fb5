"""The trainer's settings and the device they ask for."""

import platform
import resource
import sys

import pytest
import torch
from hydra import compose, initialize_config_dir
from runs import CONF

from lrbench.config import ConfigError, build
from lrbench.trainer import Trainer, hardware


def settings(*overrides: str) -> Trainer:
    with initialize_config_dir(CONF, version_base="1.3"):
        node = compose("config", [f"trainer.{o}" for o in overrides]).trainer
    trainer = build(node, "trainer")
    assert isinstance(trainer, Trainer)
    return trainer


def test_lengths_and_intervals_in_updates() -> None:
    epochs = settings("length=2.5 epochs", "eval_interval=0.5 epochs", "log_interval=1%")
    assert epochs.total_steps(20) == 50
    assert epochs.intervals(50, 20) == (10, 1)  # 1 % is half an update: every one is logged
    assert epochs.intervals(20, 20) == (10, 1)
    with pytest.raises(ValueError, match=r"trainer\.eval_interval=0.5 epochs is less than one"):
        epochs.intervals(5, 0)
    steps = settings("length=1000 steps", "eval_interval=25%", "log_interval=3 steps")
    assert steps.total_steps(20) == 1000
    assert steps.intervals(1000, 20) == (250, 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("length=10%", "trainer.length=10%: '10%' is not a duration here: write '5 epochs', "),
        ("length=0 epochs", "trainer.length=0 epochs must be above 0"),
        ("batch_size=0", "trainer.batch_size=0 must be from 1 to 2147483647"),
        ("gradient_accumulation_steps=5", "must divide batch_size=64"),
        ("max_grad_norm=0", "trainer.max_grad_norm=0.0 must be above 0"),
        ("max_grad_norm=nan", "trainer.max_grad_norm=nan must be above 0"),
        (
            "precision=fp61",
            "fp61 is not one of auto, bf16_if_native, fp32, bf16, fp16; did you mean",
        ),
        ("compile=sometimes", "trainer.compile=sometimes must be true, false or auto"),
        ("num_threads=0", "trainer.num_threads=0 must be from 1 to 1024, or null"),
        ("checkpoint_interval_seconds=-1", "checkpoint_interval_seconds=-1.0 must be 0 or above"),
        ("eval_batch_size=99999999999999999999", "must be from 1 to 2147483647"),
        ("eval_interval=5", "trainer.eval_interval=5: '5' is not a duration"),
    ],
)
def test_mistakes(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(override)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "nonsense", "cpu:1", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(ValueError, match=rf"trainer\.device={name} is not on this machine: .*cpu"):
        hardware.choose_device(name)


def test_threads_and_determinism_are_set() -> None:
    threads, cpu = torch.get_num_threads(), torch.device("cpu")
    try:
        hardware.set_up(settings("num_threads=1", "deterministic=true"), cpu)
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        hardware.set_up(settings(f"num_threads={threads}"), cpu)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("faster", [False, True])
def test_automatic_precision_on_a_cpu(faster: bool) -> None:
    cpu = torch.device("cpu")
    assert hardware.choose_precision("auto", cpu, lambda: True) == torch.float32
    native = hardware.choose_precision("bf16_if_native", cpu, lambda: faster)
    assert native == (torch.bfloat16 if faster else torch.float32)


def test_compiling_on_a_cpu_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setenv("CXX", sys.executable)  # stands for one that is there
    chosen = [hardware.choose_compile(s, cpu, 10**6) for s in (False, "auto", True)]
    assert chosen == [False, True, True]
    chosen = [hardware.choose_compile(s, cpu, 100) for s in (False, "auto", True)]
    assert chosen == [False, False, True]  # too short a run to win back the time
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert hardware.choose_compile("auto", cpu, 10**6) is False
    assert hardware.choose_compile("auto", cuda, 100) is True
    with pytest.raises(ValueError, match=r"trainer\.compile=True needs .* no no-such-compiler"):
        hardware.choose_compile(True, cpu, 10**6)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_kept_for_the_next_update() -> None:
    """Else the kernel hands out every page anew: a fault each."""
    hardware.set_up(settings(), torch.device("cpu"))
    for _ in range(10):  # until the heap has its size
        torch.ones(2**21)  # 8 MiB, 2,048 pages
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**21)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 2048
