"""Language modelling: the next token at every place of a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from lrbench.task.base import Examples, Sum, Task
from lrbench.task.measure import POINTS, Measure

IGNORED = -100  # a target that does not count, torch's default: padding


class LanguageModellingTask(Task):
    """Logits, float (B, tokens, vocabulary), for the tokens that follow, int64 (B, tokens).

    The loss is the mean cross-entropy per token, those that are `IGNORED` left out. Guessing is to
    say that all tokens of the vocabulary are as likely: ln V nats. Where the data set says how many
    bytes a token has, bits per byte compare models of different vocabularies.
    """

    def __init__(self, examples: Examples) -> None:
        vocabulary = examples.require_whole(
            "language_modelling", 2, "whole numbers from 0 on, (examples, tokens)"
        )
        nats = math.log(vocabulary)
        right, self._bytes = 1 / vocabulary, examples.bytes_per_token
        bits = () if self._bytes is None else (nats / math.log(2) / self._bytes,)
        self.measures = (
            Measure(name="loss", higher_is_better=False, guess=nats, unit="nats"),
            *(
                Measure(name="bits_per_byte", higher_is_better=False, guess=guess, unit="bits")
                for guess in bits
            ),
            Measure(name="accuracy", higher_is_better=True, guess=right, unit=POINTS, scale=100.0),
        )
        self.outputs = (*examples.targets.shape[1:], vocabulary)
        self.unit = "tokens"
        self.units_per_example = examples.targets.shape[1]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    def score(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Sum]:
        right = outputs.argmax(2) == targets
        return {"accuracy": (right.sum(), (targets != IGNORED).sum())}

    def evaluation_loss(self, outputs: Tensor, targets: Tensor) -> Sum:
        flat, wanted = outputs.flatten(0, 1), targets.flatten()
        total = F.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="sum")
        return total, (targets != IGNORED).sum()

    def finish(self, means: Mapping[str, Any]) -> dict[str, float]:
        found = dict(means)
        if self._bytes is not None:
            found["bits_per_byte"] = means["loss"] / math.log(2) / self._bytes
        return found
