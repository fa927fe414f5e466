"""Whatever bit is flipped in whatever is sent, its checksum tells; and what is flipped twice is as it was."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orbital_train.schedule.wire import WIRE
from orbital_train.train.flips import checked, flip
from orbital_train.train.packets import Form, pack

many = settings(max_examples=300, deadline=None, derandomize=True)
places = st.floats(0.0, 1.0, exclude_max=True)
bits = st.integers(0, 31)


@given(st.sampled_from(sorted(WIRE)), st.integers(1, 300), st.integers(0, 5), places, bits, st.integers(0, 99))
@many
def test_crc32_tells_of_every_flip_in_every_packet(
    codec: str, trained: int, others: int, place: float, bit: int, seed: int
) -> None:
    form = Form(trained=trained, averaged=trained + others, size=trained + others + 1)
    vector_F = torch.randn(form.size, generator=torch.Generator().manual_seed(seed))
    assert checked(pack(vector_F, codec, form, seed), "crc32", place, bit)


@given(st.binary(min_size=1, max_size=2000), places, bits)
@many
def test_so_does_sha256_of_every_store(content: bytes, place: float, bit: int) -> None:
    assert checked(torch.tensor(list(content), dtype=torch.uint8), "sha256", place, bit)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20), st.data())
@many
def test_two_flips_of_a_bit_are_none(values: list[float], data: st.DataObject) -> None:
    vector = torch.tensor(values)
    before = vector.clone()
    element, bit = data.draw(st.integers(0, len(values) - 1)), data.draw(bits)
    flip(vector, element, bit)
    changed = vector.view(torch.int32) ^ before.view(torch.int32)
    assert [int(c) & 0xFFFFFFFF for c in changed] == [(1 << bit) * (k == element) for k in range(len(values))]
    flip(vector, element, bit)
    assert torch.equal(vector.view(torch.int32), before.view(torch.int32))
