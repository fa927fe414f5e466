"""``[fleet]``: the satellites."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PlainValidator, ValidationInfo, field_validator, model_validator

from orbital_train.config.tables.base import LIST, Table


def _inclination(value: object) -> float | str:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= 180.0:
        return float(value)
    if value != "sun_synchronous":
        raise ValueError("must be 0 to 180, or 'sun_synchronous'")
    return "sun_synchronous"


Altitude = Annotated[float, Field(ge=200.0, le=50_000.0)]
SunSynchronousAltitude = Annotated[float, Field(ge=200.0, le=5_900.0)]
Degrees = Annotated[float, Field(ge=0.0, lt=360.0)]
LocalTime = Annotated[float, Field(ge=0.0, lt=24.0)]
Inclination = Annotated[float | Literal["sun_synchronous"], PlainValidator(_inclination)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Separation = Annotated[float, Field(ge=0.0, le=100_000.0)]


class Choice(Table):
    """Which satellites of a fleet fly: by name, then by plane, then by count."""

    names: Annotated[tuple[str, ...], LIST] = ()
    """Only satellites whose name matches one of these patterns (``*`` and ``?``)."""
    only_planes: Annotated[tuple[Annotated[int, Field(ge=0)], ...], LIST] = ()
    """Only satellites in these planes; those of a file are found from its elements and numbered eastwards from 0."""
    limit: Count | None = None
    """At most so many: the first ones."""
    spread: bool = False
    """With ``limit``: evenly spread over all, instead of the first ones."""

    @field_validator("spread")
    @classmethod
    def _of_a_limit(cls, spread: bool, given: ValidationInfo) -> bool:
        if spread and given.data.get("limit", 0) is None:
            raise ValueError("needs a limit: how many satellites are to be spread over the fleet")
        return spread


class Walker(Choice):
    """Walker constellation i:t/p/f; ``walker_star`` spreads its planes over 180 degrees, ``walker_delta`` over 360."""

    kind: Literal["walker_delta", "walker_star"]
    satellites: Count
    planes: Count = 1
    phasing: Annotated[int, Field(ge=0)] = 0
    altitude_km: Altitude
    """Mean semi-major axis minus 6378.137 km."""
    inclination_deg: Annotated[float, Field(ge=0.0, le=180.0)]
    raan_deg: Degrees = 0.0
    """Right ascension of the first plane's ascending node."""
    minimum_separation_km: Separation = 1.0


class SunSynchronous(Choice):
    """One plane of evenly spaced satellites in a Sun-synchronous orbit."""

    kind: Literal["sun_synchronous"]
    satellites: Count
    altitude_km: SunSynchronousAltitude
    local_time_h: LocalTime
    """Local time of the ascending node, against the mean Sun."""
    minimum_separation_km: Separation = 1.0


class Shell(Table):
    """Planes of evenly spaced satellites; each plane may lie a little higher than the one to its west."""

    planes: Count
    satellites_per_plane: Count
    altitude_km: Altitude
    """Of the first plane."""
    altitude_step_km: Annotated[float, Field(ge=-50_000.0, le=50_000.0)] = 0.0
    """From a plane to the next one east."""
    inclination_deg: Inclination
    """In degrees, or ``"sun_synchronous"``: then that of each plane's altitude."""
    phasing: Annotated[float, Field(ge=0.0, le=10_000_000.0)] = 0.0
    """A plane leads the one to its west by so many slots, divided by the number of planes (Walker's f)."""
    node_spread_deg: Annotated[float, Field(ge=0.0, le=360.0)] = 360.0
    """The nodes of the planes divide this evenly: 360 as a Walker delta, 180 as a star, 0 all at the same node."""
    raan_deg: Degrees | None = None
    """Right ascension of the first plane's ascending node; 0 if that is not given by local time."""
    local_time_h: LocalTime | None = None
    """Local time of the first plane's ascending node."""

    @model_validator(mode="after")
    def _one_node(self) -> Self:
        if self.raan_deg is not None and self.local_time_h is not None:
            raise ValueError("must give raan_deg or local_time_h, and not both")
        return self


class Layered(Choice):
    """Shells of planes at slightly different altitudes; their planes are numbered on from one shell to the next."""

    kind: Literal["layered"]
    shells: Annotated[tuple[Shell, ...], LIST, Field(min_length=1)]
    minimum_separation_km: Separation = 1.0


class Formation(Choice):
    """A cluster in close formation: a disc of satellites in one Sun-synchronous plane, on a square lattice."""

    kind: Literal["cluster"]
    satellites: Count = 81
    """Those nearest to the centre; 81 fill a radius of five lattice units."""
    spacing_m: Annotated[float, Field(gt=0.0, le=10_000.0)] = 100.0
    """Between lattice points at the narrowest, which is radial; direct neighbours are up to twice as far apart."""
    altitude_km: SunSynchronousAltitude
    local_time_h: LocalTime
    """Local time of the ascending node, against the mean Sun."""
    minimum_separation_m: Separation = 50.0


class ElementFile(Choice):
    """Satellites from a file of element sets."""

    kind: Literal["tle", "omm"]
    path: str
    """Relative to the recipe's folder, gzipped if the name ends in .gz; or an http(s) URL. OMM is JSON, CSV or XML."""
    cache_h: Annotated[float, Field(ge=2.0, le=87_660.0)] = 24.0
    """What came from a URL is kept and used while it is younger than this; CelesTrak wants no more than one request in
    two hours."""
    allow_old: bool = False
    """Accept element sets that are more than 30 days from the simulated time."""
    drop_failing: bool = False
    """Leave out satellites that decay, or that SGP4 gives up, before the horizon, instead of refusing the fleet."""


Fleet = Annotated[Walker | SunSynchronous | Layered | Formation | ElementFile, Field(discriminator="kind")]
