"""The codecs."""

import pytest
import torch

from orbital_train.train.codec import decode, encode, encoded_bytes


@pytest.mark.parametrize(("codec", "size", "decoded"), [("fp32", 8, 1.00390625 - 2**-20), ("bf16", 4, 1.0)])
def test_codec(codec: str, size: int, decoded: float) -> None:
    encoded = encode(torch.tensor([1.00390625 - 2**-20, 1.5]), codec)
    assert encoded.nbytes == size == encoded_bytes(2, codec)
    assert decode(encoded).tolist() == [decoded, 1.5]
    assert decode(encoded).dtype == torch.float32


def test_unknown_codec_is_an_error() -> None:
    with pytest.raises(KeyError, match="int3"):
        encode(torch.zeros(1), "int3")
