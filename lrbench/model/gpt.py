"""Decoders: transformers that read a text from left to right and predict each next token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5  # in the norms, as GPT-2 has it
ROTARY_BASE = 10_000.0


class GPTModule(nn.Module):
    """Blocks with the norm first, and logits from the transposed embeddings of the tokens.

    GPT-2 (Radford et al. 2019); with rotary positions and RMSNorm the form of today's models.
    Initial weights are GPT-2's: N(0, 0.02²), biases 0, and those of the projections onto the
    residual stream divided by the root of their number, 2 × layers.
    """

    def __init__(
        self,
        *,
        layers: int,
        heads: int,
        width: int,
        positions: str,
        norm: str,
        gelu: str,
        bias: bool,
        dropout: float,
        context: int,
        vocabulary: int,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.embeddings = nn.Embedding(vocabulary, width)
        self.positions = None
        self.rotation: Tensor | None
        rotation = None
        if positions == "learned":
            self.positions = nn.Parameter(torch.empty(context, width))
            nn.init.normal_(self.positions, std=0.02)
        else:
            rotation = rotary(context, width // heads)
        self.register_buffer("rotation", rotation, persistent=False)
        self.blocks = nn.ModuleList(
            Block(width, heads, norm, gelu, bias, dropout) for _ in range(layers)
        )
        self.norm = make_norm(norm, width, bias)
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Linear | nn.Embedding):
                residual = name.endswith(("projection", "output"))
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * layers if residual else 1))
            if isinstance(layer, nn.Linear) and bias:
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (N, context, vocabulary) for `tokens`, int64 (N, context)."""
        stream = self.embeddings(tokens)
        if self.positions is not None:
            stream = stream + self.positions
        stream = F.dropout(stream, self.dropout, self.training)
        for block in self.blocks:
            stream = block(stream, self.rotation)
        return F.linear(self.norm(stream), self.embeddings.weight)


class Block(nn.Module):
    """Attention to what came before, then an MLP on each token, each added to what it read."""

    def __init__(
        self, width: int, heads: int, norm: str, gelu: str, bias: bool, dropout: float
    ) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.approximate = "tanh" if gelu == "tanh" else "none"
        self.norm1 = make_norm(norm, width, bias)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=bias)
        self.projection = nn.Linear(width, width, bias=bias)
        self.norm2 = make_norm(norm, width, bias)
        self.hidden = nn.Linear(width, 4 * width, bias=bias)
        self.output = nn.Linear(4 * width, width, bias=bias)

    def forward(self, stream: Tensor, rotation: Tensor | None) -> Tensor:  # (N, tokens, width)
        mixed = self.attention(self.norm1(stream), rotation)
        stream = stream + F.dropout(mixed, self.dropout, self.training)
        hidden = F.gelu(self.hidden(self.norm2(stream)), approximate=self.approximate)
        return stream + F.dropout(self.output(hidden), self.dropout, self.training)

    def attention(self, stream: Tensor, rotation: Tensor | None) -> Tensor:
        n, length, width = stream.shape
        shape = n, length, self.heads, width // self.heads
        queries, keys, values = (
            part.view(shape).transpose(1, 2)  # (N, heads, tokens, width / heads)
            for part in self.queries_keys_values(stream).split(width, 2)
        )
        if rotation is not None:
            queries, keys = rotated(queries, rotation), rotated(keys, rotation)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, dropout_p=dropout, is_causal=True
        )
        projected: Tensor = self.projection(mixed.transpose(1, 2).reshape(n, length, width))
        return projected


def make_norm(name: str, width: int, bias: bool) -> nn.Module:
    """The norm ``layernorm`` or ``rmsnorm`` over the last dimension."""
    if name == "rmsnorm":
        return nn.RMSNorm(width, eps=EPSILON)
    return nn.LayerNorm(width, eps=EPSILON, bias=bias)


def rotary(context: int, size: int) -> Tensor:
    """Cosines and sines, (2, context, size), by which a position turns pairs of numbers.

    RoFormer (Su et al. 2021, arXiv:2104.09864); number i is paired with number i + size / 2.
    """
    frequencies = ROTARY_BASE ** -(torch.arange(0, size, 2) / size)
    angles = torch.outer(torch.arange(context), frequencies).repeat(1, 2)
    return torch.stack((angles.cos(), angles.sin()))


def rotated(heads: Tensor, rotation: Tensor) -> Tensor:
    """`heads`, (N, heads, context, size), turned by their positions."""
    first, second = heads.chunk(2, -1)
    cosines, sines = rotation.to(heads.dtype)
    return heads * cosines + torch.cat((-second, first), -1) * sines
