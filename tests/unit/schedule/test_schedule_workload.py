"""Step times and message sizes of the flown model."""

from __future__ import annotations

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
