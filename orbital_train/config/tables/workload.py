"""``[workload]``: the model that flies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orbital_train.config.tables.base import PositiveFraction, Steps, Table
from orbital_train.schedule.wire import CodecName


class WorkloadTable(Table):
    """The model that *flies*: it sets how long a step takes and how large a message is. Give ``step_s``, or
    ``device_tflops`` and ``mfu``; of a device that is not throttled (``power.train_cap_w``, ``power.radiator``)."""

    parameters: Annotated[float, Field(ge=1.0, le=1e18)]
    tokens_per_step: Steps
    """Of one node and inner step."""
    codec: CodecName = "fp32"
    """Of an outer gradient on the wire, in the training as in the simulation, where it sets the size of a message. Bits
    per parameter: ``fp32`` 32, ``bf16`` 16, ``fp8`` and ``int8`` 8.06, ``int4`` 4.25, ``topk1`` 0.32, ``topk2`` 0.64,
    ``topk3`` 0.96 (the largest 1, 2 or 3 %); those below 16 with error feedback. Parameters that are sent are bf16."""
    partial_sums: Literal["encoded", "wide"] = "encoded"
    """Sums of several outer gradients on their way: rounded and sized like one, or exact, and then as large as all
    that they add up, or as float32 where that is less."""
    device_tflops: Annotated[float, Field(gt=0.0, le=1e9)] | None = None
    mfu: PositiveFraction | None = None
    """Model FLOP/s utilisation."""
    step_s: Annotated[float, Field(ge=1e-6, le=31_557_600.0)] | None = None
