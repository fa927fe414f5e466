"""Bits that particles flip, and how nodes look for what came of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orbital_train.config.tables.base import LIST, Table
from orbital_train.schedule.faults import FlipTarget

CHECKED: tuple[FlipTarget, ...] = ("version", "message", "checkpoint")  # by checksums
TARGETS: tuple[FlipTarget, ...] = ("parameters", "optimizer", "gradient", *CHECKED)


class ListedFlip(Table):
    """One bit is flipped."""

    node: str
    """Name of a satellite."""
    at_h: Annotated[float, Field(ge=0.0, le=87_660.0)]
    """Hours after ``time.start``."""
    target: FlipTarget
    place: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.5
    """Where in the target, from 0 to 1."""
    bit: Annotated[int, Field(ge=0, le=31)] = 30
    """Of a float32 number: 31 is its sign, 30 to 23 its exponent from the highest bit on."""


class Upsets(Table):
    """Single bits of satellites' memories, messages and stores that radiation flips; none by default."""

    per_bit_hour: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Flips of a bit in an hour, after all correction by hardware. Nine silent corruptions a year of a chip with 32 GB
    are 4e-15."""
    targets: Annotated[tuple[FlipTarget, ...], LIST] = TARGETS
    """What is hit."""
    parameters: Annotated[float, Field(ge=1.0, le=1e15)] | None = None
    """Whose bits can be hit, of each satellite; those of the model that flies if not given. With the number of the
    trained model's the rate is one per trained bit."""
    anomaly_factor: Annotated[float, Field(ge=1.0, le=1e6)] = 1.0
    """The rate is so many times as high in the South Atlantic Anomaly, taken as a box."""
    doubling_km: Annotated[float, Field(gt=0.0, le=100_000.0)] | None = None
    """The rate doubles over so many kilometres of altitude, and is what it is at 650 km; the same everywhere if not
    given."""
    flip: Annotated[tuple[ListedFlip, ...], LIST] = ()


class Screening(Table):
    """How nodes look for corruption of their own replicas; one that finds some begins anew from its last version."""

    enabled: bool | None = None
    """Otherwise a node whose loss is not finite is stopped until it is restored. If not given: where bits are
    flipped."""
    norm_factor: Annotated[float, Field(gt=1.0, le=1e12)] = 5.0
    """A contribution is corrupt whose norm is above so many times the median of the node's last ones."""
