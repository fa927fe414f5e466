"""A radiator in steady state: how much heat leaves a satellite, and how much of that training may make."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orbital_train.errors import InputError

STEFAN_BOLTZMANN_W_PER_M2_K4 = 5.670374419e-8  # CODATA 2018, exact by definition of the SI


@dataclass(frozen=True, kw_only=True)
class RadiatorSpec:
    """A flat radiator at one temperature. Every watt that is consumed on board becomes heat and leaves by it."""

    area_m2: float  # of one face
    faces: int  # 2 where both radiate to space, 1 for a panel on the satellite's body
    emissivity: float
    temperature_k: float
    absorbed_w: float = 0.0  # heat that it takes up from Sun, Earth and the Sun's reflection off the Earth

    @property
    def flux_w_per_m2(self) -> float:
        """Heat that a square metre of radiator sheds, over all its faces (Stefan-Boltzmann law, to cold space)."""
        return self.faces * self.emissivity * STEFAN_BOLTZMANN_W_PER_M2_K4 * self.temperature_k**4

    @property
    def rejected_w(self) -> float:
        """Heat of the satellite's own that it sheds."""
        return self.area_m2 * self.flux_w_per_m2 - self.absorbed_w


def training_limit_w(radiator: RadiatorSpec, idle_w: float, least_w: float) -> float:
    """The power for training at which idle and training together make the heat that the radiator sheds.

    Transmissions are too short to count; the satellite's heat capacity carries them.

    Args:
        radiator: the radiator.
        idle_w: the idle load.
        least_w: the static part of training; it must be able to draw more than this.

    Raises:
        InputError: nothing is left for training (key ``power.radiator.area_m2``).
    """
    limit_w = radiator.rejected_w - idle_w
    if limit_w > least_w:
        return limit_w
    needed_m2 = (idle_w + least_w + radiator.absorbed_w) / radiator.flux_w_per_m2
    made = f"idle_w alone makes {idle_w:g} W"
    if limit_w >= 0:
        made = f"idle_w with the static part of training makes {idle_w + least_w:g} W"
    problem = (
        f"rejects {max(0.0, radiator.rejected_w):.4g} W of heat and {made};"
        f" accepted is above {math.ceil(needed_m2 * 1e3) / 1e3:g} m2"
    )
    raise InputError("power.radiator.area_m2", radiator.area_m2, problem)
