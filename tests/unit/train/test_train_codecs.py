"""The codecs: exact bytes, and what is left of a vector. tests/property/test_codec_properties.py has any vectors."""

import hashlib
import math

import pytest
import torch
from torch import Tensor

from orbital_train.schedule.wire import WIRE, encoded_bytes
from orbital_train.train.codecs import GRAIN, cut, decode, decode_into, encode, whole_grains
from orbital_train.train.codecs.pieces import PIECE
from orbital_train.train.packets import seed_of

CODECS = tuple(WIRE)
LOSSY = ("fp8", "int8", "int4", "topk1", "topk2", "topk3")
QUANTISED = {"fp8": 448.0, "int8": 127.0, "int4": 7.0}


def vector(size: int, seed: int = 0) -> Tensor:
    """As outer gradients are: many small elements, and few large ones."""
    drawn = torch.randn(2, size, generator=torch.Generator().manual_seed(seed))
    return drawn[0] * drawn[1].square() * 1e-3


@pytest.mark.parametrize(("codec", "size", "decoded"), [("fp32", 8, 1.00390625 - 2**-20), ("bf16", 4, 1.0)])
def test_plain_codecs_round_to_nearest(codec: str, size: int, decoded: float) -> None:
    encoded = encode(torch.tensor([1.00390625 - 2**-20, 1.5]), codec)
    assert encoded.nbytes == size == encoded_bytes(codec, 2)
    assert decode(encoded, codec, 2).tolist() == [decoded, 1.5]


def test_int8_to_the_byte() -> None:
    """The scale is 127 / 127 = 1, and whole numbers of it are exact."""
    encoded = encode(torch.tensor([127.0, -127.0, 3.0, 0.0, -1.0]), "int8")
    assert encoded.tolist() == [0x80, 0x3F, 127, 129, 3, 0, 255]


def test_int4_to_the_byte() -> None:
    """Bytes have an element of the first half in their low bits, and one of the second half in their high ones."""
    encoded = encode(torch.tensor([7.0, -7.0, 3.0, 1.0, -1.0]), "int4")
    assert encoded.tolist() == [0x80, 0x3F, 0x17, 0xF9, 0x03]


def test_fp8_to_the_byte() -> None:
    """E4M3 of 448, -1, 0.0625, and the smallest number, 2^-9."""
    encoded = encode(torch.tensor([448.0, -1.0, 0.0625, 2.0**-9]), "fp8")
    assert encoded.tolist() == [0x80, 0x3F, 0x7E, 0xB8, 0x18, 0x01]


def test_topk_to_the_byte() -> None:
    """3 % of 67 are three: their indices as 16 bits, rising, then their values as bfloat16."""
    values = torch.full((67,), 0.5)
    values[[60, 2, 33]] = torch.tensor([-2.0, 1.0, 4.0])
    encoded = encode(values, "topk3")
    assert encoded.tolist() == [2, 0, 33, 0, 60, 0, 0x80, 0x3F, 0x80, 0x40, 0x00, 0xC0]
    expected = torch.where(values.abs() > 0.5, values, 0.0)
    assert torch.equal(decode(encoded, "topk3", 67), expected)


@pytest.mark.parametrize(
    ("codec", "sha256"),
    [
        ("fp32", "5874d0994c3e0b4a"),
        ("bf16", "f6a5ac3cbde6c4f3"),
        ("fp8", "f8bf7f20a20c09d1"),
        ("int8", "d36fb3241b3261ee"),
        ("int4", "be0fa04dcb752cc3"),
        ("topk1", "7ec771f11e20e953"),
        ("topk2", "9418caa9162464a4"),
        ("topk3", "af79a9163774a8b9"),
    ],
)
def test_golden_bytes(codec: str, sha256: str) -> None:
    """Of a vector that needs no generator; two pieces and an odd rest."""
    k = torch.arange(PIECE + 4097)
    values = ((k * k + 7 * k) % 1009 - 504) * 2.0 ** (-(k % 23))
    assert hashlib.sha256(encode(values, codec, seed=5).numpy().tobytes()).hexdigest()[:16] == sha256


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 255, 257, GRAIN - 1, GRAIN + 1, PIECE, 2 * PIECE + 12_345])
def test_sizes_and_decoding_from_the_middle(codec: str, size: int) -> None:
    """More than one piece too; what is asked for in stretches is what there is in the whole."""
    values = vector(size)
    encoded = encode(values, codec, seed=1)
    assert (encoded.dtype, encoded.numel()) == (torch.uint8, encoded_bytes(codec, size))
    whole = decode(encoded, codec, size)
    for start in range(0, size, GRAIN * 17):
        stretch = torch.full((min(GRAIN * 17, size - start),), math.nan)
        decode_into(stretch, encoded, codec, size, start)
        assert torch.equal(stretch, whole[start : start + GRAIN * 17])
        part = cut(encoded, codec, size, slice(start, start + len(stretch)))
        assert torch.equal(decode(part, codec, len(stretch)), stretch)


