"""The models that a config can name, and the one function that builds them.

Importing this package does not import torch: a spec below holds numbers and checks them, and only
its `build` imports the file that holds the network.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrbench.config import Call
from lrbench.config.checks import require, require_choice
from lrbench.files.weights import ENDINGS, is_weights_file
from lrbench.task import Shapes

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Model(ABC):
    """What a network is made of; the shapes of the data come later."""

    weights: str | None = None  # a file to begin with, in place of weights that are drawn
    weights_digest: str | None = None  # of that file, which the run records

    @abstractmethod
    def build(self, shapes: Shapes) -> nn.Module:
        """The network, on the CPU, with weights drawn from torch's global generator.

        It maps (N, *shapes.inputs) to float (N, *shapes.outputs).

        Raises:
            ValueError: the network does not exist for such shapes.
        """


@dataclass(frozen=True, kw_only=True)
class CifarResNet(Model):
    """Residual network in the CIFAR form of He et al. 2015 (arXiv:1512.03385, section 4.2)."""

    depth: int  # layers with weights: 6n + 2
    width: int  # channels of the first of the three stages; the paper's 16

    def __post_init__(self) -> None:
        fits = self.depth >= 8 and self.depth % 6 == 2
        require(fits, "depth", self.depth, "must be 6n + 2: 8, 14, 20, 32, 44, 56, 110, ...")
        require(self.width >= 1, "width", self.width, "must be at least 1 channel")

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.resnet import ResNetModule

        # Any size: the two halvings round up and the mean takes what is left.
        in_channels, _, num_classes = shapes.of_images("CifarResNet")
        return ResNetModule(
            blocks=3 * ((self.depth - 2) // 6,),
            width=self.width,
            projection=False,
            in_channels=in_channels,
            num_classes=num_classes,
        )


@dataclass(frozen=True, kw_only=True)
class ResNet(Model):
    """Residual network of basic blocks whose stem is one 3×3 convolution, for small images.

    He et al. 2015 (arXiv:1512.03385), table 1: the ImageNet networks without the first two
    halvings, the form in which ResNet-18 is trained on CIFAR.
    """

    blocks: tuple[int, ...]  # basic blocks of each stage; (2, 2, 2, 2) is ResNet-18
    width: int  # channels of the first stage, doubled by every further one; the paper's 64

    def __post_init__(self) -> None:
        fits = len(self.blocks) > 0 and min(self.blocks) >= 1
        require(fits, "blocks", list(self.blocks), "must be a list of numbers of at least 1")
        require(self.width >= 1, "width", self.width, "must be at least 1 channel")

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.resnet import ResNetModule

        in_channels, _, num_classes = shapes.of_images("ResNet")  # of any size
        return ResNetModule(
            blocks=self.blocks,
            width=self.width,
            projection=True,
            in_channels=in_channels,
            num_classes=num_classes,
        )


@dataclass(frozen=True, kw_only=True)
class WideResNet(Model):
    """Wide residual network WRN-depth-widen_factor (Zagoruyko & Komodakis, arXiv:1605.07146)."""

    depth: int  # convolutions, those of the shortcuts too: 6n + 4
    widen_factor: int  # channels of the first stage / 16

    def __post_init__(self) -> None:
        fits = self.depth >= 10 and self.depth % 6 == 4
        require(fits, "depth", self.depth, "must be 6n + 4: 10, 16, 22, 28, 34, 40, ...")
        require(self.widen_factor >= 1, "widen_factor", self.widen_factor, "must be at least 1")

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.wide_resnet import WideResNetModule

        in_channels, _, num_classes = shapes.of_images("WideResNet")  # of any size
        return WideResNetModule(
            depth=self.depth,
            widen_factor=self.widen_factor,
            in_channels=in_channels,
            num_classes=num_classes,
        )


@dataclass(frozen=True, kw_only=True)
class LeNet(Model):
    """LeNet-5 (LeCun et al. 1998) with today's parts: ReLU, max pooling, softmax."""

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.lenet import SMALLEST_IMAGE, LeNetModule

        in_channels, image_size, num_classes = shapes.of_images("LeNet")
        rule = (
            f"is too small for LeNet, which needs at least {SMALLEST_IMAGE} pixels: "
            "choose model=mlp or model=resnet8"
        )
        require(image_size >= SMALLEST_IMAGE, "image_size", image_size, rule)
        return LeNetModule(in_channels=in_channels, image_size=image_size, num_classes=num_classes)


@dataclass(frozen=True, kw_only=True)
class MLP(Model):
    """Fully connected layers on the flattened input; without hidden layers, a linear model."""

    hidden: tuple[int, ...]  # units of each hidden layer

    def __post_init__(self) -> None:
        fits = all(units >= 1 for units in self.hidden)
        require(fits, "hidden", list(self.hidden), "must be a list of numbers of at least 1")

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.mlp import mlp

        rule = "are whole numbers, which an MLP cannot take: choose a model that embeds them"
        require(not shapes.whole_inputs, "the data set's inputs", shapes.inputs, rule)
        return mlp((math.prod(shapes.inputs), *self.hidden), shapes.outputs)


@dataclass(frozen=True, kw_only=True)
class ViT(Model):
    """Vision transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) with a class token."""

    patch_size: int  # pixels along the side of a patch; must divide the image's
    dim: int  # numbers that describe a patch
    depth: int  # transformer blocks
    heads: int  # attention heads; must divide dim
    mlp_ratio: int  # hidden units of each block's MLP / dim

    def __post_init__(self) -> None:
        for key in ("patch_size", "dim", "depth", "heads", "mlp_ratio"):
            require(getattr(self, key) >= 1, key, getattr(self, key), "must be at least 1")
        require(self.dim % self.heads == 0, "heads", self.heads, f"must divide dim={self.dim}")

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.vit import ViTModule

        in_channels, image_size, num_classes = shapes.of_images("ViT")
        fitting = [size for size in range(1, image_size + 1) if image_size % size == 0]
        near = min(fitting, key=lambda size: abs(size - self.patch_size))
        rule = f"must divide the image size of {image_size} pixels: write model.patch_size={near}"
        require(self.patch_size in fitting, "model.patch_size", self.patch_size, rule)
        return ViTModule(
            patch_size=self.patch_size,
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            in_channels=in_channels,
            image_size=image_size,
            num_classes=num_classes,
        )


