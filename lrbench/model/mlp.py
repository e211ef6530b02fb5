"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from lrbench.model.initialize import he_uniform


def mlp(sizes: Sequence[int], outputs: tuple[int, ...]) -> nn.Sequential:
    """Flatten, then linear layers from each of `sizes` to the next and to the shape `outputs`.

    Between them is ReLU.
    """
    sizes = (*sizes, math.prod(outputs))
    layers: list[nn.Module] = [nn.Flatten()]
    for i in range(1, len(sizes)):
        if i > 1:
            layers.append(nn.ReLU(inplace=True))
        layers.append(nn.Linear(sizes[i - 1], sizes[i]))
    if len(outputs) > 1:
        layers.append(nn.Unflatten(1, outputs))
    network = nn.Sequential(*layers)
    he_uniform(network)
    return network
