"""Step times and message sizes of the flown model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.workload import Workload


def test_a_step_time_that_is_given_is_rounded_up_to_microseconds() -> None:
    assert Workload(parameters=1, tokens_per_step=1, bits_per_parameter=1, step_s=1.0000001).step_us == 1_000_001


def test_a_step_time_follows_from_the_device() -> None:
    """6 x 1e9 parameters x 131072 tokens at 40 % of 989 TFLOP/s."""
    workload = Workload(parameters=1e9, tokens_per_step=131_072, bits_per_parameter=4.0, device_flops=989e12, mfu=0.4)
    assert workload.step_us == 1_987_948
    assert workload.message_bits == 4_000_000_000


def test_a_message_is_whole_bits() -> None:
    assert Workload(parameters=3, tokens_per_step=1, bits_per_parameter=0.5, step_s=1.0).message_bits == 2


@pytest.mark.parametrize(
    ("bits_per_parameter", "kbit"),
    [
        (32.0, [32, 32, 32, 32]),
        (16.0, [16, 32, 32, 32]),
        (4.0, [4, 8, 12, 32]),  # of int4, eight are as large as float32
        (1.5, [1.5, 3.0, 4.5, 32]),  # of the largest 3 %, each 48 bits with its place
    ],
)
def test_wide_sums_grow_with_what_is_in_them_up_to_float32(bits_per_parameter: float, kbit: list[float]) -> None:
    wide = Workload(
        parameters=1000,
        tokens_per_step=1,
        bits_per_parameter=bits_per_parameter,
        step_s=1.0,
        fragments=2,
        partial_sums="wide",
    )
    assert [wide.sum_bits(count) for count in (1, 2, 3, 100)] == [size * 500 for size in kbit]
    encoded = replace(wide, partial_sums="encoded")
    assert [encoded.sum_bits(count) for count in (1, 2, 3, 100)] == [bits_per_parameter * 500] * 4


def test_sums_are_encoded_like_one_or_as_float32() -> None:
    plain = Workload(parameters=1000, tokens_per_step=1, bits_per_parameter=16.0, step_s=1.0)
    assert (plain.codec, plain.sum_codec, replace(plain, partial_sums="wide").sum_codec) == ("bf16", "bf16", "fp32")
