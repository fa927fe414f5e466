"""Sizes on the wire."""

from __future__ import annotations

from typing import get_args

import pytest

from orbital_train.schedule.wire import WIRE, CodecName, encoded_bytes, has_feedback, sums_have_feedback


@pytest.mark.parametrize(
    ("codec", "size", "expected"),
    [
        ("fp32", 3, 12),
        ("bf16", 3, 6),
        ("fp8", 257, 257 + 4),
        ("int8", 256, 256 + 2),
        ("int4", 64, 32 + 2),
        ("int4", 65, 33 + 4),  # half a byte is a whole one
        ("topk1", 4096, 41 * 4),
        ("topk3", 4097, (123 + 1) * 4),
        ("topk3", 67, 3 * 4),
    ],
)
def test_sizes(codec: str, size: int, expected: int) -> None:
    assert encoded_bytes(codec, size) == expected


def test_nothing_is_nothing_and_every_name_is_a_format() -> None:
    assert set(WIRE) == set(get_args(CodecName))
    assert {encoded_bytes(codec, 0) for codec in WIRE} == {0}


def test_an_unknown_codec_is_no_other_one() -> None:
    with pytest.raises(KeyError, match="int3"):
        encoded_bytes("int3", 1)


def test_what_has_feedback() -> None:
    assert {codec for codec in WIRE if not has_feedback(codec)} == {"fp32", "bf16"}
    assert {codec for codec in WIRE if sums_have_feedback(codec)} == {"topk1", "topk2", "topk3"}
