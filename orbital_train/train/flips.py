"""Bits that are flipped in real tensors: where in them, and when within the inner steps of a trace."""

from __future__ import annotations

import hashlib
import zlib
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from orbital_train.schedule.ops.nodes import Step, Upset
from orbital_train.schedule.trace import Trace

_INTEGERS = {4: torch.int32, 1: torch.uint8}  # by the size of an element


def flip(vector: Tensor, element: int, bit: int) -> None:
    """Flip one bit of an element of a contiguous tensor of float32 or bytes, in place; twice is nothing.

    ``bit`` counts from the lowest; of a byte, modulo 8.
    """
    bits = 8 * vector.element_size()
    bit %= bits
    mask = -(1 << bit) if bit == 31 else 1 << bit  # the sign of an int32
    vector.detach().view(-1).view(_INTEGERS[vector.element_size()])[element] ^= mask


def flip_one_of(vectors: Sequence[Tensor], place: float, bit: int) -> int:
    """Flip a bit at a place, from 0 to 1, of several tensors one after the other; returns the element's number."""
    element = found = int(place * sum(vector.numel() for vector in vectors))
    for vector in vectors:
        if element < vector.numel():
            flip(vector, element, bit)
            break
        element -= vector.numel()
    return found


def checked(content: Tensor, kind: str, place: float, bit: int) -> bool:
    """Whether a checksum (``crc32`` or ``sha256``) of a tensor's bytes tells that one bit of them was flipped."""
    before = content.detach().contiguous().view(-1).view(torch.uint8).cpu()
    after = before.clone()
    flip_one_of([after], place, bit)
    return _checksum(before, kind) != _checksum(after, kind)


def _checksum(content: Tensor, kind: str) -> bytes:
    data = content.numpy().data
    return zlib.crc32(data).to_bytes(4, "big") if kind == "crc32" else hashlib.sha256(data).digest()


Strikes = Mapping[int, Sequence[tuple[int, Upset]]]
"""By the id of a block of inner steps: what hits the node within them, and in which of them."""


def strikes(trace: Trace) -> Strikes:
    """Which flips of a replica or of a gradient fall into inner steps, which are one operation from their start on."""
    upsets = [op for op in trace.of_kind(Upset) if op.target in ("parameters", "optimizer", "gradient")]
    hit, steps = {op.node for op in upsets}, defaultdict(list)
    for op in trace.of_kind(Step) if hit else ():
        if op.node in hit:
            steps[op.node].append(op)
    found: dict[int, list[tuple[int, Upset]]] = defaultdict(list)
    for upset in upsets:
        own = steps[upset.node]
        k = bisect_right(own, upset.end_us, key=lambda op: op.start_us) - 1
        if k >= 0 and upset.end_us < own[k].end_us:
            into_us, length_us = upset.end_us - own[k].start_us, own[k].end_us - own[k].start_us
            found[own[k].id].append((into_us * own[k].n // length_us, upset))
    return dict(found)
