"""Two processes on a CPU train what one trains, and decide together."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import start_two
from runs import Saved, history, run
from two_processes import CASES, STOPPED, double_loop

from lrbench.trainer import distributed

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("two")
    processes = start_two("two_processes", str(path), cwd=HERE)
    said = [process.stdout.read() for process in processes if process.stdout is not None]
    assert [process.wait() for process in processes] == [0, 0], said
    return path


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    """What each of two processes found."""
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def close(a: torch.Tensor, b: torch.Tensor, what: str) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, msg=lambda m: f"{what}: {m}")


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(
    folder: Path, found: list[dict[str, Any]], name: str, tmp_path: Path
) -> None:
    loop = double_loop(*CASES[name])
    test = run(loop, tmp_path, Saved())
    results = [rank["cases"][name] for rank in found]
    for their_test, their_val_losses, weights in results:
        assert their_test["accuracy"] == test["accuracy"]
        assert their_test["loss"] == pytest.approx(test["loss"], rel=1e-6)
        assert their_val_losses == pytest.approx(loop.state.validations["loss"], rel=1e-6)
        for key, value in loop.model.state_dict().items():
            close(weights[key], value, key)
    assert results[0][1] == results[1][1], "the ranks' validation losses must be equal to the bit"
    assert all(torch.equal(results[0][2][key], results[1][2][key]) for key in results[0][2])
    ours, theirs = history(tmp_path), history(folder / name)
    assert len(ours) == len(theirs) > 3
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        assert all(float(a[k] or 0) == pytest.approx(float(b[k] or 0), rel=1e-6) for k in a)
    if name == "rich":
        assert len({row["lr"] for row in ours}) > 1, "no cut of the plateau: nothing tested"


def test_batch_norm_on_cpus_is_refused_with_what_to_do(found: list[dict[str, Any]]) -> None:
    said = "the model has BatchNorm, whose statistics several processes share on GPUs only: train "
    assert found[0]["batch norm"].startswith(said + "it in one process")


def test_a_stop_is_agreed_and_either_number_of_processes_goes_on(
    folder: Path, found: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Process 1 alone was asked to stop, before update 7 (or an evaluation before it)."""
    first, second = (rank["stopped"] for rank in found)
    assert first["state"]["step"] == second["state"]["step"]
    assert 0 < first["state"]["step"] < 7
    assert not (folder / "stopped" / "result.json").exists()
    whole = double_loop(*STOPPED)
    for name in ("whole", "alone"):
        (tmp_path / name).mkdir()
    expected = run(whole, tmp_path / "whole", Saved())
    alone = double_loop(*STOPPED)
    alone.restore(first)
    ended = run(alone, tmp_path / "alone", Saved())
    together, weights = found[0]["resumed"]
    assert ended["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    assert together["loss"] == pytest.approx(expected["loss"], rel=1e-6)
    for key, value in whole.model.state_dict().items():
        close(alone.model.state_dict()[key], value, key)
        close(weights[key], value, key)
    rows, those_after = history(tmp_path / "whole"), history(tmp_path / "alone")
    assert [r["step"] for r in rows[-len(those_after) :]] == [r["step"] for r in those_after]


def test_a_loss_that_one_process_finds_not_finite_ends_all(found: list[dict[str, Any]]) -> None:
    assert [rank["diverged at"] for rank in found] == [4, 4]


def test_processes_skip_the_same_fp16_updates(found: list[dict[str, Any]]) -> None:
    (taken, weights), (theirs, their_weights) = (rank["overflow"] for rank in found)
    assert taken == theirs
    assert not taken[0], "nothing overflowed: nothing tested"
    assert sum(taken) == 6
    assert all(torch.equal(a, b) for a, b in zip(weights, their_weights, strict=True))


def test_dropout_differs_between_processes(found: list[dict[str, Any]]) -> None:
    first, second = (rank["dropped"] for rank in found)
    assert first.shape == second.shape == (32, 64)
    share = (first == second).float().mean().item()
    assert 0.4 < share < 0.6


def test_each_image_is_evaluated_once_even_where_there_are_few(found: list[dict[str, Any]]) -> None:
    assert found[0]["one image"] == found[1]["one image"]
    assert found[0]["one image"]["accuracy"] in (0, 1)
    assert math.isfinite(found[0]["one image"]["loss"])


def test_what_is_decided_together(folder: Path, found: list[dict[str, Any]]) -> None:
    assert [rank["largest"] for rank in found] == [7, 7]
    assert [rank["agreed"] for rank in found] == [[False, False, True, False]] * 2
    assert [rank["loaded"] for rank in found] == [0, 1]
    assert (folder / "turns").read_text() == "0\n1\n"
    leader, other = (rank["meetings"] for rank in found)
    assert leader == [
        "ValueError: no",
        "ValueError: process 1 of 2: ValueError: no way",
        "ValueError: process 1 of 2: KeyError: 'a bug'",
        "went on",
    ]
    assert other == ["Dismissed: ", "Dismissed: ", "KeyError: 'a bug'", "went on"]


def test_shares_are_those_of_every_part(found: list[dict[str, Any]]) -> None:
    """12 images in two passes of the model are 0-5 and 6-11, and each is shared out."""
    shares = [rank["share"] for rank in found]
    assert [share.tolist() for share in shares] == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    expected = (
        "batch_size=9 must be a multiple of 4: 2 processes with gradient_accumulation_steps=2"
    )
    assert found[0]["refused share"] == expected


def test_a_batch_norm_that_does_more_is_refused() -> None:
    class AndRelu(torch.nn.BatchNorm2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input).relu()

    with pytest.raises(ValueError, match="the model's AndRelu is no BatchNorm of torch's own"):
        distributed._synchronize_batch_norm(torch.nn.Sequential(torch.nn.Sequential(AndRelu(3))))


def test_alone_nothing_changes() -> None:
    rows, one, model = torch.ones(2, 2), [1], torch.nn.Linear(1, 1)

    def ask() -> bool:
        return True

    assert distributed.positions(10, 2) is None
    assert distributed.data_parallel(model) is model
    assert distributed.agreed(ask) is ask
    assert distributed.gathered(one) is one
    assert distributed.summed([rows]) == [rows]
    assert distributed.largest(5) == 5
    assert distributed.in_turn(ask) is True
    assert np.array_equal([distributed.rank(), distributed.num_processes()], [0, 1])
