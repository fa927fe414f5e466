"""How many bytes an outer gradient is on the wire: the one place that says so, of the flown model and the trained one.

``train/codecs`` writes exactly these bytes, and nothing else: sender and receiver know codec and length, so that there
is no header. docs/training-wire.md has the formats with their sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

CodecName = Literal["fp32", "bf16", "fp8", "int8", "int4", "topk1", "topk2", "topk3"]
SCALE_BYTES = 2  # bfloat16, one for each block
INDEX_BYTES = 2  # of an element in its chunk
VALUE_BYTES = 2  # bfloat16


class WireFormat(Protocol):
    """What a codec makes of a vector: areas, one after the other."""

    def areas(self, size: int) -> tuple[int, ...]:
        """Bytes of each, of an encoded vector of so many elements."""


@dataclass(frozen=True)
class Plain:
    """Every element by itself."""

    element_bytes: int

    def areas(self, size: int) -> tuple[int, ...]:
        """See :class:`WireFormat`."""
        return (size * self.element_bytes,)


@dataclass(frozen=True)
class Blocked:
    """Blocks of elements with a scale each; the last one may be shorter. First all scales, then all elements."""

    element_bits: int
    block: int  # elements; an even number

    def areas(self, size: int) -> tuple[int, ...]:
        """See :class:`WireFormat`."""
        return SCALE_BYTES * -(-size // self.block), -(-size * self.element_bits // 8)


@dataclass(frozen=True)
class Sparse:
    """The largest elements of each chunk; the last one may be shorter. First all indices, then all values."""

    percent: int  # of the elements, rounded up in every chunk
    chunk: int = 4096

    def entries(self, size: int) -> int:
        """How many elements of so many are sent."""
        chunks, rest = divmod(size, self.chunk)
        return chunks * -(-self.chunk * self.percent // 100) + -(-rest * self.percent // 100)

    def areas(self, size: int) -> tuple[int, ...]:
        """See :class:`WireFormat`."""
        return INDEX_BYTES * self.entries(size), VALUE_BYTES * self.entries(size)


WIRE: dict[str, WireFormat] = {
    "fp32": Plain(4),
    "bf16": Plain(2),
    "fp8": Blocked(8, 256),
    "int8": Blocked(8, 256),
    "int4": Blocked(4, 64),
    "topk1": Sparse(1),
    "topk2": Sparse(2),
    "topk3": Sparse(3),
}


def encoded_bytes(codec: str, size: int) -> int:
    """Size of an encoded vector. There is no other codec to fall back to: an unknown name is a :class:`KeyError`."""
    return sum(WIRE[codec].areas(size))


def has_feedback(codec: str) -> bool:
    """Whether what a node could not send of an outer gradient is added to its next one."""
    return not isinstance(WIRE[codec], Plain)


def sums_have_feedback(codec: str) -> bool:
    """Whether sites do the same with sums and averages, of which a codec leaves most out.

    Quantised ones need it not: rounding to either side is right on average.
    """
    return isinstance(WIRE[codec], Sparse)
