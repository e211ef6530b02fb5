"""Fully connected networks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from lrbench.model.initialize import he_uniform


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Flatten, then linear layers from each of `sizes` to the next, with ReLU between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(1, len(sizes)):
        if i > 1:
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Linear(sizes[i - 1], sizes[i]))
    network = nn.Sequential(*layers)
    he_uniform(network)
    return network
