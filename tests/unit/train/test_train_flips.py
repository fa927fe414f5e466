"""Which bit is flipped, and in which inner step."""

from __future__ import annotations

import math
import struct

import pytest
import torch

from orbital_train.schedule.ops.nodes import Step, Upset
from orbital_train.schedule.trace import Trace
from orbital_train.train.flips import checked, flip, flip_one_of, strikes
from tests.unit.train.trace_builder import TraceBuilder


def bits_of(x: float) -> int:
    return int(struct.unpack("<I", struct.pack("<f", x))[0])


@pytest.mark.parametrize("bit", range(32))
def test_one_bit_of_one_element_and_twice_is_nothing(bit: int) -> None:
    vector = torch.tensor([0.0, -1.5, 3e-7, 2.0])
    before = vector.clone()
    flip(vector, 2, bit)
    assert bits_of(vector[2].item()) ^ bits_of(3e-7) == 1 << bit
    assert torch.equal(vector[[0, 1, 3]], before[[0, 1, 3]])
    flip(vector, 2, bit)
    assert torch.equal(vector, before)


def test_bits_are_named_as_in_ieee_754() -> None:
    vector = torch.tensor([1.5, 1.0, 1.0, 1.0])
    flip(vector, 0, 31)
    flip(vector, 1, 30)  # the highest of the exponent
    flip(vector, 2, 23)
    flip(vector, 3, 0)
    assert vector.tolist() == [-1.5, math.inf, 0.5, 1.0 + 2**-23]


def test_parameters_that_need_gradients_and_bytes_can_be_hit() -> None:
    parameter = torch.ones(2, requires_grad=True)
    flip(parameter[1:], 0, 31)
    assert parameter.tolist() == [1.0, -1.0]
    content = torch.zeros(3, dtype=torch.uint8)
    flip(content, 1, 29)
    assert content.tolist() == [0, 1 << 5, 0]


@pytest.mark.parametrize(("place", "element"), [(0.0, 0), (0.39, 1), (0.4, 2), (0.999, 4)])
def test_a_place_is_in_one_of_several_tensors(place: float, element: int) -> None:
    vectors = [torch.ones(2), torch.ones(0), torch.ones(1, 3)]
    assert flip_one_of(vectors, place, 31) == element
    expected = [1.0] * 5
    expected[element] = -1.0
    assert torch.cat([vector.view(-1) for vector in vectors]).tolist() == expected


@pytest.mark.parametrize("kind", ["crc32", "sha256"])
def test_a_checksum_tells_and_leaves_what_it_is_of(kind: str) -> None:
    content = torch.randn(7, generator=torch.Generator().manual_seed(0))
    before = content.clone()
    assert all(checked(content, kind, place, bit) for place in (0.0, 0.5, 0.99) for bit in range(32))
    assert torch.equal(content, before)


def test_flips_strike_in_the_inner_step_that_is_under_way() -> None:
    """A block of 4 steps from 100 to 140, another of 2 from 140 to 160; then the node rests."""
    build = TraceBuilder(nodes=(0, 1))

    def upset(at_us: int, target: str, node: int = 0) -> None:
        build.ops.append(Upset(len(build.ops), at_us, at_us, node, target, 0.5, 30, ""))  # type: ignore[arg-type]

    def step(start_us: int, n: int) -> None:
        build.ops.append(Step(len(build.ops), start_us, start_us + 10 * n, 0, len(build.ops), 0, n, n, 0.0, 0.0))

    upset(99, "parameters")
    upset(100, "parameters")
    upset(119, "gradient")
    upset(119, "parameters", node=1)
    upset(120, "version")
    upset(139, "optimizer")
    step(100, 4)
    upset(140, "optimizer")
    step(140, 2)
    upset(160, "parameters")
    trace: Trace = build.trace()
    found = {op_id: [(k, upset.id) for k, upset in hits] for op_id, hits in strikes(trace).items()}
    assert found == {6: [(0, 1), (1, 2), (3, 5)], 8: [(0, 7)]}
