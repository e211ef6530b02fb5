"""Every task's loss and measures over batches of any size, against torch and scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from lrbench.config import load
from lrbench.task import Examples, Task
from lrbench.trainer.evaluate import evaluate, fetched, means

N = 103
RANDOM = torch.Generator().manual_seed(0)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=RANDOM)


def classes(number: int, *shape: int) -> Tensor:
    return torch.randint(number, shape, generator=RANDOM)


def task(name: str, targets: Tensor, num_values: int | None = None, **more: Any) -> Task:
    changes: dict[str, Any] = {"standardise": False} if name == "regression" else {}
    examples = Examples(
        inputs=(4,), targets=targets.numpy(), num_values=num_values, unit="rows", **more
    )
    built: Task = load("task", name, **changes).build(examples)
    assert any(measure.name == "loss" for measure in built.measures)
    return built


def scores(task: Task, outputs: Tensor, targets: Tensor, size: int) -> dict[str, float]:
    """What evaluating gives where a model's outputs are `outputs`, in batches of `size`."""
    batches = zip(outputs.split(size), targets.split(size), strict=True)
    found = evaluate(nn.Identity(), batches, task, autocast=nullcontext)
    assert found is not None
    return found


def oracle_classification(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    said = outputs.argmax(1)
    loss = F.cross_entropy(outputs.double(), targets).item()
    return {"accuracy": metrics.accuracy_score(targets, said), "loss": loss}


def oracle_regression(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    said, true = outputs.double().reshape(targets.shape), targets.double()
    squared = metrics.mean_squared_error(true, said)
    return {
        "rmse": math.sqrt(squared),
        "mae": metrics.mean_absolute_error(true, said),
        "r2": metrics.r2_score(true, said),
        "loss": squared,
    }


def oracle_multilabel(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    f1 = metrics.f1_score(targets, outputs > 0, average="micro")
    loss = F.binary_cross_entropy_with_logits(outputs.double(), targets.double()).item()
    return {"f1": f1, "loss": loss}


def oracle_language_modelling(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    flat, wanted = outputs.double().flatten(0, 1), targets.flatten()
    loss = F.cross_entropy(flat, wanted).item()
    known = wanted != -100
    right = metrics.accuracy_score(wanted[known], flat.argmax(1)[known])
    return {"loss": loss, "bits_per_byte": loss / math.log(2) / 4.5, "accuracy": right}


def oracle_segmentation(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    said, wanted = outputs.argmax(1).flatten(), targets.flatten()
    loss = F.cross_entropy(outputs.double(), targets).item()
    return {
        "mean_iou": metrics.jaccard_score(wanted, said, average="macro"),
        "accuracy": metrics.accuracy_score(wanted, said),
        "loss": loss,
    }


tokens = classes(7, N, 5)
tokens[3, 2:] = -100  # padding
CASES: list[tuple[str, Tensor, Tensor, int | None, Callable[..., dict[str, float]]]] = [
    ("classification", random(N, 5), classes(5, N), 5, oracle_classification),
    ("regression", 1e3 + random(N, 1), 1e3 + random(N), None, oracle_regression),
    ("regression", random(N, 3), 5 + random(N, 3), None, oracle_regression),
    ("multilabel", random(N, 6), classes(2, N, 6), None, oracle_multilabel),
    ("language_modelling", random(N, 5, 7), tokens, 7, oracle_language_modelling),
    ("segmentation", random(N, 3, 4, 6), classes(3, N, 4, 6), 3, oracle_segmentation),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {tuple(case[2].shape)}")
def test_measures_are_those_of_the_whole_split(case: Any) -> None:
    name, outputs, targets, num_values, oracle = case
    built = task(name, targets, num_values, bytes_per_token=4.5)
    assert built.outputs == tuple(outputs.shape[1:])
    expected = oracle(outputs, targets)
    assert [measure.name for measure in built.measures] == list(expected)
    for size in (N, 10, 1):
        if (name, size) == ("language_modelling", 1):
            continue
        assert scores(built, outputs, targets, size) == pytest.approx(expected, rel=2e-6)
    # The training loss is the mean, and differentiable.
    free = outputs.clone().requires_grad_()
    loss = built.loss(free, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(expected["loss"], rel=1e-5)
    assert free.grad is not None
    assert free.grad.isfinite().all()
    # What training sums up gives the other measures, too.
    rows = fetched([{"loss": (loss.detach(), 1), **built.score(outputs, targets)}])
    assert built.finish(means(rows)) == pytest.approx(expected, rel=1e-5)


def guesses(task: Task) -> dict[str, float | None]:
    return {measure.name: measure.guess for measure in task.measures}


def test_guessing_scores_what_each_task_says() -> None:
    """Oracle: a model that guesses, on the training examples."""
    labels = classes(5, 20_000)
    assert guesses(task("classification", labels, 5)) == {"accuracy": 0.2, "loss": None}
    targets = 3 + 2 * random(500, 2) * torch.tensor([1.0, 4.0])
    built = task("regression", targets)
    means = targets.mean(0).expand(500, 2)
    assert scores(built, means, targets, 500) == pytest.approx(guesses(built), abs=1e-6, rel=1e-6)
    labels = classes(2, 50, 3) * classes(2, 50, 3)
    built = task("multilabel", labels)
    all_hold = scores(built, torch.ones(50, 3), labels, 50)
    assert all_hold["f1"] == pytest.approx(guesses(built)["f1"], rel=1e-6)
    built = task("language_modelling", tokens, 7, bytes_per_token=4.5)
    even = scores(built, torch.zeros(N, 5, 7), tokens, N)
    assert even["loss"] == pytest.approx(guesses(built)["loss"], rel=1e-6)
    assert even["bits_per_byte"] == pytest.approx(guesses(built)["bits_per_byte"], rel=1e-6)
    pixels = (classes(10, 400, 10, 10) > 6).long()
    built = task("segmentation", pixels, 2)
    drawn = F.one_hot(classes(2, 400, 10, 10), 2).permute(0, 3, 1, 2).float()
    found = scores(built, drawn, pixels, 400)
    for name in ("mean_iou", "accuracy"):
        assert found[name] == pytest.approx(guesses(built)[name], abs=0.01)


def test_smoothing_is_of_the_training_loss_alone() -> None:
    outputs, targets = random(N, 5), classes(5, N)
    examples = Examples(inputs=(4,), targets=targets.numpy(), num_values=5, unit="rows")
    smooth: Task = load("task", "classification", label_smoothing=0.1).build(examples)
    expected = F.cross_entropy(outputs, targets, label_smoothing=0.1)
    torch.testing.assert_close(smooth.loss(outputs, targets), expected)
    plain = task("classification", targets, 5)
    assert scores(smooth, outputs, targets, 10) == scores(plain, outputs, targets, 10)


def test_standardised_outputs_are_measured_in_the_targets_units() -> None:
    """Oracle: scikit-learn's scaler, on each number of an example."""
    targets = 50 + 7 * random(N, 3) * torch.tensor([1.0, 20, 0.1])
    outputs = random(N, 3)
    examples = Examples(inputs=(4,), targets=targets.numpy(), num_values=None, unit="rows")
    built: Task = load("task", "regression", standardise=True).build(examples)
    scaler = StandardScaler().fit(targets.double())
    said = torch.from_numpy(scaler.inverse_transform(outputs.double()))
    wanted = torch.from_numpy(scaler.transform(targets.double()))
    loss = F.mse_loss(outputs.double(), wanted).item()
    expected = oracle_regression(said, targets) | {"loss": loss}
    assert scores(built, outputs, targets, 10) == pytest.approx(expected, rel=1e-5)
    mean = scores(built, torch.zeros(N, 3), targets, N)
    assert mean == pytest.approx(guesses(built), rel=1e-5, abs=1e-6)
    with pytest.raises(ValueError, match=r"task\.standardise=True: the training targets do not"):
        load("task", "regression").build(
            Examples(inputs=(4,), targets=np.ones(4, "f4"), num_values=None, unit="rows")
        )


def test_r2_of_equal_targets_has_no_value() -> None:
    built = task("regression", random(N))
    found = scores(built, torch.zeros(4, 1), torch.ones(4), 4)
    assert set(found) == {"rmse", "mae", "loss"}
    assert found["rmse"] == 1


@pytest.mark.parametrize(
    ("name", "targets", "num_values", "said"),
    [
        ("classification", random(4), None, "task=classification needs one class"),
        ("classification", classes(3, 4, 2), 3, r"int64 of shape \(4, 2\)"),
        ("regression", classes(3, 4), 3, "task=regression needs targets that are finite numbers"),
        ("regression", random(4) / 0, None, "task=regression needs targets that are finite"),
        ("multilabel", classes(3, 40, 2), 3, "task=multilabel needs targets of 0 and 1"),
        ("language_modelling", classes(3, 4), 3, "task=language_modelling needs whole numbers"),
        ("segmentation", classes(3, 4), 3, "task=segmentation needs a class, a whole number"),
    ],
)
def test_targets_of_another_kind_are_refused(
    name: str, targets: Tensor, num_values: int | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        task(name, targets, num_values)
