"""``[faults]``: what fails."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from orbital_train.config.tables.base import LIST, Fraction, Table
from orbital_train.config.tables.upsets import Upsets


def _after_start(end_h: float, info: ValidationInfo) -> float:
    start_h = info.data.get("start_h", 0.0)
    if end_h <= start_h:
        raise ValueError(f"must be after start_h = {start_h:g}")
    return end_h


Hours = Annotated[float, Field(ge=0.0, le=87_660.0)]
EndHours = Annotated[float, Field(le=87_660.0), AfterValidator(_after_start)]
Minutes = Annotated[float, Field(ge=0.01, le=525_960.0)]
Slower = Annotated[float, Field(ge=1.0, le=1_000.0)]


class ListedOutage(Table):
    """A satellite or ground site is down: it neither trains nor sends nor hears."""

    node: str
    """Its name."""
    start_h: Hours
    """Hours after ``time.start``."""
    end_h: EndHours | None = None
    """For ever if not given."""
    loses_state: bool = False
    """A satellite loses its on-board store too; from ``start_h`` = 0 on, this is a node that joins late."""


class ListedLinkOutage(Table):
    """Two nodes cannot send to each other."""

    a: str
    """Name of a satellite or ground site."""
    b: str | None = None
    """Name of the other one; all links of ``a`` if not given."""
    start_h: Hours
    end_h: EndHours
    """Data flows again at once: the time of a new acquisition is not added."""

    @field_validator("b")
    @classmethod
    def _another_node(cls, b: str | None, info: ValidationInfo) -> str | None:
        if b is not None and b == info.data.get("a"):
            raise ValueError("must be another node than a")
        return b


class ListedSlowDown(Table):
    """A satellite trains more slowly: its chips are too hot."""

    node: str
    start_h: Hours
    end_h: EndHours
    factor: Slower
    """An inner step takes so many times as long."""


Rate = Annotated[float, Field(ge=0.0, le=60.0)]


class Faults(Table):
    """What fails, beyond what a policy can foresee: at random with ``seeds.faults``, and as listed. Nothing by default.

    Rates are for the time in which a satellite is up or a link is not out. Clouds are a key of ``ground_sites``.
    """

    outages_per_node_hour: Rate = 0.0
    """A satellite resets and is down for a while. A chip in orbit does so once in about three years (4e-5)."""
    outage_min: Minutes = 10.0
    """Length of such an outage."""
    state_loss_fraction: Fraction = 0.0
    """Part of these outages in which the on-board store is lost too."""
    losses_per_node_year: Annotated[float, Field(ge=0.0, le=10_000.0)] = 0.0
    """A satellite is lost for ever."""
    late_fraction: Fraction = 0.0
    """Probability of a satellite to join late."""
    late_within_h: Annotated[float, Field(ge=0.01, le=87_660.0)] = 6.0
    """Those that do join at any time until then."""
    link_outages_per_link_hour: Rate = 0.0
    """A link fails, and has to be acquired again."""
    link_outage_min: Minutes = 5.0
    """Length of such an outage, without the acquisition."""
    missed_acquisition_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the acquisitions that fail, and are tried again."""
    slow_downs_per_node_hour: Rate = 0.0
    """A satellite's chips get too hot, and it trains more slowly for a while."""
    slow_down_min: Minutes = 20.0
    """Length of such a time."""
    slow_down_factor: Slower = 2.0
    """An inner step then takes so many times as long."""
    lengths: Literal["fixed", "exponential"] = "fixed"
    """All three lengths are always the same, or exponentially distributed with this mean."""
    outage: Annotated[tuple[ListedOutage, ...], LIST] = ()
    link_outage: Annotated[tuple[ListedLinkOutage, ...], LIST] = ()
    slow_down: Annotated[tuple[ListedSlowDown, ...], LIST] = ()
    upsets: Upsets = Upsets()
