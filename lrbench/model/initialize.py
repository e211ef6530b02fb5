"""Initial weights shared by the convolutional models."""

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
