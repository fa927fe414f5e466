"""What is simulated of the training itself: how long an inner step takes and how large a message is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from orbital_train.schedule.wire import encoded_bytes

WIDE_CODEC = "fp32"  # of sums that are not rounded to the codec of what they are sums of
FLOP_PER_PARAMETER_AND_TOKEN = 6  # forward and backward pass of a dense transformer (Kaplan et al., arXiv 2001.08361)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The flown model. Either ``step_s`` is given, or it follows from the device's FLOP/s and its utilisation."""

    parameters: float
    tokens_per_step: int  # of one node and inner step
    codec: str = "fp32"  # how outer gradients are encoded, here and in the training that stands for it
    device_flops: float | None = None  # [FLOP/s] dense, in the training precision
    mfu: float | None = None  # model FLOP/s utilisation
    step_s: float | None = None
    step_time_factor: float = 1.0  # of a device that is throttled
    state_codec: str = "bf16"  # how parameters are that are sent to a node that has no version before
    fragments: int = 1  # that the model is synchronised in; each is the same share of the message
    partial_sums: Literal["encoded", "wide"] = "encoded"  # on their way: rounded to the codec again, or exact

    @property
    def step_us(self) -> int:
        """Duration of one inner step as it is flown, throttled or not, rounded up to whole microseconds."""
        if self.step_s is not None:
            return math.ceil(self.step_s * self.step_time_factor * 1e6)
        assert self.device_flops is not None
        assert self.mfu is not None
        flop = FLOP_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens_per_step
        return math.ceil(flop / (self.device_flops * self.mfu) * self.step_time_factor * 1e6)

    @property
    def message_bits(self) -> int:
        """Size of one outer gradient, or of one averaged outer gradient."""
        return 8 * encoded_bytes(self.codec, math.ceil(self.parameters))

    @property
    def fragment_bits(self) -> int:
        """Size of one outer gradient of a fragment."""
        return math.ceil(self.message_bits / self.fragments)

    @property
    def fragment_offer_bits(self) -> int:
        """Size of what two nodes that mix send each other of a fragment: an outer gradient, and slow weights."""
        return self.fragment_bits + self.fragment_state_bits

    @property
    def sum_codec(self) -> str:
        """How sums of several outer gradients are encoded on their way to where they are merged."""
        return WIDE_CODEC if self.partial_sums == "wide" else self.codec

    def sum_bits(self, count: int) -> int:
        """Size of a message on its way that holds this many outer gradients of a fragment.

        Encoded like one, it is as large as one. A wide sum is exact, and grows with what is in it: its inputs stand
        side by side until float32 is smaller.
        """
        if self.partial_sums == "encoded":
            return self.fragment_bits
        wide_bits = math.ceil(8 * encoded_bytes(WIDE_CODEC, math.ceil(self.parameters)) / self.fragments)
        return min(count * self.fragment_bits, wide_bits)

    @property
    def state_bits(self) -> int:
        """Size of the parameters."""
        return 8 * encoded_bytes(self.state_codec, math.ceil(self.parameters))

    @property
    def fragment_state_bits(self) -> int:
        """Size of the parameters of a fragment."""
        return math.ceil(self.state_bits / self.fragments)

    def restore_bits(self, holder: bool) -> int:
        """Size of what a node is sent that has lost its state.

        A holder of the global model needs exactly what the others have: parameters and outer momentum in float32.
        """
        return math.ceil(self.parameters * 64) if holder else self.state_bits
