"""A decoder as Llama's: RMS norms, rotary positions, grouped queries, SwiGLU; tied embeddings, no biases.

The same function as ``transformers``' ``LlamaForCausalLM``, which a test compares it with. Shape suffixes: B sequences,
T tokens, C width, H heads, K heads of keys and values, D width of a head (C / H), V vocabulary.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-5
INIT_STD = 0.02


class Attention(nn.Module):
    """Causal self-attention; several heads of queries share those of keys and values."""

    def __init__(self, heads: int, kv_heads: int, width: int) -> None:
        super().__init__()
        self.heads, self.kv_heads = heads, kv_heads
        kv_width = kv_heads * (width // heads)
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, kv_width, bias=False)
        self.v = nn.Linear(width, kv_width, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, x_BTC: Tensor, turn_TD: tuple[Tensor, Tensor]) -> Tensor:
        """Mix every token with those before it."""
        q_BHTD = turned(_heads(self.q(x_BTC), self.heads), turn_TD)
        k_BKTD = turned(_heads(self.k(x_BTC), self.kv_heads), turn_TD)
        v_BKTD = _heads(self.v(x_BTC), self.kv_heads)
        shared = self.heads // self.kv_heads
        k_BHTD, v_BHTD = k_BKTD.repeat_interleave(shared, 1), v_BKTD.repeat_interleave(shared, 1)
        mixed_BHTD = F.scaled_dot_product_attention(q_BHTD, k_BHTD, v_BHTD, is_causal=True)
        return cast(Tensor, self.project(mixed_BHTD.transpose(1, 2).flatten(2)))


def _heads(z_BTC: Tensor, heads: int) -> Tensor:
    batch, length, _ = z_BTC.shape
    return z_BTC.view(batch, length, heads, -1).transpose(1, 2)


def turned(x: Tensor, turn_TD: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate the two halves of every head's vector against each other, by the cosines and sines of its position."""
    cos_TD, sin_TD = turn_TD
    first, second = x.chunk(2, dim=-1)
    return x * cos_TD + torch.cat((-second, first), dim=-1) * sin_TD


class Block(nn.Module):
    """Attention and a gated feed-forward layer, each added to the residual stream."""

    def __init__(self, heads: int, kv_heads: int, width: int, hidden: int) -> None:
        super().__init__()
        self.norm_1 = nn.RMSNorm(width, eps=NORM_EPS)
        self.attention = Attention(heads, kv_heads, width)
        self.norm_2 = nn.RMSNorm(width, eps=NORM_EPS)
        self.gate = nn.Linear(width, hidden, bias=False)
        self.expand = nn.Linear(width, hidden, bias=False)
        self.contract = nn.Linear(hidden, width, bias=False)

    def forward(self, x_BTC: Tensor, turn_TD: tuple[Tensor, Tensor]) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        x_BTC = x_BTC + self.attention(self.norm_1(x_BTC), turn_TD)
        y_BTC = self.norm_2(x_BTC)
        return x_BTC + cast(Tensor, self.contract(F.silu(self.gate(y_BTC)) * self.expand(y_BTC)))


class Llama(nn.Module):
    """The language model; calling it gives the mean cross-entropy in nats per token."""

    def __init__(
        self,
        *,
        vocabulary_size: int,
        layers: int,
        heads: int,
        kv_heads: int,
        width: int,
        hidden: int,
        rope_theta: float,
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, width)  # also the output layer
        self.blocks = nn.ModuleList(Block(heads, kv_heads, width, hidden) for _ in range(layers))
        self.norm = nn.RMSNorm(width, eps=NORM_EPS)
        self._head_width, self._rope_theta = width // heads, rope_theta

    def logits_BTV(self, x_BT: Tensor) -> Tensor:
        """Scores of every next token."""
        x_BTC = self.tokens(x_BT)
        turn_TD = self._turn_TD(x_BTC)
        for block in self.blocks:
            x_BTC = block(x_BTC, turn_TD)
        return F.linear(self.norm(x_BTC), self.tokens.weight)

    def forward(self, x_BT: Tensor, y_BT: Tensor) -> Tensor:
        """Mean loss of predicting ``y_BT`` from ``x_BT``, a scalar."""
        return F.cross_entropy(self.logits_BTV(x_BT).flatten(0, 1), y_BT.flatten())

    def _turn_TD(self, like_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotary positions (Su et al., arXiv 2104.09864)."""
        length, device = like_BTC.shape[1], like_BTC.device
        exponents = torch.arange(0, self._head_width, 2, device=device) / self._head_width
        angles = torch.arange(length, device=device)[:, None] / self._rope_theta**exponents
        angles_TD = torch.cat((angles, angles), dim=-1)
        return angles_TD.cos(), angles_TD.sin()


def llama(
    *,
    vocabulary_size: int,
    layers: int,
    heads: int,
    kv_heads: int,
    width: int,
    hidden: int | None = None,
    rope_theta: float = 10_000.0,
) -> Llama:
    """A Llama-style decoder with normally distributed weights; ``hidden`` is 8/3 of the width, rounded up to 8."""
    model = Llama(
        vocabulary_size=vocabulary_size,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        width=width,
        hidden=hidden or -(-8 * width // 24) * 8,
        rope_theta=rope_theta,
    )
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, INIT_STD)
    return model
