"""Step times and message sizes of the flown model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orbital_train.schedule.workload import Workload


def test_a_step_time_that_is_given_is_rounded_up_to_microseconds() -> None:
    assert Workload(parameters=1, tokens_per_step=1, step_s=1.0000001).step_us == 1_000_001


def test_a_step_time_follows_from_the_device() -> None:
    """6 x 1e9 parameters x 131072 tokens at 40 % of 989 TFLOP/s."""
    workload = Workload(parameters=1e9, tokens_per_step=131_072, device_flops=989e12, mfu=0.4)
    assert workload.step_us == 1_987_948
    assert workload.message_bits == 32_000_000_000


@pytest.mark.parametrize(
    ("codec", "bits"),
    [
        ("fp32", 32.0),
        ("bf16", 16.0),
        ("fp8", 8.0625),
        ("int8", 8.0625),
        ("int4", 4.25),
        ("topk1", 41 / 128),
        ("topk2", 82 / 128),
        ("topk3", 123 / 128),
    ],
)
def test_the_size_of_a_message_follows_from_the_codec(codec: str, bits: float) -> None:
    workload = Workload(parameters=2**30, tokens_per_step=1, codec=codec, step_s=1.0, fragments=4)
    assert workload.message_bits == 2**30 * bits
    assert workload.fragment_bits == 2**28 * bits
    assert workload.state_bits == 2**34


@pytest.mark.parametrize(
    ("codec", "kbit"),
    [
        ("fp32", [32, 32, 32, 32]),
        ("bf16", [16, 32, 32, 32]),
        ("int4", [4.25, 8.5, 12.75, 32]),  # of eight, all are larger than float32
        ("topk3", [123 / 128, 123 / 64, 369 / 128, 32]),
    ],
)
def test_wide_sums_grow_with_what_is_in_them_up_to_float32(codec: str, kbit: list[float]) -> None:
    wide = Workload(
        parameters=8192, tokens_per_step=1, codec=codec, step_s=1.0, fragments=2, partial_sums="wide"
    )  # fmt: skip
    assert [wide.sum_bits(count) for count in (1, 2, 3, 100)] == [size * 4096 for size in kbit]
    encoded = replace(wide, partial_sums="encoded")
    assert [encoded.sum_bits(count) for count in (1, 2, 3, 100)] == [kbit[0] * 4096] * 4


def test_sums_are_encoded_like_one_or_as_float32() -> None:
    plain = Workload(parameters=1000, tokens_per_step=1, codec="bf16", step_s=1.0)
    assert (plain.codec, plain.sum_codec, replace(plain, partial_sums="wide").sum_codec) == ("bf16", "bf16", "fp32")
