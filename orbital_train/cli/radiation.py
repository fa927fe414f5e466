"""How much radiation there is where satellites are, if a recipe asks for it."""

from __future__ import annotations

import numpy as np

from orbital_train.cli.survey import Survey
from orbital_train.config import build
from orbital_train.config.recipe import Recipe
from orbital_train.orbit.anomaly import radiation_factor
from orbital_train.orbit.arrays import FloatArray
from orbital_train.orbit.ephemeris import Sgp4Ephemeris
from orbital_train.orbit.fleet import build_fleet
from orbital_train.schedule.radiation import Radiation

STEP_S = 60.0  # a satellite goes on by 4 degrees
AT_ONCE = 64  # satellites, so that a large fleet fits into memory


def radiation(recipe: Recipe, sky: Survey) -> Radiation | None:
    """What weighs the bit flips of the satellites of a survey; None where nothing does."""
    upsets = recipe.faults.upsets
    if upsets.per_bit_hour == 0 or (upsets.anomaly_factor == 1 and upsets.doubling_km is None):
        return None
    names, horizon_s = sky.contacts.node_names[: sky.satellites], sky.contacts.horizon_s
    edge_s = np.append(np.arange(0.0, horizon_s, STEP_S), horizon_s)
    middle_s = (edge_s[:-1] + edge_s[1:]) / 2
    doubling_m = None if upsets.doubling_km is None else upsets.doubling_km * 1e3

    def factor(r_m: FloatArray) -> FloatArray:
        return radiation_factor(r_m, recipe.time.start, middle_s, upsets.anomaly_factor, doubling_m)

    fleet = build_fleet(build.fleet_spec(recipe), recipe.time.start)
    satrec = dict(zip(fleet.names, fleet.satrecs, strict=True))
    parts = (names[k : k + AT_ONCE] for k in range(0, len(names), AT_ONCE))
    ephemerides = (Sgp4Ephemeris(part, tuple(satrec[n] for n in part), recipe.time.start) for part in parts)
    return Radiation(edge_s=edge_s, factor=np.concatenate([factor(e.states(middle_s)[0]) for e in ephemerides]))
