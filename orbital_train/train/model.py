"""A small GPT: pre-norm, causal attention, tied embeddings, learned positions, no biases.

Shape suffixes: B sequences, T tokens, C width, H heads, D width of a head (C / H), V vocabulary.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orbital_train.train.spec import ModelSpec

INIT_STD = 0.02  # GPT-2; projections back into the residual stream get INIT_STD / sqrt(2 * layers)
RESIDUAL_PROJECTIONS = ("attention.project.weight", "contract.weight")


class Attention(nn.Module):
    """Causal self-attention, (B, T, C) to (B, T, C)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.heads = spec.heads
        self.qkv = nn.Linear(spec.width, 3 * spec.width, bias=False)
        self.project = nn.Linear(spec.width, spec.width, bias=False)

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

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(spec.width, bias=False)
        self.attention = Attention(spec)
        self.norm_2 = nn.LayerNorm(spec.width, bias=False)
        self.expand = nn.Linear(spec.width, 4 * spec.width, bias=False)
        self.contract = nn.Linear(4 * spec.width, spec.width, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        x_BTC = x_BTC + self.attention(self.norm_1(x_BTC))
        return x_BTC + cast(Tensor, self.contract(F.gelu(self.expand(self.norm_2(x_BTC)))))


class GPT(nn.Module):
    """The language model; calling it gives the mean cross-entropy in nats per token."""

    def __init__(self, spec: ModelSpec, vocabulary: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, spec.width)  # also the output layer
        self.positions = nn.Embedding(spec.context, spec.width)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width, bias=False)

    def logits_BTV(self, x_BT: Tensor) -> Tensor:
        """Scores of every next token, for token indices of at most the context's length."""
        x_BTC = self.tokens(x_BT) + self.positions.weight[: x_BT.shape[1]]
        for block in self.blocks:
            x_BTC = block(x_BTC)
        return F.linear(self.norm(x_BTC), self.tokens.weight)

    def forward(self, x_BT: Tensor, y_BT: Tensor) -> Tensor:
        """Mean loss of predicting ``y_BT`` from ``x_BT``, a scalar."""
        return F.cross_entropy(self.logits_BTV(x_BT).flatten(0, 1), y_BT.flatten())


def build_gpt(spec: ModelSpec, vocabulary: int, seed: int) -> GPT:
    """A GPT on the CPU, initialised as GPT-2 from this seed alone; torch's global generator is not touched."""
    with torch.device("meta"):
        model = GPT(spec, vocabulary)
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0)  # the gains of layer norms
            else:
                residual = name.endswith(RESIDUAL_PROJECTIONS)
                std = INIT_STD / math.sqrt(2 * spec.layers) if residual else INIT_STD
                parameter.normal_(0.0, std, generator=generator)
    return model
