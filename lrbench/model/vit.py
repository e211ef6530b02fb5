"""Vision transformers."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ViTModule(nn.Module):
    """Patches and a class token, learned positions, blocks with the norm first, no dropout.

    "An Image is Worth 16x16 Words" (Dosovitskiy et al. 2020, arXiv:2010.11929). Initial weights as
    in DeiT (Touvron et al. 2020, arXiv:2012.12877): N(0, 0.02²), biases 0; patches as in the
    first paper's code: N(0, 1 / fan_in).
    """

    def __init__(
        self,
        *,
        patch_size: int,
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        in_channels: int,
        image_size: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        tokens = (image_size // patch_size) ** 2 + 1
        self.patches = nn.Conv2d(in_channels, dim, patch_size, patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.positions = nn.Parameter(torch.empty(1, tokens, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp_ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.classifier = nn.Linear(dim, num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        fan_in = in_channels * patch_size**2
        nn.init.trunc_normal_(self.patches.weight, std=1 / math.sqrt(fan_in))
        nn.init.zeros_(self.patches.bias)  # type: ignore[arg-type]
        nn.init.trunc_normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).transpose(1, 2)  # (N, patches, dim)
        class_token = self.class_token.expand(len(images), -1, -1)
        tokens = torch.cat((class_token, patches), 1) + self.positions
        tokens = self.norm(self.blocks(tokens)[:, 0])
        logits: Tensor = self.classifier(tokens)
        return logits


class Block(nn.Module):
    """Self-attention, then an MLP on each token, each added to what it read."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.queries_keys_values = nn.Linear(dim, 3 * dim)
        self.projection = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.hidden = nn.Linear(dim, mlp_ratio * dim)
        self.output = nn.Linear(mlp_ratio * dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:  # (N, tokens, dim), in and out
        tokens = tokens + self.attention(self.norm1(tokens))
        mixed: Tensor = tokens + self.output(F.gelu(self.hidden(self.norm2(tokens))))
        return mixed

    def attention(self, tokens: Tensor) -> Tensor:
        n, length, dim = tokens.shape
        split = self.queries_keys_values(tokens).view(n, length, 3, self.heads, dim // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each (N, heads, tokens, dim / heads)
        mixed = F.scaled_dot_product_attention(queries, keys, values)
        projected: Tensor = self.projection(mixed.transpose(1, 2).reshape(n, length, dim))
        return projected
