"""What schedule-free optimizers ask of a training loop.

"The Road Less Scheduled" (Defazio et al. 2024, arXiv:2405.15682): gradients are taken at one point
of weight space (y) and the model to be evaluated is another, an average (x). The `schedulefree`
package keeps y in the model while training and swaps in x on demand. Everything here does nothing
for other optimizers. Importing this module does not import torch.

A loop calls `start_training` once, before the first update or after loading a checkpoint, and
evaluates within `evaluation_mode`. A checkpoint taken outside of it holds y and resumes
bit-identically; one taken within holds x, the weights to hand on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lrbench.optimizer.groups import frozen_norms

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def is_schedule_free(optimizer: torch.optim.Optimizer) -> bool:
    """Whether `optimizer` keeps other weights for training than for evaluation."""
    return hasattr(optimizer, "train") and hasattr(optimizer, "eval")


def start_training(optimizer: torch.optim.Optimizer) -> None:
    """Put the weights to train into the model, if they are not there already."""
    if is_schedule_free(optimizer):
        switch: Any = optimizer  # torch's type knows no modes
        switch.train()


@contextmanager
def evaluation_mode(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Put the weights to evaluate into the model, for the time of a ``with`` block.

    The weights to train come back to the bit: they are kept in a copy, as computing them anew
    would round, and a run that evaluates more often would be another run.
    """
    if not (is_schedule_free(optimizer) and optimizer.param_groups[0]["train_mode"]):
        yield
        return
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kept = [p.detach().clone() for p in parameters]
    switch: Any = optimizer
    switch.eval()
    try:
        yield
    finally:
        switch.train()
        for parameter, weights in zip(parameters, kept, strict=True):
            parameter.detach().copy_(weights)


def recompute_batch_norm(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Make the running statistics of each BatchNorm the mean over `batches` at today's weights.

    Without it, a schedule-free model is evaluated with the statistics of the weights it trains.
    The old statistics are forgotten, but for frozen layers, and nothing else changes: only
    BatchNorm layers are in training mode meanwhile, so that dropout draws no random numbers. A
    model without running statistics is left alone and takes no batch.

    Args:
        model: compiled or not; the batches go through its uncompiled form.
        batches: images, prepared as in training, float (N, C, H, W); 50 batches are plenty.

    Raises:
        ValueError: there is no batch.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    network: nn.Module = getattr(model, "_orig_mod", model)  # under torch.compile's wrapper
    frozen = frozen_norms(network)
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    norms = [norm for norm in norms if norm not in frozen]
    if not norms:
        return
    modes = [(module, module.training) for module in network.modules()]
    momenta = [(norm, norm.momentum) for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
    count = 0
    try:
        with torch.no_grad():
            for images in batches:
                count += 1
                for norm in norms:
                    norm.momentum = 1 / count  # the running mean of 1, 2, 3, ... batches
                network(images)
    finally:
        for norm, momentum in momenta:
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
    if count == 0:
        raise ValueError("batch-norm statistics need at least one batch of images, got none")
