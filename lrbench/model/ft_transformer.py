"""FT-Transformer: every column of a table is a token, and transformer blocks relate them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FTTransformerModule(nn.Module):
    """Columns become tokens, pre-norm blocks follow, and a class token's numbers are the answer.

    "Revisiting Deep Learning Models for Tabular Data" (Gorishniy et al. 2021, arXiv:2106.11959),
    section 3.3 and appendix E: the first block's attention has no norm, and the last block computes
    the class token alone. Linear layers have torch's default weights, attention's biases are 0.

    Args:
        numbers: how many numbers a row begins with.
        categories: widths of the blocks that follow, of which each has one 1 or none.
        hidden: units of each block's ReGLU.
        outputs: numbers that the network gives for a row.
    """

    def __init__(
        self,
        *,
        numbers: int,
        categories: Sequence[int],
        dim: int,
        depth: int,
        heads: int,
        hidden: int,
        attention_dropout: float,
        dropout: float,
        outputs: int,
    ) -> None:
        super().__init__()
        self.tokens = Tokens(numbers, categories, dim)
        self.blocks = nn.ModuleList(
            Block(dim, heads, hidden, attention_dropout, dropout, norm=i > 0, last=i == depth - 1)
            for i in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, outputs)

    def forward(self, rows: Tensor) -> Tensor:
        features = self.tokens(rows)
        for block in self.blocks:
            features = block(features)
        found: Tensor = self.head(F.relu(self.norm(features[:, -1])))
        return found


class Tokens(nn.Module):
    """A vector for each column of a row, and the class token last: (B, columns + 1, dim).

    A number's is the column's weight times it, a category's the weight of that category, each with
    the column's bias. All weights are drawn from U(±1/√dim).
    """

    def __init__(self, numbers: int, categories: Sequence[int], dim: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.categories = tuple(categories)
        self.weight = nn.Parameter(torch.empty(numbers + sum(categories), dim))
        self.bias = nn.Parameter(torch.empty(numbers + len(categories), dim))
        self.class_token = nn.Parameter(torch.empty(dim))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(dim**-0.5), dim**-0.5)

    def forward(self, rows: Tensor) -> Tensor:
        numbers, weight = self.numbers, self.weight
        blocks = zip(
            rows[:, numbers:].split(self.categories, 1),
            weight[numbers:].split(self.categories),
            strict=True,
        )
        values = rows[:, :numbers, None] * weight[:numbers]
        embedded = [(block @ of_block)[:, None] for block, of_block in blocks]
        columns = torch.cat([values, *embedded], 1) + self.bias
        return torch.cat([columns, self.class_token.expand(len(rows), 1, -1)], 1)


class Block(nn.Module):
    """Attention and a ReGLU, each added to what it reads; `last`: of the class token alone."""

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        attention_dropout: float,
        dropout: float,
        *,
        norm: bool,
        last: bool,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.last = last
        self.norm1 = nn.LayerNorm(dim) if norm else nn.Identity()
        self.query_key_value = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.projection.bias)
        self.norm2 = nn.LayerNorm(dim)
        self.hidden = nn.Linear(dim, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, dim)

    def forward(self, features: Tensor) -> Tensor:
        batch, tokens, dim = features.shape
        parts = self.query_key_value(self.norm1(features))
        parts = parts.view(batch, tokens, 3, self.heads, dim // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, heads, tokens, dim / heads) each
        if self.last:
            query, features = query[:, :, -1:], features[:, -1:]
        attended = F.scaled_dot_product_attention(
            query, key, value, dropout_p=self.attention_dropout if self.training else 0.0
        )
        features = features + self.projection(attended.transpose(1, 2).reshape(features.shape))
        values, gates = self.hidden(self.norm2(features)).chunk(2, -1)
        branch: Tensor = features + self.output(self.dropout(values * F.relu(gates)))
        return branch
