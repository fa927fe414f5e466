"""``[[ground_sites]]``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from orbital_train.config.tables.base import Gbps, Table

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Site(Table):
    """A ground site: it relays messages and may be where they are merged; it trains nothing."""

    name: Name
    latitude_deg: Annotated[float, Field(ge=-90.0, le=90.0)]
    longitude_deg: Annotated[float, Field(ge=-180.0, le=360.0)]
    altitude_m: Annotated[float, Field(ge=-500.0, le=9000.0)] = 0.0
    terminals: Annotated[int, Field(ge=1, le=64)] = 1
    medium: Literal["optical", "radio"] = "optical"
    """Lasers are blinded by the Sun and stopped by clouds; radio is neither."""
    mask_deg: Annotated[float, Field(ge=0.0, lt=90.0)] | None = None
    """Lowest elevation; ``links.ground_mask_deg`` if not given."""
    rate_gbps: Gbps | None = None
    """From a satellite to the site; ``links.ground_rate_gbps`` if not given."""
    uplink_gbps: Gbps | None = None
    """From the site to a satellite; as down if not given."""
    cloud_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the time in which clouds stop an optical site's links; drawn with ``seeds.clouds``."""
    cloudy_h: Annotated[float, Field(ge=0.01, le=8_766.0)] = 6.0
    """Mean length of a cloudy spell."""

    @field_validator("cloud_fraction")
    @classmethod
    def _lasers_only(cls, fraction: float, info: ValidationInfo) -> float:
        if fraction > 0 and info.data.get("medium") == "radio":
            raise ValueError("clouds stop only optical sites; leave it out")
        return fraction
