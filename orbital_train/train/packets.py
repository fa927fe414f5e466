"""Packets: the bytes that travel of an outer gradient, of a sum of such, or of an average.

First the parameters as a codec encodes them; then, as float32, the buffers exactly, since a variance that was rounded
could come out negative, and how much of the weight was refused, since a contribution in it was not finite. Suffix F:
elements of a fragment in this order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from orbital_train.schedule.values import WHOLE, Part
from orbital_train.schedule.wire import encoded_bytes
from orbital_train.train.codecs import cut, decode_into, encode
from orbital_train.train.flat import Layout

FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the elements of a vector are: of a fragment, or of a part of one."""

    trained: int  # parameters
    averaged: int  # these, and floating buffers
    size: int  # these, integer buffers, and the refused weight
    start: int = 0  # of the part, in the fragment's vector

    @classmethod
    def of(cls, layout: Layout, fragment: int, part: Part = WHOLE) -> Form:
        """Of a fragment, or of a part."""
        where = layout.part(fragment, part)
        length = where.stop - where.start
        return cls(
            start=where.start,
            trained=min(max(layout.fragment_trained(fragment) - where.start, 0), length),
            averaged=min(max(layout.fragment_averaged(fragment) - where.start, 0), length),
            size=length + 1,
        )

    def packet_bytes(self, codec: str) -> int:
        """Size of a packet."""
        return encoded_bytes(codec, self.trained) + FLOAT_BYTES * (self.size - self.trained)

    def part(self, codec: str, packet: Tensor, where: slice) -> Tensor:
        """Some of a packet's parameters, as if they had been encoded by themselves; whole grains but at the end."""
        return cut(packet[: encoded_bytes(codec, self.trained)], codec, self.trained, where)

    def others(self, codec: str, packet: Tensor) -> Tensor:
        """Buffers and refused weight of a packet. A copy, since they need not be aligned there."""
        return packet[encoded_bytes(codec, self.trained) :].clone().view(torch.float32)


def seed_of(seed: int, value: str) -> int:
    """Of the rounding of a value, which names node or site, fragment and state or version: wherever and whenever."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{value}".encode(), digest_size=8).digest(), "big") >> 1


def pack(vector_F: Tensor, codec: str, form: Form, seed: int) -> Tensor:
    """The packet (bytes) of a vector."""
    encoded = encode(vector_F[: form.trained], codec, seed)
    return torch.cat([encoded, vector_F[form.trained :].view(torch.uint8)])


def unpack_into(out_E: Tensor, packet: Tensor, codec: str, form: Form, start: int = 0) -> None:
    """Write as many elements as ``out_E`` has, from any on."""
    end = encoded_bytes(codec, form.trained)
    assert len(packet) == form.packet_bytes(codec)
    parameters = min(max(form.trained - start, 0), len(out_E))
    if parameters:
        decode_into(out_E[:parameters], packet[:end], codec, form.trained, start)
    if parameters < len(out_E):
        others = form.others(codec, packet)
        out_E[parameters:] = others[start + parameters - form.trained :][: len(out_E) - parameters]


def unpack(packet: Tensor, codec: str, form: Form) -> Tensor:
    """The vector that a packet's receiver has."""
    out_F = torch.empty(form.size, device=packet.device)
    unpack_into(out_F, packet, codec, form)
    return out_F


def residual_of(vector_F: Tensor, packet: Tensor, codec: str, form: Form) -> Tensor:
    """The parameters that a packet does not have; of what is not finite there is nothing that could be sent later."""
    left_F = vector_F[: form.trained] - unpack(packet, codec, form)[: form.trained]
    return left_F.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)


@dataclass(frozen=True, kw_only=True)
class Term:
    """A packet that enters a sum."""

    packet: Tensor
    codec: str
    form: Form  # of the packet: that of the sum, or of the whole of which the sum is a part
    weight: float


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The weighted sum of packets, of which any stretch can be had without the others; at least one packet.

    Integer buffers are copied, and not averaged: they are those of the first packet of all, if that is here.
    """

    form: Form
    terms: list[Term]
    first: bool  # whether the first packet here is the first of all

    def __len__(self) -> int:
        return self.form.size

    def __getitem__(self, where: slice) -> Tensor:
        total_E = self._weighted(0, where)
        for k in range(1, len(self.terms)):
            total_E += self._weighted(k, where)
        return total_E

    def _weighted(self, k: int, where: slice) -> Tensor:
        term, last = self.terms[k], self.form.size - 1
        out_E = torch.empty(where.stop - where.start, device=term.packet.device)
        begin = self.form.start - term.form.start + where.start
        unpack_into(out_E[: last - where.start], term.packet, term.codec, term.form, begin)
        out_E[last - where.start :] = term.form.others(term.codec, term.packet)[-1]
        integers = slice(max(self.form.averaged - where.start, 0), max(last - where.start, 0))
        copied = out_E[integers].clone() if self.first and k == 0 else 0.0
        out_E *= term.weight
        out_E[integers] = copied
        return out_E