@dataclass(frozen=True, kw_only=True)
class FTTransformer(Model):
    """FT-Transformer for tables (Gorishniy et al. 2021, arXiv:2106.11959): a token per column."""

    dim: int  # numbers that describe a column
    depth: int  # transformer blocks
    heads: int  # attention heads; must divide dim
    hidden: int  # units of each block's ReGLU
    attention_dropout: float  # share of the attention weights
    dropout: float  # share of the ReGLU's units

    def __post_init__(self) -> None:
        for key in ("dim", "depth", "heads", "hidden"):
            require(getattr(self, key) >= 1, key, getattr(self, key), "must be at least 1")
        require(self.dim % self.heads == 0, "heads", self.heads, f"must divide dim={self.dim}")
        for key in ("attention_dropout", "dropout"):
            share = getattr(self, key)
            require(0 <= share < 1, key, share, "must be at least 0 and below 1")

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.ft_transformer import FTTransformerModule

        rows = len(shapes.inputs) == 1 and not shapes.whole_inputs and len(shapes.outputs) == 1
        rule = "are no rows of a table, which FTTransformer takes: choose another model"
        require(rows, "the data set's inputs", shapes.inputs, rule)
        return FTTransformerModule(
            numbers=shapes.inputs[0] - sum(shapes.categories),
            categories=shapes.categories,
            dim=self.dim,
            depth=self.depth,
            heads=self.heads,
            hidden=self.hidden,
            attention_dropout=self.attention_dropout,
            dropout=self.dropout,
            outputs=shapes.outputs[0],
        )


@dataclass(frozen=True, kw_only=True)
class GPT(Model):
    """Decoder for texts: GPT-2 (Radford et al. 2019), or with rotary positions and RMSNorm."""

    layers: int
    heads: int  # attention heads; must divide width
    width: int  # numbers that describe a token; four times as many in the MLPs
    positions: str  # learned | rotary
    norm: str  # layernorm | rmsnorm
    gelu: str  # exact | tanh
    bias: bool  # of linear layers and of layernorm
    dropout: float  # of embeddings, attention and what each layer adds

    def __post_init__(self) -> None:
        for key in ("layers", "heads", "width"):
            require(getattr(self, key) >= 1, key, getattr(self, key), "must be at least 1")
        require(
            self.width % self.heads == 0, "heads", self.heads, f"must divide width={self.width}"
        )
        require_choice("positions", self.positions, ("learned", "rotary"))
        require_choice("norm", self.norm, ("layernorm", "rmsnorm"))
        require_choice("gelu", self.gelu, ("exact", "tanh"))
        require(0 <= self.dropout < 1, "dropout", self.dropout, "must be at least 0 and below 1")
        even = self.positions != "rotary" or self.width // self.heads % 2 == 0
        rule = f"turns pairs of numbers, and {self.width // self.heads} a head is odd"
        require(even, "positions", self.positions, rule)

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.gpt import GPTModule

        context, vocabulary = shapes.of_tokens("GPT")
        return GPTModule(
            layers=self.layers,
            heads=self.heads,
            width=self.width,
            positions=self.positions,
            norm=self.norm,
            gelu=self.gelu,
            bias=self.bias,
            dropout=self.dropout,
            context=context,
            vocabulary=vocabulary,
        )


@dataclass(frozen=True, kw_only=True)
class HuggingFace(Model):
    """Any causal language model of the library transformers."""

    config: Mapping[str, Any]  # as in a config.json, with its model_type
    folder: str | None  # a model's, with its weights; config is not read then

    def build(self, shapes: Shapes) -> nn.Module:
        from lrbench.model.hugging_face import build_hugging_face

        folder = None if self.folder is None else Path(self.folder).expanduser()
        return build_hugging_face(self.config, folder, shapes)


def build_model(spec: Model | Call, shapes: Shapes, *, seed: int) -> nn.Module:
    """Build the network of `spec` on the CPU, its initial weights a function of `seed` alone.

    A third-party `Call` is fitted to the data as `lrbench.model.third_party` says. torch's global
    random state is the same before and after. Weights from a file replace those that are drawn.

    Raises:
        ValueError: the network does not exist for such inputs, does not give such outputs, or is
            not one that the weights in the file fit.
    """
    import torch

    if isinstance(spec, Model):
        weights, digest = spec.weights, spec.weights_digest
        fits = weights is None or is_weights_file(weights)
        rule = f"must be null, or a file whose name ends in {', '.join(ENDINGS)}"
        require(fits, "model.weights", weights, rule)
    else:
        arguments = dict(spec.arguments)
        ours = is_weights_file(arguments.get("weights"))  # else it is a key of the other library
        weights = arguments.pop("weights") if ours else None
        digest = arguments.pop("weights_digest", None) if ours else None
        spec = replace(spec, arguments=arguments)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the CPU's alone, unlike torch.manual_seed
        if isinstance(spec, Model):
            model = spec.build(shapes)
        else:
            from lrbench.model.third_party import build_third_party

            model = build_third_party(spec, shapes)
    if weights is not None:
        from lrbench.model.weights import load_weights

        load_weights(model, weights, digest)
    return model
