"""``[power]``: array, battery, loads and radiator of a satellite."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from orbital_train.config.tables.base import PositiveFraction, Table

Watts = Annotated[float, Field(ge=0.0, le=1e12)]


class Radiator(Table):
    """A flat radiator in steady state, at one temperature; it limits what training may draw."""

    area_m2: Annotated[float, Field(gt=0.0, le=1e9)]
    """Of one face."""
    faces: Annotated[int, Field(ge=1, le=2)] = 2
    """How many of its faces radiate to space."""
    emissivity: PositiveFraction = 0.85
    temperature_c: Annotated[float, Field(gt=-273.15, le=500.0)] = 20.0
    absorbed_w: Watts = 0.0
    """Heat that it takes up from the Sun and the Earth."""


class Power(Table):
    """Array, battery and loads of one satellite; every satellite of the fleet has the same."""

    array_m2: Annotated[float, Field(ge=0.0, le=1e9)]
    array_efficiency: PositiveFraction = 0.3
    array_mount: Literal["tracking", "zenith", "orbit_normal"] = "tracking"
    """Where the array faces: the Sun; away from the Earth; along the orbit's normal, on the side of the Sun."""
    battery_wh: Annotated[float, Field(ge=1.0, le=1e12)]
    depth_of_discharge: PositiveFraction = 0.3
    resume_fraction: PositiveFraction = 0.75
    """State of charge from which training starts again after the battery ran low."""
    charge_efficiency: PositiveFraction = 0.95
    discharge_efficiency: PositiveFraction = 0.95
    idle_w: Watts
    train_w: Watts
    """On top of idle, without a cap."""
    train_cap_w: Annotated[float, Field(gt=0.0, le=1e12)] | None = None
    """Cap of the training load: the accelerator lowers its clock, and steps take longer."""
    train_static_fraction: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.3
    """Part of ``train_w`` that does not fall with the clock; the rest falls with its cube."""
    radiator: Radiator | None = None
    """Without one, heat limits nothing."""
    transmit_w: Watts = 0.0
    """On top of idle, for each message that is being sent."""
