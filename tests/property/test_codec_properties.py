"""Any vector through any codec: how long it gets, how far it can be off, and that nothing is made up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from orbital_train.schedule.wire import WIRE, Blocked, Sparse, encoded_bytes
from orbital_train.train.codecs import decode, encode
from orbital_train.train.packets import Form, Term, Terms, pack, residual_of, unpack

CODECS = st.sampled_from(sorted(WIRE))
LARGEST = {"fp8": 448.0, "int8": 127.0, "int4": 7.0}
UP = 1 + 2**-7  # a scale is rounded up to bfloat16


@dataclass(frozen=True)
class Drawn:
    """Of lengths around those of blocks and chunks, of many magnitudes, with a stretch of zeros."""

    size: int
    seed: int
    exponent: int
    spread: float
    zeros: tuple[float, float]

    def vector(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        values, exponents = torch.randn(2, self.size, generator=generator)
        first, last = (round(self.size * part) for part in self.zeros)
        values[first:last] = 0.0
        return values * 10.0 ** (exponents * self.spread + self.exponent)


many = settings(max_examples=150, deadline=None, derandomize=True)
SIZES = [max(0, near + off) for near in (0, 64, 128, 256, 512, 4096, 8192) for off in range(-3, 4)]
VECTORS = st.builds(
    Drawn,
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 2**32),
    exponent=st.integers(-25, 25),
    spread=st.sampled_from([0.0, 1.0, 2.0]),
    zeros=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)


def largest_of_block(values: Tensor, block: int) -> Tensor:
    return torch.cat([part.abs().amax().expand(len(part)) for part in values.split(block)]) if len(values) else values


@many
@given(drawn=VECTORS, codec=CODECS, seed=st.integers(0, 2**63 - 1))
def test_a_round_trip(drawn: Drawn, codec: str, seed: int) -> None:
    values = drawn.vector()
    encoded = encode(values, codec, seed)
    assert encoded.numel() == encoded_bytes(codec, values.numel())
    found, wire = decode(encoded, codec, values.numel()), WIRE[codec]
    assert (found.shape, found.dtype) == (values.shape, torch.float32)
    assert (found[values == 0] == 0).all()
    assert (found * values >= 0).all()
    error = (found - values).abs()
    if isinstance(wire, Blocked):
        scale = largest_of_block(values, wire.block) / LARGEST[codec] * UP
        assert (found.abs() <= largest_of_block(values, wire.block) * UP).all()
        bound = torch.maximum(scale * 2**-10, values.abs() * (2**-4 + 2**-10)) if codec == "fp8" else scale
        assert (error <= bound * (1 + 2**-6)).all()
    elif isinstance(wire, Sparse):
        chosen = torch.zeros(values.numel(), dtype=torch.bool)
        for first in range(0, values.numel(), wire.chunk):
            chunk = values[first : first + wire.chunk].abs()
            chosen[first + chunk.topk(wire.entries(len(chunk))).indices] = True
        nearest = values.bfloat16().float()
        assert torch.equal(found.abs().sort().values, torch.where(chosen, nearest, 0.0).abs().sort().values)
        assert ((found == nearest) | (found == 0)).all()
    else:
        assert (error <= values.abs() * (0.0 if codec == "fp32" else 2**-8)).all()


@many
@given(drawn=VECTORS, codec=CODECS, seed=st.integers(0, 2**32), buffers=st.integers(0, 3))
def test_what_a_packet_has_and_what_it_has_not_is_all(drawn: Drawn, codec: str, seed: int, buffers: int) -> None:
    """Buffers and the refused weight are exact."""
    values = drawn.vector()
    rest = torch.arange(1.0, buffers + 2)
    form = Form(trained=len(values), averaged=len(values) + buffers, size=len(values) + buffers + 1)
    vector = torch.cat([values, rest])
    packet = pack(vector, codec, form, seed)
    assert packet.numel() == form.packet_bytes(codec) == encoded_bytes(codec, len(values)) + 4 * (buffers + 1)
    found, residual = unpack(packet, codec, form), residual_of(vector, packet, codec, form)
    assert torch.equal(found[len(values) :], rest)
    left = found[: len(values)].double() + residual - values
    assert (left.abs() <= 1e-6 * values.abs().max()).all() if len(values) else True
    doubled = Terms(form=form, terms=[Term(packet=packet, codec=codec, form=form, weight=2.0)], first=True)
    assert torch.equal(doubled[0 : form.size], found * 2)
    cuts = sorted({0, len(values) // 3, 2 * len(values) // 3, form.size - 1})  # parts begin and end inside of blocks
    for first, last in pairwise(cuts):
        parameters = min(last, len(values)) - first
        part = Form(start=first, trained=parameters, averaged=last - first, size=last - first + 1)
        halved = Terms(form=part, terms=[Term(packet=packet, codec=codec, form=form, weight=0.5)], first=True)
        expected = torch.cat([found[first:last], found[-1:]]) * 0.5
        assert torch.equal(halved[0 : part.size], expected)
