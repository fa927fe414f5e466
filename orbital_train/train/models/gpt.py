"""A small GPT: pre-norm, causal attention, tied embeddings, learned positions, no biases.

Shape suffixes: B sequences, T tokens, C width, H heads, D width of a head (C / H), V vocabulary.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INIT_STD = 0.02  # GPT-2; projections back into the residual stream get INIT_STD / sqrt(2 * layers)
RESIDUAL_PROJECTIONS = ("attention.project.weight", "contract.weight")


class Attention(nn.Module):
    """Causal self-attention, (B, T, C) to (B, T, C)."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Mix every token with those before it."""
        q_BHTD, k_BHTD, v_BHTD = (self._heads(z_BTC) for z_BTC in self.qkv(x_BTC).chunk(3, dim=-1))
        mixed_BHTD = F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, is_causal=True)
        return cast(Tensor, self.project(mixed_BHTD.transpose(1, 2).flatten(2)))

    def _heads(self, z_BTC: Tensor) -> Tensor:
        batch, length, _ = z_BTC.shape
        return z_BTC.view(batch, length, self.heads, -1).transpose(1, 2)


class Block(nn.Module):
    """Attention and a feed-forward layer of four times the width, each added to the residual stream."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width, bias=False)
        self.attention = Attention(heads, width)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.expand = nn.Linear(width, 4 * width, bias=False)
        self.contract = nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        x_BTC = x_BTC + self.attention(self.norm_1(x_BTC))
        return x_BTC + cast(Tensor, self.contract(F.gelu(self.expand(self.norm_2(x_BTC)))))


class GPT(nn.Module):
    """The language model; calling it gives the mean cross-entropy in nats per token."""

    def __init__(self, *, vocabulary_size: int, layers: int, heads: int, width: int, context: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, width)  # also the output layer
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(heads, width) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)

    def logits_BTV(self, x_BT: Tensor) -> Tensor:
        """Scores of every next token, for token indices of at most the context's length."""
        x_BTC = self.tokens(x_BT) + self.positions.weight[: x_BT.shape[1]]
        for block in self.blocks:
            x_BTC = block(x_BTC)
        return F.linear(self.norm(x_BTC), self.tokens.weight)

    def forward(self, x_BT: Tensor, y_BT: Tensor) -> Tensor:
        """Mean loss of predicting ``y_BT`` from ``x_BT``, a scalar."""
        return F.cross_entropy(self.logits_BTV(x_BT).flatten(0, 1), y_BT.flatten())


def gpt(*, vocabulary_size: int, layers: int, heads: int, width: int, context: int) -> GPT:
    """A GPT, initialised as GPT-2."""
    device = torch.get_default_device()
    with torch.device("meta"):  # torch's own initial values are not drawn
        model = GPT(vocabulary_size=vocabulary_size, layers=layers, heads=heads, width=width, context=context)
    model.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)  # the gains of layer norms
            else:
                residual = name.endswith(RESIDUAL_PROJECTIONS)
                parameter.normal_(0.0, INIT_STD / math.sqrt(2 * layers) if residual else INIT_STD)
    return model
