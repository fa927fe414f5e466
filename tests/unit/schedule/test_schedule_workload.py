"""Step times and message sizes of the flown model."""

from __future__ import annotations

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
