"""Initial weights shared by several models."""

from __future__ import annotations

from torch import nn


def he_normal(module: nn.Module) -> None:
    """Draw every convolution of `module` from N(0, 2 / fan_out), as He et al. 2015 do.

    "Delving Deep into Rectifiers" (arXiv:1502.01852), equation 14: the variance of the gradients
    is kept from layer to layer. Norms and the classifier keep torch's defaults: scale 1 and shift
    0; U(±1/√fan_in).
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def he_uniform(module: nn.Module) -> None:
    """Draw every convolution and linear layer from U(±√(6 / fan_in)), with biases of 0.

    The same paper, equation 10: the variance of the activations is kept, which networks without
    norms need.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, mode="fan_in", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
