"""FT-Transformer: its weights counted, and its output worked out by numpy from the paper."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lrbench.config import load
from lrbench.model import build_model
from lrbench.task import Shapes

TINY: dict[str, Any] = {"dim": 6, "depth": 2, "heads": 3, "hidden": 5}


def network(
    inputs: int, outputs: int, categories: tuple[int, ...] = (), **changes: Any
) -> nn.Module:
    shapes = Shapes(inputs=(inputs,), outputs=(outputs,), categories=categories)
    return build_model(load("model", "ft_transformer", **changes), shapes, seed=0)


def norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    scaled: np.ndarray = x / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * weight + bias
    return scaled


def worked_out(state: dict[str, np.ndarray], row: np.ndarray) -> np.ndarray:
    """The output for one row of 3 numbers and blocks of 2 and 4, each token on its own."""
    weight, bias = state["tokens.weight"], state["tokens.bias"]
    tokens = [row[j] * weight[j] + bias[j] for j in range(3)]
    for j, (start, stop) in enumerate([(3, 5), (5, 9)], 3):
        lit = np.flatnonzero(row[start:stop])
        tokens.append(bias[j] + (weight[start + lit[0]] if len(lit) else 0))
    x = np.array([*tokens, state["tokens.class_token"]])
    for block in range(2):

        def linear(name: str, x: np.ndarray, block: int = block) -> np.ndarray:
            place = f"blocks.{block}.{name}"
            made: np.ndarray = x @ state[f"{place}.weight"].T + state[f"{place}.bias"]
            return made

        def normed(number: int, x: np.ndarray, block: int = block) -> np.ndarray:
            place = f"blocks.{block}.norm{number}"
            return norm(x, state[f"{place}.weight"], state[f"{place}.bias"])

        projected = linear("query_key_value", normed(1, x) if block else x)
        query, key, value = np.split(projected, 3, 1)
        heads = []
        for head in range(3):
            own = slice(2 * head, 2 * head + 2)
            scores = np.exp(query[:, own] @ key[:, own].T / np.sqrt(2))
            heads.append(scores / scores.sum(1, keepdims=True) @ value[:, own])
        x = x + linear("projection", np.concatenate(heads, 1))
        values, gates = np.split(linear("hidden", normed(2, x)), 2, 1)
        x = x + linear("output", values * np.maximum(gates, 0))
    last = np.maximum(norm(x[-1], state["norm.weight"], state["norm.bias"]), 0)
    found: np.ndarray = last @ state["head.weight"].T + state["head.bias"]
    return found


def test_output_is_the_papers_formulas() -> None:
    model = network(9, 2, (2, 4), **TINY).eval()
    for parameter in model.parameters():  # norms and biases too
        nn.init.normal_(
            parameter, std=0.5, generator=torch.Generator().manual_seed(parameter.numel())
        )
    rows = torch.randn(3, 9, generator=torch.Generator().manual_seed(0))
    rows[:, 3:] = 0
    rows[0, [4, 5]] = rows[1, [3, 8]] = rows[2, 4] = 1  # the last one's second category is unknown
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    expected = [worked_out(state, row) for row in rows.double().numpy()]
    found = model(rows).detach()
    torch.testing.assert_close(
        found.double(), torch.tensor(np.array(expected)), rtol=1e-4, atol=1e-5
    )


def test_number_of_weights() -> None:
    """Tokens, three blocks whose first has one norm less, the last norm and the head."""
    d, h = 192, 256
    block = 4 * d * (d + 1) + 2 * h * (d + 1) + d * (h + 1) + 2 * 2 * d
    tokens = (8 + 3 + 5) * d + (8 + 2) * d + d
    expected = tokens + 3 * block - 2 * d + 2 * d + (d + 1)
    found = sum(p.numel() for p in network(16, 1, (3, 5)).parameters())
    assert found == expected


def test_every_weight_has_a_gradient() -> None:
    model = network(9, 2, (2, 4), **TINY)
    rows = torch.eye(9)
    rows[:, [3, 5]] += 1
    model(rows).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


@pytest.mark.parametrize(
    "shapes",
    [
        Shapes(inputs=(1, 8, 8), outputs=(10,)),
        Shapes(inputs=(8,), outputs=(8, 50), whole_inputs=True),
        Shapes(inputs=(8,), outputs=(2, 3)),
    ],
)
def test_what_is_no_table_is_refused(shapes: Shapes) -> None:
    with pytest.raises(ValueError, match=r"inputs=\S+ .*are no rows of a table"):
        build_model(load("model", "ft_transformer"), shapes, seed=0)
