"""``[links]``: what may link, and at what rate."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orbital_train.config.tables.base import LIST, Gbps, Table

Distance = Annotated[float, Field(gt=0.0, le=1_000_000.0)]
UpToADay = Annotated[float, Field(ge=0.0, le=86_400.0)]


class FieldOfRegard(Table):
    """Where one terminal can point: a cone on a satellite that flies level."""

    azimuth_deg: Annotated[float, Field(ge=0.0, lt=360.0)]
    """Of its middle: 0 is fore, 90 starboard, 180 aft, 270 port."""
    elevation_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0
    """Of its middle, above the local horizontal."""
    half_angle_deg: Annotated[float, Field(gt=0.0, le=180.0)]


class Photons(Table):
    """A laser link's budget: the rate is what the received photons are good for. The defaults give 121 Gbit/s at
    5,400 km."""

    transmit_w: Annotated[float, Field(gt=0.0, le=10_000.0)] = 5.0
    """Optical power that leaves the terminal."""
    aperture_cm: Annotated[float, Field(gt=0.0, le=1_000.0)] = 10.0
    """Diameter of the transmitter's and the receiver's aperture."""
    wavelength_nm: Annotated[float, Field(ge=100.0, le=20_000.0)] = 1550.0
    loss_db: Annotated[float, Field(ge=0.0, le=200.0)] = 6.0
    """Of the whole system: optics, pointing, implementation."""
    photons_per_bit: Annotated[float, Field(ge=0.01, le=1e9)] = 71.0


class Links(Table):
    """Laser links between satellites, and links to ground sites."""

    topology: Literal["ring", "grid", "nearest", "all_visible", "explicit", "ground_relay"] = "all_visible"
    """Pairs that may link: neighbours in their plane; also in adjacent planes (in a cluster, those beside each other);
    the nearest ones at the time; any; those in ``pairs``; none, so that satellites meet through ground sites only."""
    pairs: Annotated[tuple[Annotated[tuple[str, str], LIST], ...], LIST] = ()
    """Names of the satellites that may link; with ``explicit``."""
    neighbours: Annotated[int, Field(ge=1, le=64)] = 4
    """Links that each satellite keeps, as far as its terminals go; with ``nearest``."""
    minimum_life_s: UpToADay = 60.0
    """Data must flow for so long, else a link is not made."""
    rate_gbps: Gbps = 100.0
    """What the modem carries in each direction; less where ``rate_table`` or ``photons`` says so."""
    rate_table: Annotated[tuple[Annotated[tuple[Distance, Gbps], LIST], ...], LIST] = ()
    """Rows of [range in km, Gbit/s]: the rate up to that range, in steps."""
    photons: Photons | None = None
    """The rate by range from a laser's link budget."""
    maximum_range_km: Distance = 5_400.0
    grazing_altitude_km: Annotated[float, Field(ge=0.0, le=200.0)] = 80.0
    terminals: Annotated[int, Field(ge=1, le=64)] = 4
    """Laser terminals per satellite; a terminal for ground sites comes on top."""
    fields_of_regard: Annotated[tuple[FieldOfRegard, ...], LIST] = ()
    """Where each of these terminals can point, one for each; without, they point anywhere."""
    acquisition_s: UpToADay = 30.0
    maximum_rate_deg_s: Annotated[float, Field(gt=0.0, le=360.0)] = 0.1
    """Angular rate of the line of sight that a terminal can track."""
    sun_exclusion_deg: Annotated[float, Field(ge=0.0, lt=90.0)] = 5.0
    """A laser receiver that looks closer to the Sun than this hears nothing, and the link ends."""
    ground_mask_deg: Annotated[float, Field(ge=0.0, lt=90.0)] | None = None
    """Lowest elevation at ground sites; 20 for optical and 10 for radio sites if not given."""
    ground_rate_gbps: Gbps = 1.8
    terrestrial_gbps: Gbps | None = None
    """Between any two ground sites, over a network on the ground that is always up; without, they have none."""
    plan: str | None = None
    """Contact plan to fly in place of computed links, relative to the recipe's folder: ``.parquet``, ``.json`` (HDTN),
    ``.ion`` or ``.ionrc`` (ION). The other keys of this table then say nothing."""