@pytest.mark.parametrize(
    ("codec", "error"), [("fp32", 0.0), ("bf16", 0.002), ("fp8", 0.03), ("int8", 0.03), ("int4", 0.3)]
)
def test_relative_error_of_a_vector_with_outliers(codec: str, error: float) -> None:
    values = vector(100_000)
    left = values - decode(encode(values, codec, seed=1), codec, 100_000)
    assert error / 3 <= left.norm() / values.norm() <= error


@pytest.mark.parametrize(("codec", "kept"), [("topk1", 0.42), ("topk2", 0.55), ("topk3", 0.64)])
def test_topk_has_the_bulk_of_a_vector_with_outliers(codec: str, kept: float) -> None:
    values = vector(100_000)
    found = decode(encode(values, codec), codec, 100_000)
    assert found.square().sum() / values.square().sum() == pytest.approx(kept, abs=0.01)
    assert (found != 0).sum() == encoded_bytes(codec, 100_000) // 4


@pytest.mark.parametrize("codec", ["int8", "int4"])
def test_stochastic_rounding_is_right_on_average_and_depends_on_the_seed_alone(codec: str) -> None:
    values = vector(640)
    seeds = [seed_of(3, f"snap/0/0@{state}") for state in range(400)]
    assert torch.equal(encode(values, codec, seeds[0]), encode(values, codec, seeds[0]))
    assert not torch.equal(encode(values, codec, seeds[0]), encode(values, codec, seeds[1]))
    block = 64 if codec == "int4" else 256
    step = torch.cat([b.abs().max() / QUANTISED[codec] * torch.ones(len(b)) for b in values.split(block)])
    mean = torch.stack([decode(encode(values, codec, seed), codec, 640) for seed in seeds]).mean(dim=0)
    assert ((mean - values).abs() / step).max() < 0.5 * 4.5 / math.sqrt(len(seeds)) + 1 / 512
    assert ((mean - values) / step).mean().abs() < 0.01


@pytest.mark.parametrize("spoiled", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("codec", CODECS)
def test_what_is_not_finite_stays_so_and_does_no_harm_elsewhere(codec: str, spoiled: float) -> None:
    values = vector(10_000)
    values[4_500] = spoiled
    found = decode(encode(values, codec), codec, 10_000)
    assert not found[4_500].isfinite()
    block = getattr(WIRE[codec], "block", 1)
    elsewhere = torch.arange(10_000) // block != 4_500 // block
    assert found[elsewhere].isfinite().all()
    assert torch.isfinite(found).sum() in (elsewhere.sum(), 9_999)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("value", [0.0, 1e-45, 1e-38, 3.4e38])
def test_extreme_magnitudes(codec: str, value: float) -> None:
    """Nothing finite becomes what is not, but where bfloat16 itself ends; zero is exact."""
    values = torch.tensor([value, -value, 0.0] * 40)
    found = decode(encode(values, codec), codec, 120)
    assert (found[2::3] == 0).all()
    if value == 0.0:
        assert not found.any()
    elif value < 1e38:
        assert found.isfinite().all()
        assert (found.abs() <= value * 1.25).all()  # scales have few bits there


def test_grains_cover_a_vector() -> None:
    assert list(whole_grains(0, 1)) == []
    assert list(whole_grains(GRAIN + 1, 16)) == [slice(0, GRAIN), slice(GRAIN, GRAIN + 1)]
    assert list(whole_grains(5 * GRAIN, 3 * 4 * GRAIN - 1)) == [
        slice(0, 2 * GRAIN),
        slice(2 * GRAIN, 4 * GRAIN),
        slice(4 * GRAIN, 5 * GRAIN),
    ]


def test_another_length_than_the_codec_says_is_no_vector() -> None:
    with pytest.raises(AssertionError):
        decode(encode(vector(100), "int8"), "int4", 100)


def test_unknown_codec_is_an_error() -> None:
    """There is no other one to fall back to."""
    with pytest.raises(KeyError, match="int3"):
        encode(torch.zeros(1), "int3")
