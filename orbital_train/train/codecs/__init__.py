"""What an outer gradient is turned into before it travels, and back: as many bytes as ``schedule/wire.py`` says.

A vector is worked through in pieces, of which one fits the caches; memory beside input and output is bounded by them. A
vector that holds something that is not finite is decoded to one that does: never to numbers that look right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from orbital_train.schedule.wire import WIRE, Blocked, Plain, Sparse, encoded_bytes
from orbital_train.train.codecs.fp8 import Fp8
from orbital_train.train.codecs.integers import Int4, Int8
from orbital_train.train.codecs.plain import PlainCodec
from orbital_train.train.codecs.topk import TopK

GRAIN = 4096  # elements that can be decoded without those beside them; a multiple of every block and chunk


class Codec(Protocol):
    """Writes and reads one wire format."""

    def encode_into(self, out: Tensor, vector_F: Tensor, generator: torch.Generator) -> None:
        """Write the bytes of a float32 vector; what is random comes from the generator."""

    def decode_into(self, out_E: Tensor, encoded: Tensor, size: int, start: int) -> None:
        """Write elements of an encoded vector of ``size``: whole grains from ``start`` on, or up to its end."""


_BLOCKED: dict[str, Callable[[Blocked], Codec]] = {"fp8": Fp8, "int8": Int8, "int4": Int4}


def _codec(name: str) -> Codec:
    wire = WIRE[name]
    if isinstance(wire, Blocked):
        return _BLOCKED[name](wire)
    if isinstance(wire, Sparse):
        return TopK(wire)
    assert isinstance(wire, Plain)
    return PlainCodec({4: torch.float32, 2: torch.bfloat16}[wire.element_bytes])


CODECS = {name: _codec(name) for name in WIRE}


def encode(vector_F: Tensor, codec: str, seed: int = 0) -> Tensor:
    """The bytes that travel, as a new tensor on the same device.

    A node's own contribution is encoded too where it is merged on the spot: a value must not depend on the place.

    Args:
        vector_F: float32, contiguous.
        codec: its name; there is no other one to fall back to.
        seed: of stochastic rounding; the same on any worker, and whenever this is done again.
    """
    out = torch.empty(encoded_bytes(codec, vector_F.numel()), dtype=torch.uint8, device=vector_F.device)
    CODECS[codec].encode_into(out, vector_F, torch.Generator(vector_F.device).manual_seed(seed))
    return out


def decode_into(out_E: Tensor, encoded: Tensor, codec: str, size: int, start: int = 0) -> None:
    """Write as many elements as ``out_E`` has of a vector of ``size``, from any on."""
    assert encoded.numel() == encoded_bytes(codec, size)
    stop = start + out_E.numel()
    first, last = start - start % GRAIN, min(stop + -stop % GRAIN, size)
    if (first, last) == (start, stop):
        CODECS[codec].decode_into(out_E, encoded, size, start)
    else:
        whole_E = out_E.new_empty(last - first)
        CODECS[codec].decode_into(whole_E, encoded, size, first)
        out_E.copy_(whole_E[start - first : stop - first])


def cut(encoded: Tensor, codec: str, size: int, where: slice) -> Tensor:
    """What :func:`encode` would have made of a stretch of a vector of ``size``, which begins where a grain does."""
    wire, begin, parts = WIRE[codec], 0, []
    lengths = zip(wire.areas(size), wire.areas(where.start), wire.areas(where.stop - where.start), strict=True)
    for whole, before, length in lengths:
        parts.append(encoded[begin + before : begin + before + length])
        begin += whole
    return torch.cat(parts)


def whole_grains(size: int, float_bytes: int) -> Iterator[slice]:
    """Stretches of a vector, each of as many grains as fit into so many bytes of float32, or one."""
    length = max(1, float_bytes // (4 * GRAIN)) * GRAIN
    return (slice(start, min(start + length, size)) for start in range(0, size, length))


def decode(encoded: Tensor, codec: str, size: int) -> Tensor:
    """Back to a new vector (size,) of float32."""
    out_F = torch.empty(size, device=encoded.device)
    decode_into(out_F, encoded, codec, size)
    return out_F
